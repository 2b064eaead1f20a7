"""The event shapes of Wikimedia's streams, as they are in 2026. Pure.

Each function turns something that has just happened to a wiki into the events that tell it, as
`(stream, event)` pairs; the stream names are those of the URL. `meta` is completed when an event
enters its topic, because topic, offset and time are known only there.
"""

import html
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from streamer.model import rfc3339
from streamer.sandbox.pages import (
    HIDDEN_COMMENT,
    HIDDEN_TEXT,
    HIDDEN_USER,
    SUPPRESSED,
    Deed,
    LogEntry,
    Moved,
    Page,
    Revision,
    Site,
    User,
    categories,
)
from streamer.sandbox.wiki import Wiki

Event = dict[str, object]
Emitted = list[tuple[str, Event]]

RECENTCHANGE: Final = "recentchange"
PAGE_CHANGE: Final = "mediawiki.page_change.v1"
VISIBILITY: Final = "mediawiki.revision-visibility-change"
TAGS: Final = "mediawiki.revision-tags-change"
RISK: Final = "mediawiki.page_revert_risk_prediction_change.v1"
STREAMS: Final = (RECENTCHANGE, PAGE_CHANGE, VISIBILITY, TAGS, RISK)

SCHEMAS: Final[Mapping[str, str]] = {
    RECENTCHANGE: "/mediawiki/recentchange/1.0.1",
    PAGE_CHANGE: "/mediawiki/page/change/1.12.0",
    VISIBILITY: "/mediawiki/revision/visibility-change/1.0.0",
    TAGS: "/mediawiki/revision/tags-change/1.0.0",
    RISK: "/mediawiki/page/prediction_classification_change/1.1.0",
}
CHANGELOG: Final = {"create": "insert", "undelete": "insert", "delete": "delete"}
FORMATS: Final = {"wikitext": "text/x-wiki", "css": "text/css", "json": "application/json"}


def schema_stream(stream: str) -> str:
    """`meta.stream`: the one stream whose URL name lacks the prefix."""
    return f"mediawiki.{stream}" if stream == RECENTCHANGE else stream


def iso_ms(time_ms: int) -> str:
    seconds, ms = divmod(time_ms, 1000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms:03d}Z"


def base36(sha1: str) -> str:
    """As MediaWiki stores it: 31 characters."""
    number, digits = int(sha1, 16), ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits.rjust(31, "0")


def key(title: str) -> str:
    return title.replace(" ", "_")


def page_uri(site: Site, title: str) -> str:
    return f"https://{site.server_name}/wiki/{quote(key(title), safe=':/(),')}"


def canary(stream: str) -> Event:
    return {"$schema": SCHEMAS[stream], "meta": {"domain": "canary"}}


# ── what happens ───────────────────────────────────────────────────────────────────────────────


def created(wiki: Wiki, page: Page) -> Emitted:
    return [
        (RECENTCHANGE, _recent_edit(wiki, page, page.current, old=None)),
        (PAGE_CHANGE, _own_change(wiki.site, page, "create", page.current)),
        *((RECENTCHANGE, _categorised(wiki, page, title)) for title in categories(wiki, page.current.text)),
    ]


def edited(
    wiki: Wiki,
    page: Page,
    revision: Revision,
    old: Revision,
    reverts: tuple[Revision, Revision] | None = None,
) -> Emitted:
    """`reverts`: the oldest and the newest revision that this edit undoes."""
    change = _own_change(wiki.site, page, "edit", revision)
    change["prior_state"] = {"revision": _revision(wiki.site, old)}
    if reverts:
        oldest, newest = reverts
        body = _object(change["revision"])
        body["revert"] = {
            "rev_reverted_oldest_id": oldest.identifier,
            "rev_reverted_newest_id": newest.identifier,
            "rev_original_id": oldest.parent,
        }
    return [(RECENTCHANGE, _recent_edit(wiki, page, revision, old=old)), (PAGE_CHANGE, change)]


def moved(wiki: Wiki, page: Page, move: Moved, old: Revision) -> Emitted:
    change = _page_change(wiki.site, page, "move", move.revision, by=move.log.user, at_ms=move.log.time_ms)
    prior: Event = {"page_title": key(move.old_title)}
    if move.old_namespace != page.namespace:
        prior["namespace_id"] = move.old_namespace
    change["prior_state"] = {"page": prior, "revision": _revision(wiki.site, old)}
    change["comment"] = move.log.comment
    if move.redirect:
        change["created_redirect_page"] = _page(move.redirect)
    events: Emitted = [
        (RECENTCHANGE, _recent_log(wiki, move.log, f"moved [[{move.old_title}]] to [[{page.title}]]"))
    ]
    if move.overwritten:
        text = f"deleted redirect [[{move.overwritten.title}]] by overwriting"
        events.append((RECENTCHANGE, _recent_log(wiki, move.overwritten, text)))
        gone = wiki.deleted[move.overwritten.page_id]
        events.append((PAGE_CHANGE, _removal(wiki.site, gone, move.overwritten)))
    return [*events, (PAGE_CHANGE, change)]


def deleted(wiki: Wiki, page: Page, log: LogEntry) -> Emitted:
    return [
        (RECENTCHANGE, _recent_log(wiki, log, f"deleted &quot;[[{page.title}]]&quot;")),
        (PAGE_CHANGE, _removal(wiki.site, page, log)),
    ]


def restored(wiki: Wiki, page: Page, log: LogEntry) -> Emitted:
    change = _page_change(wiki.site, page, "undelete", page.current, by=log.user, at_ms=log.time_ms)
    change["comment"] = log.comment
    return [
        (RECENTCHANGE, _recent_log(wiki, log, f"undeleted &quot;[[{page.title}]]&quot;")),
        (PAGE_CHANGE, change),
    ]


def visibility_set(
    wiki: Wiki, page: Page, revision: Revision, *, before: int, log: LogEntry | None, deed: Deed
) -> Emitted:
    """Without a log entry it is a suppression: no performer, no comment, and recentchange says nothing."""
    now = _visible(revision.hidden)
    was = _visible(before)
    event = _revision_event(wiki.site, page, revision)
    event |= {"$schema": SCHEMAS[VISIBILITY], "visibility": now, "prior_state": {"visibility": was}}
    if log:
        event |= {"performer": _old_user(deed.user), "comment": log.comment}
    events: Emitted = [(VISIBILITY, event)]
    if revision is page.current:
        by = deed.user if log else None
        change = _page_change(wiki.site, page, "visibility_change", revision, by=by, at_ms=deed.time_ms)
        names = {"text": "content", "user": "editor", "comment": "comment"}
        flags = {f"is_{name}_visible": was[what] for what, name in names.items() if was[what] != now[what]}
        change["prior_state"] = {"revision": flags}
        events.append((PAGE_CHANGE, change))
    if log:
        text = f"changed visibility of a revision on page [[{page.title}]]"
        events.append((RECENTCHANGE, _recent_log(wiki, log, text)))
    return events


def protected(wiki: Wiki, page: Page, log: LogEntry) -> Emitted:
    return [(RECENTCHANGE, _recent_log(wiki, log, f"protected &quot;[[{page.title}]]&quot;"))]


def tagged(wiki: Wiki, page: Page, revision: Revision, before: Iterable[str]) -> Emitted:
    event = _revision_event(wiki.site, page, revision)
    event |= {"$schema": SCHEMAS[TAGS], "tags": list(revision.tags), "prior_state": {"tags": list(before)}}
    if revision.user and not revision.hidden & HIDDEN_USER:
        event["performer"] = _old_user(revision.user)
    if not revision.hidden & HIDDEN_COMMENT:
        event |= {"comment": revision.comment, "parsedcomment": html.escape(revision.comment)}
    return [(TAGS, event)]


def scored(wiki: Wiki, page: Page, revision: Revision, probability: float) -> Emitted:
    """The model's opinion; it comes about a second after the edit."""
    event = _own_change(wiki.site, page, "edit" if revision.parent else "create", revision)
    body = _object(event["revision"])
    body.pop("content_slots", None)
    event["$schema"] = SCHEMAS[RISK]
    event["predicted_classification"] = {
        "model_name": "revertrisk-language-agnostic",
        "model_version": "3",
        "predictions": ["true" if probability > 0.5 else "false"],
        "probabilities": {"true": probability, "false": round(1 - probability, 6)},
    }
    return [(RISK, event)]


# ── their parts ────────────────────────────────────────────────────────────────────────────────


def _object(value: object) -> Event:
    assert isinstance(value, dict)
    return value


def _visible(hidden: int) -> dict[str, bool]:
    return {
        "text": not hidden & HIDDEN_TEXT,
        "user": not hidden & HIDDEN_USER,
        "comment": not hidden & HIDDEN_COMMENT,
    }


def _meta(site: Site, title: str) -> Event:
    return {"uri": page_uri(site, title), "domain": site.server_name}


def _recent(wiki: Wiki, kind: str, title: str, namespace: int, user: User | None) -> Event:
    site = wiki.site
    event: Event = {
        "$schema": SCHEMAS[RECENTCHANGE],
        "meta": _meta(site, title),
        "id": wiki.change_number(),
        "type": kind,
        "namespace": namespace,
        "title": title,
        "title_url": page_uri(site, title),
        "bot": user.is_bot if user else False,
        "server_url": f"https://{site.server_name}",
        "server_name": site.server_name,
        "server_script_path": "/w",
        "wiki": site.wiki,
    }
    if user:
        event["user"] = user.name
    return event


def _recent_edit(wiki: Wiki, page: Page, revision: Revision, *, old: Revision | None) -> Event:
    event = _recent(wiki, "edit" if old else "new", page.title, page.namespace, revision.user)
    event |= {
        "comment": revision.comment,
        "parsedcomment": html.escape(revision.comment),
        "timestamp": revision.edited_ms // 1000,
        "minor": revision.minor,
        "patrolled": bool(revision.user and revision.user.is_bot),
        "length": {"old": old.size, "new": revision.size} if old else {"new": revision.size},
        "revision": (
            {"old": old.identifier, "new": revision.identifier} if old else {"new": revision.identifier}
        ),
        "notify_url": (
            f"https://{wiki.site.server_name}/w/index.php?diff={revision.identifier}&oldid={revision.parent}"
        ),
    }
    return event


def _categorised(wiki: Wiki, page: Page, category: str) -> Event:
    """A third of all that the stream says, and nothing to anybody who follows articles."""
    event = _recent(wiki, "categorize", category, 14, page.current.user)
    text = f"[[:{page.title}]] added to category"
    return event | {"comment": text, "parsedcomment": text, "timestamp": page.current.edited_ms // 1000}


def _recent_log(wiki: Wiki, log: LogEntry, text: str) -> Event:
    event = _recent(wiki, "log", log.title, log.namespace, log.user)
    return event | {
        "comment": log.comment,
        "parsedcomment": html.escape(log.comment),
        "timestamp": log.time_ms // 1000,
        "log_id": log.identifier,
        "log_type": log.type,
        "log_action": log.action,
        "log_params": dict(log.params) or [],
        "log_action_comment": f"{text}: {log.comment}",
    }


def _page_change(
    site: Site, page: Page, kind: str, revision: Revision, *, by: User | None, at_ms: int
) -> Event:
    """`by` is who did it: not always the editor of the revision."""
    event: Event = {
        "changelog_kind": CHANGELOG.get(kind, "update"),
        "page_change_kind": kind,
        "dt": rfc3339(at_ms),
        "wiki_id": site.wiki,
        "page": _page(page),
        "revision": _revision(site, revision),
        "$schema": SCHEMAS[PAGE_CHANGE],
        "meta": _meta(site, page.title) | {"key": {"wiki_id": site.wiki, "page_id": page.identifier}},
    }
    if by:
        event["performer"] = _performer(site, by)
    return event


def _own_change(site: Site, page: Page, kind: str, revision: Revision) -> Event:
    return _page_change(site, page, kind, revision, by=revision.user, at_ms=revision.edited_ms)


def _removal(site: Site, page: Page, log: LogEntry) -> Event:
    event = _page_change(site, page, "delete", page.current, by=log.user, at_ms=log.time_ms)
    _object(event["page"])["revision_count"] = len(page.revisions)
    return event | {"comment": log.comment}


def _page(page: Page) -> Event:
    return {
        "page_id": page.identifier,
        "page_title": key(page.title),
        "namespace_id": page.namespace,
        "is_redirect": page.is_redirect,
    }


def _revision(site: Site, revision: Revision) -> Event:
    visible = _visible(revision.hidden)
    event: Event = {
        "rev_id": revision.identifier,
        "rev_dt": rfc3339(revision.edited_ms),
        "is_minor_edit": revision.minor,
        "rev_parent_id": revision.parent,
        "is_content_visible": visible["text"],
        "is_editor_visible": visible["user"],
        "is_comment_visible": visible["comment"],
    }
    if revision.hidden & SUPPRESSED:
        return event
    event["rev_size"] = revision.size
    if visible["comment"]:
        event["comment"] = revision.comment
    if visible["user"] and revision.user:
        event["editor"] = _performer(site, revision.user)
    if visible["text"]:
        digest = base36(revision.sha1)
        event["rev_sha1"] = digest
        event["content_slots"] = {
            "main": {
                "slot_role": "main",
                "content_model": revision.model,
                "content_sha1": digest,
                "content_size": revision.size,
                "content_format": FORMATS.get(revision.model, "text/plain"),
                "origin_rev_id": revision.identifier,
            }
        }
    return event


def _performer(site: Site, user: User) -> Event:
    event: Event = {
        "user_text": user.name,
        "groups": list(user.groups),
        "is_temp": user.is_temporary,
        "wiki_id": site.wiki,
        "is_bot": user.is_bot,
        "is_system": False,
    }
    if user.identifier:
        event |= {
            "user_id": user.identifier,
            "edit_count": user.edit_count,
            "registration_dt": rfc3339(user.registered_ms),
        }
    return event


def _revision_event(site: Site, page: Page, revision: Revision) -> Event:
    """What the older, revision-centred streams have in common."""
    event: Event = {
        "meta": _meta(site, page.title),
        "database": site.wiki,
        "page_id": page.identifier,
        "page_title": key(page.title),
        "page_namespace": page.namespace,
        "page_is_redirect": page.is_redirect,
        "rev_id": revision.identifier,
        "rev_timestamp": rfc3339(revision.edited_ms),
        "rev_minor_edit": revision.minor,
        "rev_parent_id": revision.parent,
        "rev_content_model": revision.model,
        "rev_content_format": FORMATS.get(revision.model, "text/plain"),
    }
    if not revision.hidden & HIDDEN_TEXT:
        event |= {"rev_sha1": base36(revision.sha1), "rev_len": revision.size}
    return event


def _old_user(user: User) -> Event:
    event: Event = {"user_text": user.name, "user_groups": list(user.groups), "user_is_bot": user.is_bot}
    if user.identifier:
        event |= {
            "user_id": user.identifier,
            "user_registration_dt": rfc3339(user.registered_ms),
            "user_edit_count": user.edit_count,
        }
    return event
