"""What an answer of the action API means, for each thing that was asked: pure.

The API tells errors with status 200, truncates without an error, collapses duplicates, orders as it
likes, and can be wrong about what it was asked. So nothing is concluded from position or absence:
each key is looked up by revision id, page id or normalised title, and what can't be found is
*unreached* (ask again), never *missing* (the wiki said so).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from consumers.credit import absolute
from streamer.errors import AnswerInvalid
from streamer.model import Image, Protection
from streamer.nameless import TEMPORARY_USER, is_address
from streamer.origin.answer import Answer, Found, Missing, PageAnswer, RevisionAnswer, SiteInfo
from streamer.origin.pagelists import Lists, PageLists, is_cut, left_of
from streamer.origin.scheduler import By
from streamer.origin.siteinfo import SiteQuery, site_info
from streamer.partners import PageList


class Unparsable(Exception):
    """No JSON, or JSON of another shape."""


class AnotherPage(Exception):
    """It tells of what was not asked: an answer to another question, of which nothing is believed, since
    what looks like ours in it may be mixed up too.
    """


class ApiError(Exception):
    """The wiki said an error, with status 200. `code` is its own word, e.g. `maxlag`."""

    def __init__(self, code: str, limit: int | None, lag_type: str, retry_after_s: float | None) -> None:
        super().__init__(code)
        self.code = code
        self.limit = limit
        self.lag_type = lag_type
        """Of maxlag: whose lag, e.g. `db`, `wikibase-queryservice`."""
        self.retry_after_s = retry_after_s


class _Slot(Struct):
    contentmodel: str = ""
    content: str | None = None
    texthidden: bool = False
    textmissing: bool = False


class _Revision(Struct):
    revid: int
    timestamp: str = ""
    parentid: int = 0
    minor: bool = False
    size: int = 0
    sha1: str = ""
    comment: str = ""
    user: str = ""
    userid: int = 0
    anon: bool = False
    temp: bool = False
    tags: tuple[str, ...] = ()
    slots: dict[str, _Slot] = msgspec.field(default_factory=dict)
    slotsmissing: bool = False
    texthidden: bool = False
    textmissing: bool = False
    sha1hidden: bool = False
    commenthidden: bool = False
    userhidden: bool = False
    suppressed: bool = False


class _Protection(Struct):
    type: str
    level: str
    expiry: str = "infinity"


class _Page(PageLists):
    title: str = ""
    ns: int = 0
    pageid: int = 0
    missing: bool = False
    invalid: bool = False
    special: bool = False
    contentmodel: str = ""
    pagelanguage: str = ""
    pagelanguagedir: str = ""
    lastrevid: int | UnsetType = UNSET
    redirect: bool = False
    protection: tuple[_Protection, ...] = ()
    pageprops: dict[str, object] | list[object] | UnsetType = UNSET
    revisions: tuple[_Revision, ...] | UnsetType = UNSET
    original: object = None
    """A picture's, as an extension says it: no reason to lose an answer over."""


class _BadRevision(Struct):
    revid: int


class _Normalized(Struct):
    to: str
    from_: str = msgspec.field(name="from")


class _Interwiki(Struct):
    title: str


class _LogEvent(Struct):
    logid: int = 0
    type: str = ""
    action: str = ""
    timestamp: str = ""
    logpage: int = 0


class _Query(SiteQuery):
    pages: tuple[_Page, ...] = ()
    badrevids: dict[str, _BadRevision] | list[_BadRevision] = msgspec.field(default_factory=dict)
    normalized: tuple[_Normalized, ...] = ()
    interwiki: tuple[_Interwiki, ...] = ()
    logevents: tuple[_LogEvent, ...] = ()


class ApiErrorTold(Struct):
    code: str
    limit: int | None = None
    type: str = ""


class _Envelope(Struct):
    error: ApiErrorTold | None = None
    query: _Query | None = None
    limits: dict[str, int] | list[object] = msgspec.field(default_factory=dict)
    continue_: dict[str, str | int | float] | None = msgspec.field(name="continue", default=None)


_decoder = msgspec.json.Decoder(_Envelope)

Key = int | str


@dataclass(slots=True)
class Reading:
    """`unreached`: truncated away, ask again. `unanswered`: not a word of it though nothing was cut."""

    answers: dict[Key, Answer] = field(default_factory=dict)
    invalid: dict[Key, AnswerInvalid] = field(default_factory=dict)
    unreached: list[Key] = field(default_factory=list)
    unanswered: list[Key] = field(default_factory=list)
    site: SiteInfo | None = None
    """Where this answer brought it."""
    more: dict[PageList, str] = field(default_factory=dict)
    """Lists that were cut, of whichever pages: what the answers have of them are beginnings."""
    pages: frozenset[int] = frozenset()
    """All that it told of."""
    unknown: frozenset[PageList] = frozenset()
    """Lists that were asked for, and that the wiki did not say a word of."""


class Reply(Struct, frozen=True):
    """A body with status 200, unpacked."""

    body: bytes
    retry_after_s: float | None = None


class _MayFail(Protocol):
    @property
    def error(self) -> ApiErrorTold | None: ...


EnvelopeT = TypeVar("EnvelopeT", bound=_MayFail)


def decoded(reply: Reply, decoder: "msgspec.json.Decoder[EnvelopeT]") -> EnvelopeT:
    """Raises Unparsable, and ApiError where the wiki said one."""
    try:
        envelope = decoder.decode(reply.body)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as problem:
        raise Unparsable(type(problem).__name__) from None
    error = envelope.error
    if error is not None:
        raise ApiError(error.code, error.limit, error.type, reply.retry_after_s)
    return envelope


@dataclass(frozen=True, slots=True)
class Asked:
    """What the request was, as far as its answer is judged by it."""

    wiki: str
    server_name: str
    asked_ms: int
    site: SiteInfo | None
    """As it is known already."""
    lists: frozenset[PageList] = frozenset()
    """Of the page, beside it."""


def read_pages(reply: Reply, by: By, keys: Sequence[Key], asked: Asked) -> Reading:
    """Raises Unparsable, AnotherPage, ApiError; AnotherWiki."""
    envelope = decoded(reply, _decoder)
    query = envelope.query or _Query()
    brought, site = judged_site(query, asked)
    reading = Reading(site=brought)
    if site is None:
        reading.unanswered.extend(keys)
        return reading
    answer = _Answer(envelope, by, asked, site)
    if answer.is_about_others(keys):
        raise AnotherPage
    reading.more, reading.unknown = answer.more, asked.lists - answer.lists
    reading.pages = frozenset(page.pageid for page in query.pages if page.pageid)
    for key in keys:
        answer.judge(key, reading)
    return reading


def read_log(
    reply: Reply, log_id: int, time_ms: int, asked: Asked
) -> tuple[tuple[int, ...], SiteInfo | None]:
    """The page ids of the deletes and moves that the entry `log_id` tells of; where that is 0, of those
    at `time_ms`, to the second. And the site info, where it rode along. Raises as `read_pages`.
    """
    query = decoded(reply, _decoder).query or _Query()
    brought, _ = judged_site(query, asked)
    pages: list[int] = []
    for entry in query.logevents:
        at_s = _time_ms(entry.timestamp) // 1000 if entry.timestamp else -1
        meant = entry.logid == log_id if log_id else at_s == time_ms // 1000
        if meant and entry.type in {"delete", "move"} and entry.logpage > 0 and entry.action in REMOVING:
            pages.append(entry.logpage)
    return tuple(dict.fromkeys(pages)), brought


REMOVING: Final = frozenset({"delete", "delete_redir", "delete_redir2", "move", "move_redir"})
"""The log actions that have a page of their own at that title; `revision` and `event` only hide."""


def judged_site(query: SiteQuery, asked: Asked) -> tuple[SiteInfo | None, SiteInfo | None]:
    """What the answer brought, and what is known with it. Raises AnotherWiki."""
    brought = site_info(query, asked.server_name, asked.asked_ms)
    site = brought or asked.site
    if site is not None and site.wiki != asked.wiki:
        raise AnotherWiki(site)
    return brought, site


class AnotherWiki(AnswerInvalid):
    """The server is another wiki's than the change says. `site` is what it says it is."""

    def __init__(self, site: SiteInfo) -> None:
        super().__init__("another_wiki", f"{site.server_name} is {site.wiki}")
        self.site = site


class _Answer:
    def __init__(self, envelope: _Envelope, by: By, asked: Asked, site: SiteInfo) -> None:
        query, more = envelope.query or _Query(), envelope.continue_ or {}
        # a limit is said of each list that the wiki knows: of another it would say no entry either
        self.lists: Final = frozenset(name for name in asked.lists if name in envelope.limits)
        self.more: Final = left_of(self.lists, more)
        self._by = by
        self._asked_ms = asked.asked_ms
        self._site = site
        self._cut = is_cut(more)
        self._properties_cut = "ppcontinue" in more
        self._pages: Final = query.pages
        self._renamed = {entry.from_: entry.to for entry in query.normalized}
        self._interwiki = {entry.title for entry in query.interwiki}
        bad = query.badrevids
        self._bad = {entry.revid for entry in (bad.values() if isinstance(bad, dict) else bad)}
        self._by_revision = {
            revision.revid: (page, revision) for page in query.pages for revision in page.revisions or ()
        }
        self._by_title = {page.title: page for page in query.pages}
        self._by_id = {page.pageid: page for page in query.pages if page.pageid}

    def is_about_others(self, keys: Iterable[Key]) -> bool:
        asked = set(keys)
        if self._by == "revision":
            return bool(self._by_revision.keys() - asked)
        if self._by == "title":
            return bool(self._by_title.keys() - {self._renamed.get(str(key), key) for key in asked})
        return bool(self._by_id.keys() - asked)

    def judge(self, key: Key, reading: Reading) -> None:
        if self._by == "revision":
            found = self._by_revision.get(int(key))
            if found is not None:
                self._judge_revision(key, *found, reading)
            elif key in self._bad:
                reading.answers[key] = Missing(self._asked_ms, self._site)
            else:
                self._nothing(key, reading)
            return
        page = (
            self._by_title.get(self._renamed.get(str(key), str(key)))
            if self._by == "title"
            else self._by_id.get(int(key))
        )
        if page is None:
            if self._by == "title" and self._renamed.get(str(key), key) in self._interwiki:
                reading.invalid[key] = AnswerInvalid("interwiki")
            else:
                self._nothing(key, reading)
        elif page.invalid or page.special:
            reading.invalid[key] = AnswerInvalid("invalid_title" if page.invalid else "special_page")
        elif page.missing:
            reading.answers[key] = Missing(self._asked_ms, self._site)
        elif page.revisions is UNSET or not page.revisions:
            self._nothing(key, reading)
        else:
            self._judge_revision(key, page, page.revisions[0], reading)

    def _nothing(self, key: Key, reading: Reading) -> None:
        (reading.unreached if self._cut else reading.unanswered).append(key)

    def _judge_revision(self, key: Key, page: _Page, revision: _Revision, reading: Reading) -> None:
        if self._cut and (
            page.lastrevid is UNSET or (self._properties_cut and page.pageprops is UNSET)
        ):  # the text came, and what else is said of the page was cut away
            reading.unreached.append(key)
            return
        try:
            reading.answers[key] = Found(
                site=self._site,
                page=_page_answer(page, self._site, {name: page.titles(name) for name in self.lists}),
                revision=_revision_answer(revision),
                asked_ms=self._asked_ms,
            )
        except AnswerInvalid as error:
            reading.invalid[key] = error


def _page_answer(page: _Page, site: SiteInfo, lists: Lists) -> PageAnswer:
    properties = page.pageprops if isinstance(page.pageprops, dict) else {}
    entity = properties.get("wikibase_item")
    last = page.lastrevid
    if page.pageid <= 0 or last is UNSET:
        raise AnswerInvalid("incomplete_page")
    return PageAnswer(
        page_id=page.pageid,
        namespace=page.ns,
        title=page.title,
        last_revision=last,
        content_model=page.contentmodel,
        language=page.pagelanguage or site.language,
        direction=page.pagelanguagedir or site.direction,
        is_redirect=page.redirect,
        is_disambiguation="disambiguation" in properties,
        main_entity=entity if isinstance(entity, str) else "",
        protection=tuple(Protection(p.type, p.level, p.expiry) for p in page.protection),
        lists=lists,
        noindex="noindex" in properties,
        image=_image(page.original),
    )


def _image(original: object) -> Image | None:
    if not isinstance(original, dict) or not isinstance(source := original.get("source"), str):
        return None
    width, height = (original.get(name) for name in ("width", "height"))
    if type(width) is int and type(height) is int and width > 0 < height:
        return Image(absolute(source), width, height)
    return Image(absolute(source))  # a sound has none, and tells 0 or false


def _revision_answer(revision: _Revision) -> RevisionAnswer:
    """What is marked as hidden is not taken, though a privileged account is sent it all the same."""
    slot = revision.slots.get("main")
    text_hidden = revision.texthidden or (slot is not None and slot.texthidden)
    content: str | None = None
    if not text_hidden:
        if revision.slotsmissing or slot is None:
            raise AnswerInvalid("slots_missing")
        if revision.textmissing or slot.textmissing or slot.content is None:
            raise AnswerInvalid("text_missing")
        content = slot.content
    user = "" if revision.userhidden else revision.user
    temporary = revision.temp or bool(TEMPORARY_USER.match(user))
    return RevisionAnswer(
        identifier=revision.revid,
        parent=revision.parentid,
        edited_ms=_time_ms(revision.timestamp),
        minor=revision.minor,
        size=revision.size,
        sha1="" if revision.sha1hidden or text_hidden else revision.sha1,
        content=content,
        content_model=slot.contentmodel if slot else "",
        comment="" if revision.commenthidden else revision.comment,
        user=user,
        user_id=0 if revision.userhidden else revision.userid,
        is_anonymous=bool(user) and not temporary and (revision.anon or is_address(user)),
        is_temporary=bool(user) and temporary,
        tags=revision.tags,
        text_hidden=text_hidden,
        comment_hidden=revision.commenthidden,
        user_hidden=revision.userhidden,
        suppressed=revision.suppressed,
    )


def _time_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        # in UTC it must still be a year that can be written, or the article's dates could not
        return int(moment.astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise AnswerInvalid("bad_timestamp") from None
