"""recentchange: rows of edits and new pages, and of logs where no other stream owns the kind."""

from typing import Final

import msgspec
from msgspec import UNSET

from streamer import log_actions
from streamer.admission import Rules
from streamer.errors import EventInvalid
from streamer.model import (
    Change,
    ChangeRecord,
    Kind,
    Place,
    Visibility,
    identifier_of_event,
    identifier_of_log,
    identifier_of_revision,
)
from streamer.source import upstream as up
from streamer.source.checks import (
    decode,
    is_absent,
    may_be_id,
    must_be_host,
    must_be_id,
    must_be_namespace,
    must_be_number,
    must_be_seconds,
    must_be_title,
    must_be_upstream_ms,
    must_be_wiki,
)
from streamer.source.moves import redirect_left
from streamer.source.titles import namespace_of_target
from streamer.source.told import STREAM_OF, Drop, admitted

MAX_HIDDEN_AT_ONCE: Final = 10_000
"""Revisions in one log entry: it becomes as many changes, so it has a bound."""
HIDES_TEXT, HIDES_COMMENT, HIDES_USER, RESTRICTED = 1, 2, 4, 8
"""Bits of delete/revision's `nfield`."""


def of_recentchange(event: up.RecentChange, rules: Rules) -> tuple[ChangeRecord, ...]:
    kind: Kind
    match event.type:
        case "edit":
            kind = "edit"
        case "new":
            kind = "create"
        case "log":
            return _of_log(event, rules)
        case "categorize":
            raise Drop("categorize")
        case "external":
            raise Drop("external")
        case None:
            raise EventInvalid("missing_field")
        case _:
            raise Drop("type_unknown")
    wiki = must_be_wiki(event.wiki)
    namespace = must_be_namespace(event.namespace)
    if not rules.admits_place(wiki, namespace) or (event.bot and not rules.bots):
        raise Drop("not_admitted")
    revision = event.revision
    number = must_be_id(revision.new if revision else None)
    length = event.length or up.Pair()
    change = Change(
        identifier=identifier_of_revision(wiki, number),
        kind=kind,
        wiki=wiki,
        server_name=must_be_host(event.server_name or event.meta.domain),
        title=must_be_title(event.title),
        namespace=namespace,
        edited_ms=must_be_seconds(event.timestamp) * 1_000,
        upstream_ms=must_be_upstream_ms(event.meta),
        revision=number,
        parent=may_be_id(revision.old if revision else None),
        bot=bool(event.bot),
        minor=bool(event.minor),
        size=length.new,
        parent_size=length.old,
        user_removed=is_absent(event.user),
        stream=STREAM_OF["recentchange"],
        upstream_id=event.meta.id,
    )
    return (change,)


def _of_log(event: up.RecentChange, rules: Rules) -> tuple[ChangeRecord, ...]:
    becomes = log_actions.judge(event.log_type or "", event.log_action or "")
    if becomes == "ignored":
        raise Drop("log_ignored")
    if becomes == "unknown":
        raise Drop("log_unknown")
    kind, cause = becomes
    if rules.owners[kind] != "recentchange":
        if kind != "restore":
            raise Drop("other_owner")
        # page_change tells an undelete only where no page was; onto one that is there, the article is
        # restated. Both may come for one undelete, and can't be matched: restating is harmless.
        kind = "refresh"
    base = _base_of_log(event, kind, cause)
    if kind == "visibility":
        changes = _hidden_by_log(event, base)
    elif kind == "move":
        changes = _moved_by_log(event, base)
    else:
        changes = (base,)
    return admitted(changes, rules)


def _base_of_log(event: up.RecentChange, kind: Kind, cause: str) -> Change:
    wiki = must_be_wiki(event.wiki)
    if event.meta.id:
        identifier = identifier_of_event(event.meta.id)
    elif event.log_id:
        identifier = identifier_of_log(wiki, event.log_id)
    else:
        raise EventInvalid("missing_field")
    return Change(
        identifier=identifier,
        kind=kind,
        wiki=wiki,
        server_name=must_be_host(event.server_name or event.meta.domain),
        title=must_be_title(event.title),
        namespace=must_be_namespace(event.namespace),
        edited_ms=must_be_seconds(event.timestamp) * 1_000,
        upstream_ms=must_be_upstream_ms(event.meta),
        bot=bool(event.bot),
        user_removed=is_absent(event.user),
        log_id=may_be_id(event.log_id),
        cause=cause,
        stream=STREAM_OF["recentchange"],
        upstream_id=event.meta.id,
    )


def _hidden_by_log(event: up.RecentChange, base: Change) -> tuple[Change, ...]:
    """One change a revision: the log names several at once."""
    params = _log_params(event)
    if params.type != "revision":  # of archived revisions, old files, log entries
        raise Drop("log_ignored")
    if not params.ids or params.nfield is None:
        raise EventInvalid("missing_field")
    if len(params.ids) > MAX_HIDDEN_AT_ONCE:
        raise EventInvalid("out_of_range")
    bits = must_be_number(params.nfield)
    visibility = Visibility(
        text=not bits & HIDES_TEXT, comment=not bits & HIDES_COMMENT, editor=not bits & HIDES_USER
    )
    ids = params.ids.values() if isinstance(params.ids, dict) else params.ids
    revisions = dict.fromkeys(must_be_id(must_be_number(value)) for value in ids)
    named = event.meta.id or f"{base.wiki}|log|{base.log_id}"
    return tuple(
        msgspec.structs.replace(
            base,
            identifier=identifier_of_event(f"{named}|{revision}"),
            revision=revision,
            visibility=visibility,
            suppressed=bool(bits & RESTRICTED),
        )
        for revision in revisions
    )


def _moved_by_log(event: up.RecentChange, base: Change) -> tuple[Change, ...]:
    params = _log_params(event)
    target = must_be_title(params.target)
    old = Place(base.title, base.namespace)
    moved = msgspec.structs.replace(
        base,
        title=target,
        namespace=namespace_of_target(target, old.title, old.namespace),
        previous=old,
    )
    if params.noredir in ("0", 0):
        return (moved, redirect_left(moved, old))
    return (moved,)


def _log_params(event: up.RecentChange) -> up.LogParams:
    raw = event.log_params
    if raw is UNSET:
        raise EventInvalid("missing_field")
    return decode(up.LOG_PARAMS, bytes(raw))
