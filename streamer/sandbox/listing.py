"""`list=logevents` and `list=recentchanges`. Pure."""

import html
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

from streamer.model import rfc3339
from streamer.sandbox.pages import (
    HIDDEN_COMMENT,
    HIDDEN_TEXT,
    HIDDEN_USER,
    SUPPRESSED,
    LogEntry,
    Readable,
    RecentChange,
    User,
)
from streamer.sandbox.params import Params

Json = dict[str, object]
Listed = tuple[list[Json], dict[str, str]]
"""What is listed, and the continuation."""
MOST: Final = 500
DEFAULT: Final = 10
Item = TypeVar("Item", LogEntry, RecentChange)


def list_logs(wiki: Readable, params: Params) -> Listed:
    """`logpage` is the id of the page it happened to, `pageid` of the one that has its title now."""
    title = wiki.normalised(params.get("letitle")) if params.get("letitle") else ""
    kind = params.get("letype")
    action = params.get("leaction")
    wanted = params.several("leprop") or ["ids", "title", "type", "user", "timestamp", "comment", "details"]
    entries = [
        entry
        for entry in wiki.logs
        if (not title or entry.title == title)
        and (not kind or entry.type == kind)
        and (not action or action in (f"{entry.type}/{entry.action}", f"{entry.type}/*"))
    ]
    taken, token = _page(entries, params, "le")
    return [_log(wiki, entry, wanted) for entry in taken], token


def list_recent_changes(wiki: Readable, params: Params) -> Listed:
    kinds = params.several("rctype") or ["edit", "new", "log"]
    namespaces = params.numbers("rcnamespace")
    title = wiki.normalised(params.get("rctitle")) if params.get("rctitle") else ""
    wanted = params.several("rcprop") or ["title", "timestamp", "ids"]
    entries = [
        entry
        for entry in wiki.changes
        if entry.type in kinds
        and (entry.log or wiki.page(entry.page_id))  # with a page goes what was changed of it
        and (not namespaces or entry.namespace in namespaces)
        and (not title or entry.title == title)
    ]
    taken, token = _page(entries, params, "rc")
    return [_recent(entry, wanted) for entry in taken], token


def _page(entries: Sequence[Item], params: Params, prefix: str) -> tuple[list[Item], dict[str, str]]:
    newer = params.get(f"{prefix}dir") == "newer"
    start, end = params.time_ms(f"{prefix}start"), params.time_ms(f"{prefix}end")
    low, high = (start, end) if newer else (end, start)
    ordered = sorted(entries, key=lambda entry: (entry.time_ms, entry.identifier), reverse=not newer)
    # The API's times are whole seconds: an end includes all of its second.
    within = [
        entry
        for entry in ordered
        if (low is None or entry.time_ms >= low) and (high is None or entry.time_ms < high + 1000)
    ]
    token = params.get(f"{prefix}continue").rpartition("|")[2]
    if token.isdecimal():
        at = next(
            (index for index, entry in enumerate(within) if entry.identifier == int(token)), len(within)
        )
        within = within[at:]
    limit = params.number(f"{prefix}limit", DEFAULT, most=MOST)
    if len(within) <= limit:
        return within, {}
    following = within[limit]
    stamp = datetime.fromtimestamp(following.time_ms // 1000, UTC).strftime("%Y%m%d%H%M%S")
    return within[:limit], {f"{prefix}continue": f"{stamp}|{following.identifier}"}


def _who(user: User | None) -> Json:
    if user is None:
        return {"userhidden": True}
    told: Json = {"user": user.name}
    if not user.identifier:
        told["anon"] = True
    if user.is_temporary:
        told["temp"] = True
    return told


def _log(wiki: Readable, entry: LogEntry, wanted: list[str]) -> Json:  # noqa: C901 - one line a property
    told: Json = {}
    if "ids" in wanted:
        told["logid"] = entry.identifier
    if "title" in wanted:
        told |= {"ns": entry.namespace, "title": entry.title}
    if "ids" in wanted:
        page = wiki.titled(entry.title)
        told |= {"pageid": page.identifier if page else 0, "logpage": entry.page_id}
    if "details" in wanted:
        told["params"] = _details(wiki, entry)
    if "type" in wanted:
        told |= {"type": entry.type, "action": entry.action}
    if "user" in wanted:
        told |= _who(entry.user)
    if "userid" in wanted and entry.user:
        told["userid"] = entry.user.identifier
    if "timestamp" in wanted:
        told["timestamp"] = rfc3339(entry.time_ms)
    if "comment" in wanted:
        told["comment"] = entry.comment
    if "parsedcomment" in wanted:
        told["parsedcomment"] = html.escape(entry.comment)
    if "tags" in wanted:
        told["tags"] = []
    return told


def _details(wiki: Readable, entry: LogEntry) -> Json:
    """The API's form of `log_params`, which is not the stream's."""
    if entry.type == "move":
        target = str(entry.params.get("target", ""))
        return {
            "target_ns": wiki.site.namespace_of(target),
            "target_title": target,
            "suppressredirect": entry.params.get("noredir") == "1",
        }
    if (entry.type, entry.action) == ("delete", "revision"):
        ids = entry.params.get("ids")
        return {
            "type": "revision",
            "ids": [int(identifier) for identifier in ids] if isinstance(ids, list) else [],
            "old": _bits(entry.params.get("ofield")),
            "new": _bits(entry.params.get("nfield")),
        }
    return dict(entry.params)


def _bits(value: object) -> Json:
    bits = int(str(value or 0))
    return {
        "bitmask": bits,
        "content": bool(bits & HIDDEN_TEXT),
        "comment": bool(bits & HIDDEN_COMMENT),
        "user": bool(bits & HIDDEN_USER),
        "restricted": bool(bits & SUPPRESSED),
    }


def _recent(entry: RecentChange, wanted: list[str]) -> Json:  # noqa: C901, PLR0912 - one line a property
    revision, log = entry.revision, entry.log
    hidden = revision.hidden if revision else 0
    told: Json = {"type": entry.type}
    if "title" in wanted:
        told |= {"ns": entry.namespace, "title": entry.title}
    if "ids" in wanted:
        told |= {
            "pageid": entry.page_id,
            "revid": revision.identifier if revision else 0,
            "old_revid": revision.parent if revision else 0,
            "rcid": entry.identifier,
        }
    if "user" in wanted:
        told |= {"userhidden": True} if hidden & HIDDEN_USER else _who(entry.user)
    if "userid" in wanted and entry.user and not hidden & HIDDEN_USER:
        told["userid"] = entry.user.identifier
    if "flags" in wanted:
        bot = bool(entry.user and entry.user.is_bot)
        told |= {"bot": bot, "new": entry.type == "new", "minor": bool(revision and revision.minor)}
    if "sizes" in wanted:
        told |= {"oldlen": entry.old_size, "newlen": revision.size if revision else 0}
    if "timestamp" in wanted:
        told["timestamp"] = rfc3339(entry.time_ms)
    if "comment" in wanted:
        told |= {"commenthidden": True} if hidden & HIDDEN_COMMENT else {"comment": entry.comment}
    if "parsedcomment" in wanted and not hidden & HIDDEN_COMMENT:
        told["parsedcomment"] = html.escape(entry.comment)
    if "redirect" in wanted:
        told["redirect"] = bool(revision and revision.text.startswith("#"))
    if "tags" in wanted:
        told["tags"] = list(revision.tags) if revision else []
    if "sha1" in wanted and revision:
        told |= {"sha1hidden": True} if hidden & HIDDEN_TEXT else {"sha1": revision.sha1}
    if "loginfo" in wanted and log:
        told |= {
            "logid": log.identifier,
            "logtype": log.type,
            "logaction": log.action,
            "logparams": dict(log.params),
        }
    return told
