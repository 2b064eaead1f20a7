"""One upstream event → what it tells: changes, a hint, or the reason why it tells nothing.

    stream                  gives                                                     unless owned elsewhere
    recentchange            edit → edit, new → create, log → `logs.ACTIONS`           each kind has one owner
    page_change             move (+ create of the redirect left), delete, undelete → restore,
                            visibility_change → visibility; and a hint for every create and edit
    revision-visibility-…   visibility
    revision-tags-change    a hint
    …prediction_change      a hint

Pure, and total: whatever bytes come, the answer is a `Told`. Nothing in it is a comment or a name.
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal, NamedTuple, TypeVar, get_args

import msgspec
from msgspec import UNSET

from streamer.errors import EventInvalid
from streamer.model import (
    Change,
    ChangeRecord,
    Kind,
    Place,
    Visibility,
    identifier_derived,
    identifier_of_event,
    identifier_of_log,
    identifier_of_revision,
)
from streamer.source import hints, logs
from streamer.source import upstream as up
from streamer.source.admission import Family, Rules, family_of
from streamer.source.titles import namespace_of_target, with_spaces

DropReason = Literal[
    "",
    # nothing is wrong with it
    "canary", "categorize", "external", "type_unknown", "log_ignored", "log_unknown", "special_page",
    "other_owner", "no_signal", "not_admitted", "duplicate",
    # something is
    "not_json", "not_utf8", "schema_major", "stream_unknown", "shape", "missing_field", "out_of_range",
    "frame_too_large",
]  # fmt: skip

MAX_ID: Final = 9_007_199_254_740_991
"""2^53 - 1, as upstream's schemas have it."""
MAX_TITLE_CHARS: Final = 1_024
"""MediaWiki's own limit is 255 bytes and a namespace."""
LATEST_S: Final = 4_102_444_800
"""The year 2100: beyond it a time is a mistake, and would break what formats it."""
WIKI: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
HOST: Final = re.compile(r"[A-Za-z0-9.:\[\]-]{1,253}")
USUAL: Final = b'{"$schema":"/mediawiki/recentchange/1.'
"""How nearly every event begins: then it is decoded once, as what it is, without a look before."""

HIDES_TEXT, HIDES_COMMENT, HIDES_USER, RESTRICTED = 1, 2, 4, 8
"""Bits of delete/revision's `nfield`."""

FAMILY_OF_SCHEMA: Final[dict[str, Family]] = {
    "/mediawiki/recentchange": "recentchange",
    "/mediawiki/page/change": "page_change",
    "/mediawiki/revision/visibility-change": "visibility",
    "/mediawiki/revision/tags-change": "tags",
    "/mediawiki/page/prediction_classification_change": "prediction",
}
STREAM_OF: Final[dict[Family, str]] = {
    "recentchange": "mediawiki.recentchange",
    "page_change": "mediawiki.page_change.v1",
    "visibility": "mediawiki.revision-visibility-change",
    "tags": "mediawiki.revision-tags-change",
    "prediction": "mediawiki.page_revert_risk_prediction_change.v1",
}


class Told(NamedTuple):
    """`records` in the order in which they are to be appended; empty where `dropped` says why."""

    records: tuple[ChangeRecord, ...]
    dropped: DropReason
    family: Family | Literal["unknown"]
    topic: str = ""
    """The upstream topic, `eqiad.…` or `codfw.…`; "" where the event doesn't say."""
    upstream_ms: int = 0
    upstream_id: str = ""


T = TypeVar("T")


class _Drop(Exception):
    """Within this module: an event that is right and tells nothing."""

    def __init__(self, reason: DropReason) -> None:
        self.reason = reason


def interpret(data: bytes, rules: Rules) -> Told:
    """`data` is one event's JSON."""
    try:
        if data.startswith(USUAL):
            family: Family | Literal["unknown"] = "recentchange"
        else:
            family = _family(data)
    except EventInvalid as error:
        return Told((), _reason(error), "unknown")
    meta = up.Envelope()
    try:
        if not data.isascii():
            _utf8(data)
        match family:
            case "recentchange":
                event = _decode(up.RECENTCHANGE, data)
                meta = event.meta
                _no_canary(meta)
                records = _of_recentchange(event, rules)
            case "page_change":
                change = _decode(up.PAGE_CHANGE, data)
                meta = change.meta
                _no_canary(meta)
                records = _of_page_change(change, rules)
            case "visibility" | "tags":
                revision = _decode(up.REVISION_EVENT, data)
                meta = revision.meta
                _no_canary(meta)
                records = _of_revision(revision, family, rules)
            case "prediction":
                prediction = _decode(up.PREDICTION, data)
                meta = prediction.meta
                _no_canary(meta)
                records = _of_prediction(prediction, rules)
            case _:
                meta = _decode(up.PEEK, data).meta
                _no_canary(meta)
                raise EventInvalid("stream_unknown")
    except _Drop as drop:
        return Told((), drop.reason, family, _topic(meta), _optional_ms(meta.dt), meta.id)
    except EventInvalid as error:
        return Told((), _reason(error), family, _topic(meta), _optional_ms(meta.dt), meta.id)
    return Told(records, "", family, _topic(meta), _optional_ms(meta.dt), meta.id)


# ── recentchange ───────────────────────────────────────────────────────────────────────────────


def _of_recentchange(event: up.RecentChange, rules: Rules) -> tuple[ChangeRecord, ...]:
    kind: Kind
    match event.type:
        case "edit":
            kind = "edit"
        case "new":
            kind = "create"
        case "log":
            return _of_log(event, rules)
        case "categorize":
            raise _Drop("categorize")
        case "external":
            raise _Drop("external")
        case None:
            raise EventInvalid("missing_field")
        case _:
            raise _Drop("type_unknown")
    wiki = _wiki(event.wiki)
    namespace = _namespace(event.namespace)
    if not rules.admits_place(wiki, namespace) or (event.bot and not rules.bots):
        raise _Drop("not_admitted")
    revision = event.revision
    number = _id(revision.new if revision else None)
    length = event.length or up.Pair()
    change = Change(
        identifier=identifier_of_revision(wiki, number),
        kind=kind,
        wiki=wiki,
        server_name=_host(event.server_name),
        title=_title(event.title),
        namespace=namespace,
        edited_ms=_seconds(event.timestamp) * 1_000,
        upstream_ms=_upstream_ms(event.meta),
        revision=number,
        parent=_id_or_none(revision.old if revision else None),
        bot=bool(event.bot),
        minor=bool(event.minor),
        size=length.new,
        parent_size=length.old,
        user_removed=_is_absent(event.user),
        stream=STREAM_OF["recentchange"],
        upstream_id=event.meta.id,
    )
    return (change,)


def _of_log(event: up.RecentChange, rules: Rules) -> tuple[ChangeRecord, ...]:
    becomes = logs.judge(event.log_type or "", event.log_action or "")
    if becomes == "ignored":
        raise _Drop("log_ignored")
    if becomes == "unknown":
        raise _Drop("log_unknown")
    kind, cause = becomes
    if rules.owners[kind] != "recentchange":
        if kind != "restore":
            raise _Drop("other_owner")
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
    return _admitted(changes, rules)


def _base_of_log(event: up.RecentChange, kind: Kind, cause: str) -> Change:
    wiki = _wiki(event.wiki)
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
        server_name=_host(event.server_name),
        title=_title(event.title),
        namespace=_namespace(event.namespace),
        edited_ms=_seconds(event.timestamp) * 1_000,
        upstream_ms=_upstream_ms(event.meta),
        bot=bool(event.bot),
        user_removed=_is_absent(event.user),
        log_id=_id_or_none(event.log_id),
        cause=cause,
        stream=STREAM_OF["recentchange"],
        upstream_id=event.meta.id,
    )


def _hidden_by_log(event: up.RecentChange, base: Change) -> tuple[Change, ...]:
    """One change a revision: the log names several at once."""
    params = _log_params(event)
    if params.type != "revision":  # of archived revisions, old files, log entries
        raise _Drop("log_ignored")
    if not params.ids or params.nfield is None:
        raise EventInvalid("missing_field")
    bits = _number(params.nfield)
    visibility = Visibility(
        text=not bits & HIDES_TEXT, comment=not bits & HIDES_COMMENT, editor=not bits & HIDES_USER
    )
    ids = params.ids.values() if isinstance(params.ids, dict) else params.ids
    revisions = dict.fromkeys(_id(_number(value)) for value in ids)
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
    target = _title(params.target)
    old = Place(base.title, base.namespace)
    moved = msgspec.structs.replace(
        base,
        title=target,
        namespace=namespace_of_target(target, old.title, old.namespace),
        previous=old,
    )
    if params.noredir in ("0", 0):
        return (moved, _redirect_left(moved, old))
    return (moved,)


def _redirect_left(move: Change, at: Place, page_id: int = 0) -> Change:
    return Change(
        identifier=identifier_derived(move.identifier, "redirect"),
        kind="create",
        wiki=move.wiki,
        server_name=move.server_name,
        title=at.title,
        namespace=at.namespace,
        edited_ms=move.edited_ms,
        upstream_ms=move.upstream_ms,
        page_id=page_id,
        bot=move.bot,
        is_redirect=True,
        user_removed=move.user_removed,
        cause="redirect",
        stream=move.stream,
        upstream_id=move.upstream_id,
    )


def _log_params(event: up.RecentChange) -> up.LogParams:
    raw = event.log_params
    if raw is UNSET:
        raise EventInvalid("missing_field")
    return _decode(up.LOG_PARAMS, bytes(raw))


# ── page_change ────────────────────────────────────────────────────────────────────────────────


def _of_page_change(event: up.PageChange, rules: Rules) -> tuple[ChangeRecord, ...]:
    kind: Kind
    match event.page_change_kind:
        case "create" | "edit" as kind:
            wiki = _wiki(event.wiki_id)
            _title(event.page.page_title)
            if not rules.admits_place(wiki, _namespace(event.page.namespace_id)):
                raise _Drop("not_admitted")
            hint = hints.of_page_change(event, wiki, _id(event.page.page_id), _upstream_ms(event.meta))
            if rules.owners[kind] != "page_change":
                return (hint,)
            return (*_admitted((_change_of_page(event, kind),), rules), hint)
        case "move" | "delete" as kind:
            pass
        case "undelete":
            kind = "restore"
        case "visibility_change":
            kind = "visibility"
        case None:
            raise EventInvalid("missing_field")
        case _:
            raise _Drop("type_unknown")
    if rules.owners[kind] != "page_change":
        raise _Drop("other_owner")
    change = _change_of_page(event, kind)
    if kind == "move":
        return _admitted(_moved_page(event, change), rules)
    return _admitted((change,), rules)


def _change_of_page(event: up.PageChange, kind: Kind) -> Change:
    wiki = _wiki(event.wiki_id)
    meta, page, revision = event.meta, event.page, event.revision
    number = _id_or_none(revision.rev_id)
    if kind in ("create", "edit"):
        identifier = identifier_of_revision(wiki, _id(number))
    elif meta.id:
        identifier = identifier_of_event(meta.id)
    else:
        raise EventInvalid("missing_field")
    before = event.prior_state.revision if event.prior_state else None
    visibility = None
    if kind == "visibility":
        flags = (revision.is_content_visible, revision.is_editor_visible, revision.is_comment_visible)
        if None in flags or not number:
            raise EventInvalid("missing_field")
        visibility = Visibility(text=bool(flags[0]), editor=bool(flags[1]), comment=bool(flags[2]))
    return Change(
        identifier=identifier,
        kind=kind,
        wiki=wiki,
        server_name=_host(meta.domain),
        title=_title(page.page_title),
        namespace=_namespace(page.namespace_id),
        edited_ms=_ms(event.dt) if event.dt else _upstream_ms(meta),
        upstream_ms=_upstream_ms(meta),
        page_id=_id(page.page_id),
        revision=number,
        parent=_id_or_none(revision.rev_parent_id),
        bot=bool(event.performer and event.performer.is_bot),
        minor=bool(revision.is_minor_edit),
        size=revision.rev_size,
        parent_size=before.rev_size if before else None,
        is_redirect=page.is_redirect,
        user_removed=revision.is_editor_visible is False,
        visibility=visibility,
        suppressed=event.performer is None and kind in ("delete", "visibility"),
        stream=STREAM_OF["page_change"],
        upstream_id=meta.id,
    )


def _moved_page(event: up.PageChange, change: Change) -> tuple[Change, ...]:
    """`prior_state.page` holds only what differs."""
    old = event.prior_state.page if event.prior_state else None
    if old is None or (old.page_title is None and old.namespace_id is None):
        return (change,)
    title = _title(old.page_title) if old.page_title is not None else change.title
    namespace = _namespace(old.namespace_id) if old.namespace_id is not None else change.namespace
    change = msgspec.structs.replace(change, previous=Place(title, namespace))
    left = event.created_redirect_page
    if left is None:
        return (change,)
    at = Place(
        _title(left.page_title) if left.page_title is not None else title,
        _namespace(left.namespace_id) if left.namespace_id is not None else namespace,
    )
    return (change, _redirect_left(change, at, _id_or_none(left.page_id)))


# ── visibility, tags, predictions ──────────────────────────────────────────────────────────────


def _of_revision(
    event: up.RevisionEvent, family: Literal["visibility", "tags"], rules: Rules
) -> tuple[ChangeRecord, ...]:
    wiki = _wiki(event.database)
    namespace = _namespace(event.page_namespace)
    if family == "tags":
        if not rules.admits_place(wiki, namespace):
            raise _Drop("not_admitted")
        page_id, revision = _id(event.page_id), _id(event.rev_id)
        return (hints.of_tags(event, wiki, page_id, revision, _upstream_ms(event.meta)),)
    if rules.owners["visibility"] != "visibility":
        raise _Drop("other_owner")
    flags = event.visibility
    if flags is None or not event.meta.id:
        raise EventInvalid("missing_field")
    upstream_ms = _upstream_ms(event.meta)
    change = Change(
        identifier=identifier_of_event(event.meta.id),
        kind="visibility",
        wiki=wiki,
        server_name=_host(event.meta.domain),
        title=_title(event.page_title),
        namespace=namespace,
        edited_ms=upstream_ms,
        upstream_ms=upstream_ms,
        page_id=_id(event.page_id),
        revision=_id(event.rev_id),
        parent=_id_or_none(event.rev_parent_id),
        minor=bool(event.rev_minor_edit),
        size=event.rev_len,
        is_redirect=event.page_is_redirect,
        visibility=Visibility(text=flags.text, editor=flags.user, comment=flags.comment),
        suppressed=_is_absent(event.performer),
        stream=STREAM_OF["visibility"],
        upstream_id=event.meta.id,
    )
    return _admitted((change,), rules)


def _of_prediction(event: up.PredictionChange, rules: Rules) -> tuple[ChangeRecord, ...]:
    wiki = _wiki(event.wiki_id)
    if not rules.admits_place(wiki, _namespace(event.page.namespace_id)):
        raise _Drop("not_admitted")
    page_id, revision = _id(event.page.page_id), _id(event.revision.rev_id)
    hint = hints.of_prediction(event, wiki, page_id, revision, _upstream_ms(event.meta))
    if hint is None:
        raise _Drop("no_signal")
    return (hint,)


# ── what an event must be ──────────────────────────────────────────────────────────────────────


def _admitted(changes: tuple[Change, ...], rules: Rules) -> tuple[Change, ...]:
    if any(change.namespace < 0 for change in changes):
        raise _Drop("special_page")
    admitted = tuple(change for change in changes if rules.admits(change))
    if not admitted:
        raise _Drop("not_admitted")
    return admitted


def _family(data: bytes) -> Family | Literal["unknown"]:
    """By schema; by topic or stream for those that carry none (older recordings)."""
    peek = _decode(up.PEEK, data)
    if not peek.schema:
        return family_of(peek.meta.stream or peek.meta.topic) or "unknown"
    family, major = _schema(peek.schema)
    if family is None:
        return "unknown"
    if major > 1 or (major < 1 and family != "recentchange"):
        raise EventInvalid("schema_major")
    return family


@lru_cache(maxsize=256)
def _schema(uri: str) -> tuple[Family | None, int]:
    """`/mediawiki/page/change/1.12.0` → page_change, 1."""
    path, _, version = uri.rpartition("/")
    major = version.partition(".")[0]
    return FAMILY_OF_SCHEMA.get(path), int(major) if major.isdecimal() and len(major) < 10 else 0


def _decode(decoder: "msgspec.json.Decoder[T]", data: bytes) -> T:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        raise EventInvalid("shape") from None
    except (msgspec.DecodeError, RecursionError):
        _utf8(data)
        raise EventInvalid("not_json") from None


def _utf8(data: bytes) -> None:
    """The parser looks at no string that nobody reads, so this has to be asked."""
    try:
        data.decode()
    except UnicodeDecodeError:
        raise EventInvalid("not_utf8") from None


def _no_canary(meta: up.Envelope) -> None:
    if meta.domain == "canary":
        raise _Drop("canary")


def _is_absent(raw: object) -> bool:
    return raw is UNSET or bytes(raw) in (b"null", b'""')  # type: ignore[call-overload]


def _topic(meta: up.Envelope) -> str:
    return meta.topic if meta.partition == 0 else f"{meta.topic}/{meta.partition}"


def _upstream_ms(meta: up.Envelope) -> int:
    if meta.dt is None:
        raise EventInvalid("missing_field")
    return _ms(meta.dt)


def _optional_ms(moment: datetime | None) -> int:
    return int(moment.timestamp() * 1_000) if moment else 0


def _ms(moment: datetime) -> int:
    seconds = moment.timestamp()
    if not 0 < seconds < LATEST_S:
        raise EventInvalid("out_of_range")
    return round(seconds * 1_000)


def _seconds(value: int | None) -> int:
    if value is None:
        raise EventInvalid("missing_field")
    if not 0 < value < LATEST_S:
        raise EventInvalid("out_of_range")
    return value


def _id(value: int | None) -> int:
    if value is None:
        raise EventInvalid("missing_field")
    if not 0 < value <= MAX_ID:
        raise EventInvalid("out_of_range")
    return value


def _id_or_none(value: int | None) -> int:
    if not value:
        return 0
    return _id(value)


def _number(value: int | str) -> int:
    if isinstance(value, int):
        return value
    if value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    raise EventInvalid("shape")


def _namespace(value: int | None) -> int:
    if value is None:
        raise EventInvalid("missing_field")
    if not -(2**31) <= value < 2**31:
        raise EventInvalid("out_of_range")
    return value


def _title(value: str | None) -> str:
    if not value:
        raise EventInvalid("missing_field")
    if len(value) > MAX_TITLE_CHARS:
        raise EventInvalid("out_of_range")
    return with_spaces(value)


@lru_cache(maxsize=4_096)
def _wiki(value: str | None) -> str:
    if not value:
        raise EventInvalid("missing_field")
    if not WIKI.fullmatch(value):  # it becomes a key, where `:` and `/` have a meaning
        raise EventInvalid("out_of_range")
    return value


@lru_cache(maxsize=4_096)
def _host(value: str | None) -> str:
    """No judgement of whether it may be asked: that is enrich's allow-list."""
    if not value:
        raise EventInvalid("missing_field")
    if not HOST.fullmatch(value):
        raise EventInvalid("out_of_range")
    return value


_REASONS: Final[frozenset[str]] = frozenset(get_args(DropReason))


def _reason(error: EventInvalid) -> DropReason:
    assert error.reason in _REASONS
    return error.reason  # type: ignore[return-value]
