"""`list=recentchanges` and `list=logevents`: what a wiki itself says has happened. Pure.

Comments and users are in the answer for the flags that say they are hidden, and are not decoded. What no page
of a wiki can be (an id out of range, a title that none allows, a time that was not asked for) is left out: a
wiki that invents is not believed, and one odd row does not spoil the rest.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Raw, Struct

from streamer.errors import AnswerInvalid
from streamer.model import Hideable, Place, Visibility
from streamer.origin.answer import SiteInfo
from streamer.origin.parse import ApiErrorTold, Asked, Reply, decoded, judged_site
from streamer.origin.query import MORE_NAMES, title_key
from streamer.origin.siteinfo import SiteQuery

MAX_ID: Final = 9_007_199_254_740_991
MAX_HIDDEN_AT_ONCE: Final = 10_000
"""Revisions in one log entry, each of which becomes a change."""
MORE_MOST: Final = 512
"""Characters of a continuation: those of a wiki have forty."""


class Span(Struct, frozen=True):
    """Seconds since 1970, both included: a wiki's times have no fractions."""

    since_s: int
    until_s: int


More = tuple[tuple[str, str], ...]


class Edited(Struct, frozen=True):
    """A row of an edit or a new page."""

    page_id: int
    revision: int
    title: str
    namespace: int
    edited_ms: int
    is_new: bool = False
    bot: bool = False
    hides: tuple[Hideable, ...] = ()
    """What a reader may not see of it."""


class Logged(Struct, frozen=True):
    """A log entry. The title is where it happened: of a move, the old one."""

    log_id: int
    page_id: int
    """0: it doesn't say."""
    title: str
    namespace: int
    edited_ms: int
    type: str
    action: str
    target: Place | None = None
    leaves_redirect: bool = False
    revisions: tuple[int, ...] = ()
    visibility: Visibility | None = None
    """What can be seen of `revisions` since then."""
    suppressed: bool = False


class Listing(Struct, frozen=True):
    """`more` is given back for what was cut off; empty at the end."""

    edits: tuple[Edited, ...] = ()
    logs: tuple[Logged, ...] = ()
    more: More = ()


class _Change(Struct):
    type: str = ""
    ns: int = 0
    title: str = ""
    pageid: int = 0
    revid: int = 0
    timestamp: str = ""
    bot: bool = False
    sha1hidden: bool = False
    commenthidden: bool = False
    userhidden: bool = False


class _Entry(Struct):
    logid: int = 0
    logpage: int = 0
    ns: int = 0
    title: str = ""
    type: str = ""
    action: str = ""
    timestamp: str = ""
    params: Raw = Raw(b"{}")


class _Move(Struct):
    target_title: str
    target_ns: int = 0
    suppressredirect: bool = False


class _Bits(Struct):
    content: bool = False
    comment: bool = False
    user: bool = False
    restricted: bool = False


class _Hidden(Struct):
    type: str
    new: _Bits
    ids: list[int | str] | dict[str, int | str] = msgspec.field(default_factory=list)


class _Query(SiteQuery):
    recentchanges: tuple[_Change, ...] = ()
    logevents: tuple[_Entry, ...] = ()


class _Envelope(Struct):
    error: ApiErrorTold | None = None
    query: _Query | None = None
    continue_: dict[str, str | int | float] | None = msgspec.field(name="continue", default=None)


_decoder = msgspec.json.Decoder(_Envelope)
_moves = msgspec.json.Decoder(_Move)
_hidden = msgspec.json.Decoder(_Hidden)


def read_listing(reply: Reply, span: Span, before: More, asked: Asked) -> tuple[Listing, SiteInfo | None]:
    """And the site info, where it rode along. `before` is what was continued. Raises Unparsable, ApiError,
    AnotherWiki, and AnswerInvalid for a continuation that leads nowhere.
    """
    envelope = decoded(reply, _decoder)
    query = envelope.query or _Query()
    brought, _ = judged_site(query, asked)
    more = _more(envelope.continue_ or {})
    if more and more == before:
        raise AnswerInvalid("truncated", "the list continues where it was")
    return Listing(tuple(_edits(query, span)), tuple(_logs(query, span)), more), brought


def _more(told: dict[str, str | int | float]) -> More:
    """Only what continues these lists: a name of its own would ask for something else."""
    more = tuple(sorted((name, str(value)) for name, value in told.items() if name in MORE_NAMES))
    if any(len(value) > MORE_MOST for _, value in more):
        raise AnswerInvalid("truncated", "a continuation of that size is none")
    return more


def _edits(query: _Query, span: Span) -> Iterator[Edited]:
    for row in query.recentchanges:
        title = _title(row.title)
        edited_ms = _within(row.timestamp, span)
        if row.type not in {"edit", "new"} or not (title and edited_ms):
            continue
        if not (_is_id(row.pageid) and _is_id(row.revid) and _is_namespace(row.ns)):
            continue
        flags = Visibility(text=not row.sha1hidden, editor=not row.userhidden, comment=not row.commenthidden)
        yield Edited(
            row.pageid, row.revid, title, row.ns, edited_ms, row.type == "new", row.bot, flags.hides()
        )


def _logs(query: _Query, span: Span) -> Iterator[Logged]:
    for row in query.logevents:
        title = _title(row.title)  # "" where the entry itself is hidden
        edited_ms = _within(row.timestamp, span)
        if not (title and edited_ms and _is_id(row.logid) and _is_namespace(row.ns)):
            continue
        entry = Logged(
            row.logid,
            row.logpage if _is_id(row.logpage) else 0,
            title,
            row.ns,
            edited_ms,
            row.type,
            row.action,
        )
        detailed = _detailed(entry, bytes(row.params))
        if detailed is not None:
            yield detailed


def _detailed(entry: Logged, params: bytes) -> Logged | None:
    """None for an entry whose details can't be understood, or are of other things than pages."""
    try:
        if entry.type == "move":
            return _moved(entry, _moves.decode(params))
        if (entry.type, entry.action) == ("delete", "revision"):
            return _hidden_by(entry, _hidden.decode(params))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    return entry


def _moved(entry: Logged, move: _Move) -> Logged | None:
    title = _title(move.target_title)
    if not title or not _is_namespace(move.target_ns):
        return None
    place = Place(title, move.target_ns)
    return msgspec.structs.replace(entry, target=place, leaves_redirect=not move.suppressredirect)


def _hidden_by(entry: Logged, hidden: _Hidden) -> Logged | None:
    ids = hidden.ids.values() if isinstance(hidden.ids, dict) else hidden.ids
    revisions = tuple(dict.fromkeys(int(number) for number in ids))
    if hidden.type != "revision" or not 0 < len(revisions) <= MAX_HIDDEN_AT_ONCE:
        return None
    if not all(map(_is_id, revisions)):
        return None
    new = hidden.new
    visibility = Visibility(text=not new.content, editor=not new.user, comment=not new.comment)
    return msgspec.structs.replace(
        entry, revisions=revisions, visibility=visibility, suppressed=new.restricted
    )


def _title(text: str) -> str:
    try:
        return title_key(text)
    except AnswerInvalid:
        return ""


def _within(timestamp: str, span: Span) -> int:
    """Unix ms; 0 for what was not asked for."""
    try:
        seconds = datetime.fromisoformat(timestamp).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return 0
    return int(seconds) * 1000 if span.since_s <= seconds < span.until_s + 1 else 0


def _is_id(number: int) -> bool:
    return 0 < number <= MAX_ID


def _is_namespace(number: int) -> bool:
    return -(2**31) <= number < 2**31
