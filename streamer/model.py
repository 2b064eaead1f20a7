"""What travels: changes and hints into enrich, articles out of it, and how their records look.

Times inside records of our own are Unix milliseconds; in the article object, which is the partner's
contract, they are RFC 3339 text. Titles are with spaces and with their namespace, as a reader sees
them. Nothing here but an article holds a comment or the name of a person.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal, get_args
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct, UnsetType

from consumers.wikitext.structure import Infobox, Section
from streamer.log.base import Headers, Stored
from streamer.separators import escaped

Kind = Literal["create", "edit", "move", "delete", "restore", "visibility", "refresh"]
EventType = Literal["update", "delete", "visibility-change"]
Hideable = Literal["text", "comment", "editor"]
Direction = Literal["ltr", "rtl"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

EVENT_TYPE: Final[Mapping[Kind, EventType]] = {
    "create": "update",
    "edit": "update",
    "move": "update",
    "restore": "update",
    "refresh": "update",
    "delete": "delete",
    "visibility": "visibility-change",
}
"""The usual type of each kind. What is found hidden is a `visibility-change` whatever its kind, and a move
out of a partner's scope arrives as `delete`. A visibility change of an older revision restates the article,
text and all: `visibility` says what can be seen of it, `event.revision` which revision was hidden.
"""

IDENTIFIERS: Final = UUID("6e1f2c1a-6d3c-5f0b-9a77-0f2b64d1c7d3")
"""The namespace of every `event.identifier`. Changing it changes every identifier."""
_NAMESPACE: Final = hashlib.sha1(IDENTIFIERS.bytes, usedforsecurity=False)
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def identifier_of_revision(wiki: str, revision: int) -> str:
    """`event.identifier` of a create or an edit: equal on every run and for all partners."""
    return _identifier(f"{wiki}|rev|{revision}")


def identifier_of_event(meta_id: str) -> str:
    """`event.identifier` of a change that upstream named itself (`meta.id`)."""
    return _identifier(meta_id)


def identifier_of_log(wiki: str, log_id: int) -> str:
    return _identifier(f"{wiki}|log|{log_id}")


def identifier_derived(cause: str, what: Literal["redirect", "replay", "reconcile"]) -> str:
    """Of a change that follows from another one, whose identifier is `cause`."""
    return _identifier(f"{cause}|{what}")


def _identifier(name: str) -> str:
    """`str(uuid5(IDENTIFIERS, name))`, four times as fast: each event of the stream takes one."""
    sha1 = _NAMESPACE.copy()
    sha1.update(name.encode())
    digits = sha1.hexdigest()
    return (
        f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:32]}"
    )


class Place(Struct, frozen=True, omit_defaults=True):
    """Where a page was: for moves."""

    title: str
    namespace: int


class Visibility(Struct, frozen=True):
    """What can still be seen of a revision."""

    text: bool = True
    editor: bool = True
    comment: bool = True

    def hides(self) -> tuple[Hideable, ...]:
        hidden: list[Hideable] = []
        if not self.text:
            hidden.append("text")
        if not self.comment:
            hidden.append("comment")
        if not self.editor:
            hidden.append("editor")
        return tuple(hidden)


class Change(Struct, frozen=True, omit_defaults=True, tag_field="record", tag="change"):
    """One admitted change: ends in exactly one counted outcome. 0 and "" mean unknown."""

    identifier: str
    kind: Kind
    wiki: str
    server_name: str
    title: str
    namespace: int
    edited_ms: int
    """When it happened on the wiki."""
    upstream_ms: int
    """`meta.dt`: when upstream's stream got it."""
    page_id: int = 0
    revision: int = 0
    parent: int = 0
    bot: bool = False
    minor: bool = False
    size: int | None = None
    parent_size: int | None = None
    is_redirect: bool | None = None
    user_removed: bool = False
    """The stream has removed the user: it stays removed whatever the API says."""
    previous: Place | None = None
    """Of a move: the old place."""
    visibility: Visibility | None = None
    suppressed: bool = False
    log_id: int = 0
    cause: str = ""
    """What made a refresh or a derived change: protect, import, merge, upload, redirect, replay, …"""
    replays: Kind | None = None
    """Of the replay of a dead letter, which is a `refresh`: what its letter's change was. Of what reconcile
    repairs: what the stream should have told."""
    stream: str = ""
    """The upstream stream, e.g. `mediawiki.recentchange`."""
    upstream_id: str = ""
    """`meta.id`."""
    traceparent: str = ""

    @property
    def meant(self) -> Kind:
        """What happened on the wiki, be this its replay."""
        return self.replays or self.kind


class EditorFigures(Struct, frozen=True, omit_defaults=True):
    """What hints say of an editor: figures, never the name."""

    edit_count: int | None = None
    groups: tuple[str, ...] | None = None
    registered_ms: int | None = None
    is_bot: bool | None = None
    is_temporary: bool | None = None


class Hint(Struct, frozen=True, omit_defaults=True, tag_field="record", tag="hint"):
    """Metadata that came for free, about one revision. Never counted, never required."""

    wiki: str
    page_id: int
    revision: int
    upstream_ms: int
    parent: int = 0
    sha1: str = ""
    """Hex, 40 characters."""
    parent_sha1: str = ""
    content_model: str = ""
    size: int | None = None
    parent_size: int | None = None
    parent_edited_ms: int | None = None
    editor: EditorFigures | None = None
    reverted_oldest: int = 0
    reverted_newest: int = 0
    restored: int = 0
    """The revision whose content this one has again."""
    restored_reverted: bool = False
    """That one had been reverted."""
    tags: tuple[str, ...] | None = None
    previous_tags: tuple[str, ...] | None = None
    scores: dict[str, float] | None = None
    """Model name to the probability that the revision will be reverted."""

    @property
    def is_of_edit(self) -> bool:
        """Whether page_change told it, which says the most of a revision: not its tags or scores alone."""
        return self.tags is None and self.scores is None


ChangeRecord = Change | Hint

_change_decoder = msgspec.json.Decoder(ChangeRecord)
_encoder = msgspec.json.Encoder()


def decode_change(value: bytes) -> ChangeRecord:
    """Raises msgspec.ValidationError or msgspec.DecodeError."""
    record: ChangeRecord = _change_decoder.decode(value)
    return record


def encode_value(value: object) -> bytes:
    """One line of UTF-8 JSON that no line splitter cuts: U+0085, U+2028 and U+2029 are escaped."""
    return escaped(_encoder.encode(value))


def rfc3339(time_ms: int) -> str:
    """`2026-11-21T12:00:00Z`: without fractions, because Enterprise's clients parse exactly this."""
    return f"{_to_the_second(time_ms // 1000)}Z"


def rfc3339_ms(time_ms: int) -> str:
    """`2026-11-21T12:00:00.123Z`, for the times that are ours (`event.*`, `ce_time`)."""
    seconds, ms = divmod(time_ms, 1000)
    return f"{_to_the_second(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=1_024)
def _to_the_second(time_s: int) -> str:
    """Most of what is told is of the same few seconds."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def page_key(wiki: str, page_id: int) -> str:
    return f"{wiki}:{page_id}"


def revision_key(wiki: str, page_id: int, revision: int) -> str:
    """Of a late record, and of a cut-off that concerns one revision."""
    return f"{wiki}:{page_id}/{revision}"


# ── the article object ─────────────────────────────────────────────────────────────────────────

Maybe = UnsetType
"""A field typed `X | Maybe` may be absent from the JSON."""


class Size(Struct, frozen=True):
    value: float
    """Bytes."""
    unit_text: str = "B"


class Editor(Struct, frozen=True):
    """Who made the revision. Absent where that is hidden, and in the feed of who is given no editors. In the
    feed of who is given pseudonyms, `name` and what begins with `is_` but `is_admin` are all there is.
    """

    identifier: int | Maybe = UNSET
    """Absent of who has no account."""
    name: str | Maybe = UNSET
    """An address, of who is anonymous. Where pseudonyms are given it is one, `user-…`, and absent of who has
    no account or a temporary one.
    """
    edit_count: int | Maybe = UNSET
    """As the stream told it; else absent, as `groups`, `is_admin` and `date_started`."""
    groups: list[str] | Maybe = UNSET
    is_bot: bool | Maybe = UNSET
    """Absent where it is not known."""
    is_anonymous: bool | Maybe = UNSET
    """An address; absent only where it was left out."""
    is_admin: bool | Maybe = UNSET
    is_temporary: bool | Maybe = UNSET
    """A temporary account."""
    date_started: str | Maybe = UNSET


class Reverts(Struct, frozen=True):
    """What a revision undoes: all of its page from the oldest to the newest of these."""

    oldest_identifier: int
    """As far as they are known: where `restored_identifier` is there, all that came after it are undone."""
    newest_identifier: int
    restored_identifier: int | Maybe = UNSET
    """Whose content the page has again. Absent where it is not known, and where it is none's exactly."""
    is_repeated: bool | Maybe = UNSET
    """True: what is restored had been reverted itself, as when vandalism is put back. Else absent, also where
    that is not known.
    """


class MaintenanceTags(Struct, frozen=True):
    """How often editors have marked the text as wanting, by templates in its wikitext. Each is absent where
    the names of these templates are not known in the wiki's language.
    """

    citation_needed_count: int | Maybe = UNSET
    """That a source is wanted."""
    pov_count: int | Maybe = UNSET
    """That it is not neutral."""
    clarification_needed_count: int | Maybe = UNSET
    """That it is not clear what is meant."""
    update_count: int | Maybe = UNSET
    """That it is out of date."""


class Version(Struct, frozen=True):
    """The revision that the article shows."""

    identifier: int
    """The revision's id on its wiki."""
    comment: str | Maybe = UNSET
    """Absent where it is hidden, and of removals. In feeds without names of editors, names of users in it are
    `[…]`, as far as they can be told; where they can't be looked for it is absent.
    """
    tags: list[str] | Maybe = UNSET
    """Of the wiki's own making, e.g. `mobile edit`, as far as they were known in time: some come minutes
    later, and are not told again. Absent where text is hidden, and of removals; as `is_minor_edit`.
    """
    is_minor_edit: bool | Maybe = UNSET
    number_of_characters: int | Maybe = UNSET
    """Of `article_body.wikitext`, in code points."""
    size: Size | Maybe = UNSET
    """The revision's, as `sha1`: of files on Commons with their structured data."""
    scores: dict[str, object] | Maybe = UNSET
    """How likely a revert is, by model: `prediction`, `probability.true` and `.false`. `revertrisk` is of
    Wikipedias; others are named as their model is, e.g. `revertrisk-multilingual`, `revertrisk-wikidata`.
    Absent unless known in time, and of all but edits of articles.
    """
    editor: Editor | Maybe = UNSET
    is_current: bool | Maybe = UNSET
    """Whether it was the page's newest revision when it was fetched."""
    parent_identifier: int | Maybe = UNSET
    """0 of a page's first revision."""
    sha1: str | Maybe = UNSET
    """Hex. Absent where text is hidden."""
    content_model: str | Maybe = UNSET
    """`wikitext`, `wikibase-item`, `Scribunto`, `sanitized-css`, … Text and abstract are made of wikitext
    alone.
    """
    noindex: bool | Maybe = UNSET
    """Whether the page asks search engines to leave it out (`__NOINDEX__`), at the time of fetch. What a wiki
    says of whole namespaces does not show here.
    """
    maintenance_tags: MaintenanceTags | Maybe = UNSET
    """Absent of other content than wikitext, and where the wiki's language is not in the table of names."""
    size_change: int | Maybe = UNSET
    """Bytes more than in the revision before; of a page's first one its size. Absent where the size before is
    not known, and where the text of either is hidden.
    """
    reverts: Reverts | Maybe = UNSET
    """Of a revert. Absent of other revisions, where it was not known in time, and where text is hidden."""
    is_reverted: bool | Maybe = UNSET
    """True: it had been reverted by the time it was published. Else absent: nobody knows what is to come."""


class PreviousVersion(Struct, frozen=True):
    """The revision before; absent of a page's first one."""

    identifier: int
    number_of_characters: int | Maybe = UNSET
    """Not filled by this version: nothing that is asked for tells it."""
    size: Size | Maybe = UNSET
    """Absent where it is not known and where this revision's text is hidden; as `sha1`."""
    sha1: str | Maybe = UNSET


class Namespace(Struct, frozen=True):
    identifier: int
    """0: articles."""
    name: str | Maybe = UNSET
    """In the wiki's language, empty for articles; absent where it is not known."""


class Language(Struct, frozen=True):
    identifier: str
    """A language code, e.g. `en`."""
    name: str | Maybe = UNSET
    """In English; absent of the few languages that are not in our table."""
    direction: Direction | Maybe = UNSET
    """Of its script; absent where the wiki did not say."""


class Entity(Struct, frozen=True):
    identifier: str
    """Of Wikidata, e.g. `Q42`."""
    url: str


class Link(Struct, frozen=True):
    """To a page of the same wiki."""

    name: str
    """Its title, with its namespace."""
    url: str


class Project(Struct, frozen=True):
    """The wiki."""

    identifier: str
    """The wiki's database name, e.g. `enwiki`."""
    name: str | Maybe = UNSET
    """As the wiki calls itself. Of a removal absent where the wiki was never asked, as `in_language`."""
    url: str | Maybe = UNSET
    """Absent only where it was left out."""
    in_language: Language | Maybe = UNSET


class ArticleBody(Struct, frozen=True):
    wikitext: str | Maybe = UNSET
    """The content as the wiki holds it, whatever its model (JSON for items). What a page has beside it is not
    here: structured data of files on Commons (`mediainfo`).
    """
    text: str | Maybe = UNSET
    """Plain text. Of wikitext only; empty for a redirect, which has no prose (`redirect_target` says where it
    leads), and absent where none could be made.
    """
    html: str | Maybe = UNSET
    """As Parsoid renders this revision: a whole document. Of wikitext only, and not of redirects. It costs
    the wiki a request of its own: absent where it could not be had in time, or not within the share of all
    requests that it may take. In feeds without names of editors, pages whose title has one are without it,
    and so is what would name the editor by a word of the wiki's (`{{REVISIONUSER}}`).
    """
    sections: list[Section] | Maybe = UNSET
    """Of the plain text of the wikitext: the lead, then one for each heading. Whether there is HTML changes
    nothing in them. Only for partners that ask for them; absent where that text is and of a page with more
    than 2,000; empty for a redirect.
    """
    infoboxes: list[Infobox] | Maybe = UNSET
    """Of the wikitext, in order, also nested ones. Only for partners that ask for them; absent where text is,
    and empty where there are none.
    """


class Licence(Struct, frozen=True):
    name: str
    url: str
    identifier: str | Maybe = UNSET
    """SPDX, e.g. `CC-BY-SA-4.0`."""


class Protection(Struct, frozen=True):
    type: str
    level: str
    expiry: str
    """`infinity`, or a time."""


class Attribution(Struct, frozen=True):
    """What the licence asks for: a sentence to be shown with the article, and what it is made of."""

    text: str
    """Names the title, who wrote it, the wiki and the licence. Parts in a script that runs from right to left
    stand between U+2068 and U+2069, so that the sentence reads right wherever it is shown.
    """
    title: str
    """As `name`."""
    revision_url: str
    """This revision, for ever. Absent in the feed of who is given no editors."""
    history_url: str
    """Who wrote it."""
    license: list[Licence]
    """As the article's own: empty where the wiki states none."""


class Image(Struct, frozen=True):
    """A picture that stands for the page, as the wiki has chosen it: free ones alone."""

    content_url: str
    """Of the original file."""
    width: int | Maybe = UNSET
    """Pixels, as `height`; both absent of what has none (sounds)."""
    height: int | Maybe = UNSET


class PreviousPlace(Struct, frozen=True):
    """Where a page was before a move."""

    name: str
    namespace: Namespace


class RevisionVisibility(Struct, frozen=True):
    """Of a visibility change: which revision, and what can still be seen of it."""

    identifier: int
    visibility: Visibility


class Event(Struct, frozen=True):
    """What happened, and in which order."""

    identifier: str
    """The same on every run and for all partners: a second event with it is a repetition. Without its hyphens
    it is the id of the trace that the header `traceparent` of a record names (W3C trace context).
    """
    type: EventType
    """`delete`: remove the page. `visibility-change`: something was hidden, or shown again."""
    kind: Kind
    """What happened on the wiki; `refresh` restates the page."""
    sequence: int
    """Of two events of a page the higher one is newer."""
    date_created: str
    """When it happened on the wiki."""
    date_published: str
    """When the article was published by this service, for all partners."""
    late: bool | Maybe = UNSET
    """True: a newer revision of the page came before. Never let it replace that one."""
    previous: PreviousPlace | Maybe = UNSET
    """Of a move."""
    revision: RevisionVisibility | Maybe = UNSET
    """Of a visibility change."""


class Article(Struct, frozen=True):
    """The value of a record in `wiki.articles.v1`. Deliver adds event.partition and event.offset."""

    name: str
    """The title, with its namespace. In feeds without names of editors that of a user's page has a pseudonym
    or `[…]` for the user, and links to it name the page by its id.
    """
    identifier: int
    """The page's id on its wiki."""
    url: str
    namespace: Namespace
    is_part_of: Project
    event: Event
    abstract: str | Maybe = UNSET
    """The first paragraph; absent where there is none, and for a redirect."""
    date_created: str | Maybe = UNSET
    """When the page was made; only of the event that made it."""
    date_modified: str | Maybe = UNSET
    """Of the revision. Absent of removals."""
    date_previously_modified: str | Maybe = UNSET
    """Of the revision before; absent where it is not known."""
    version: Version | Maybe = UNSET
    """Of a removal it has the `identifier` at most."""
    previous_version: PreviousVersion | Maybe = UNSET
    in_language: Language | Maybe = UNSET
    main_entity: Entity | Maybe = UNSET
    """The item of Wikidata; absent where there is none."""
    categories: list[Link] | Maybe = UNSET
    """That the page is in, hidden ones too, as the wiki listed them when it was asked: it may file an edit a
    moment later. Whole and in the wiki's order, empty where the page has none; absent where the partner has
    no such list, where the wiki did not give all of it, where text is hidden, and of removals. The same goes
    for `templates` and `redirects`. In feeds without names of editors, pages that name a user are left out.
    """
    templates: list[Link] | Maybe = UNSET
    """Pages that are transcluded, be it through others: templates, modules, and what else is."""
    redirects: list[Link] | Maybe = UNSET
    """Pages that lead to this one."""
    article_body: ArticleBody | Maybe = UNSET
    """Absent where the text is hidden, and of removals."""
    license: list[Licence] | Maybe = UNSET
    """Of the wiki. A removal may lack it, for it carries no text."""
    visibility: Visibility | Maybe = UNSET
    """What can be seen of the revision. Absent of removals."""
    protection: list[Protection] | Maybe = UNSET
    """Of the page, at the time of fetch. Absent where the text is hidden, and of removals."""
    attribution: Attribution | Maybe = UNSET
    """Absent where there is no text to attribute."""
    redirect_target: str | Maybe = UNSET
    """Of a redirect: the title that it leads to, as its wiki writes it, without the section."""
    is_disambiguation: bool | Maybe = UNSET
    """Whether the page lists others of its name, at the time of fetch. Absent where the text is hidden, and
    of removals.
    """
    image: Image | Maybe = UNSET
    """At the time of fetch. Absent where the page has none, where the wiki chooses none (it lacks the
    extension PageImages), where the text is hidden, and of removals.
    """


class FromHtml(Struct, frozen=True):
    """What plain text there is of the HTML."""

    text: str | Maybe = UNSET
    abstract: str | Maybe = UNSET


class FullArticle(Article, frozen=True):
    """An article as `wiki.articles.v1` alone holds it."""

    from_html: FromHtml | Maybe = UNSET
    """For partners with HTML instead of what is made of wikitext; route gives it to nobody as it is."""


class DeadLetter(Struct, frozen=True, omit_defaults=True):
    """The value of a record in `wiki.deadletter.v1`."""

    change: Change
    stage: str
    code: str
    attempts: int
    failed_ms: int


class Replayed(Struct, frozen=True):
    """The value of a record with the key REPLAYED_KEY in `wiki.deadletter.v1`: an operator had these letters
    of the same partition replayed. In the same commit as their changes.
    """

    offsets: tuple[int, ...]
    replayed_ms: int


class Signal(Struct, frozen=True, omit_defaults=True):
    """The value of a record in `wiki.signals.v1`: these revisions of this page were reverted by that one."""

    page_id: int
    by: int
    reverted: tuple[int, ...]
    upstream_ms: int


REVERTED_TAG: Final = "mw-reverted"
"""The wiki's own tag on a revision that was reverted."""


def content_of(sha1: str) -> int:
    """As many bits of a hash as tell a page's contents apart; 0: not known."""
    try:
        return int(sha1[:16], 16)
    except ValueError:
        return 0


class Withdrawal(Struct, frozen=True, omit_defaults=True):
    """The value of a record in `wiki.withdrawals.v1` (streamer.cutoffs)."""

    sequence: int
    hides: tuple[Hideable, ...]
    below: dict[Hideable, int] = {}
    """The sequences of parts that earlier cut-offs alone have hidden: what was published since shows them."""


# ── headers ────────────────────────────────────────────────────────────────────────────────────

TICK_KEY: Final = ".tick"
REPLAYED_KEY: Final = ".replayed"
DEFERRED: Final = "deferred"
"""The code of a dead letter that replays by itself once its wiki answers."""
UNREADABLE: Final = "change_unreadable"
"""The code of one whose change did not decode: what it holds stands in for what is not known."""
DELETE_TYPE: Final = "wiki.article.delete"
"""`ce_type` of an article's record whose `event.type` is `delete`."""
OUTCOME_HEADER: Final = "outcome"
"""Of an article's record whose change came to nothing: as what that was counted. The record takes the place
of a withdrawn text, and is counted nowhere itself.
"""


def article_headers(
    article: Article, *, key: str, server_name: str, edited_ms: int, traceparent: str = ""
) -> Headers:
    """CloudEvents binary mode, and what cut-offs, settle and compaction decide by."""
    event = article.event
    headers: list[tuple[str, bytes]] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.identifier.encode()),
        ("ce_type", f"wiki.article.{event.type}".encode()),
        ("ce_source", f"https://{server_name}".encode()),
        ("ce_subject", key.encode()),
        ("ce_time", rfc3339_ms(edited_ms).encode()),
        ("ce_sequence", str(event.sequence).encode()),
        ("content-type", b"application/json"),
        ("kind", event.kind.encode()),
    ]
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    version = article.version
    if version is not UNSET:
        headers.append(("rev", str(version.identifier).encode()))
        if version.parent_identifier is not UNSET:
            headers.append(("parent", str(version.parent_identifier).encode()))
        if version.sha1 is not UNSET:
            headers.append(("sha1", version.sha1.encode()))
    return tuple(headers)


def is_tick(record: Stored) -> bool:
    return record.key == TICK_KEY


def is_delete(record: Stored) -> bool:
    """Of an article: the page is gone, for all or for this partner."""
    return record.header("ce_type") == DELETE_TYPE


def is_counted(record: Stored) -> bool:
    """Of an article: whether its change was counted as published, so that it is counted for each partner."""
    return not record.header(OUTCOME_HEADER)


class Topics:
    """The names, under the configured prefix."""

    def __init__(self, prefix: str = "wiki") -> None:
        self.changes: Final = f"{prefix}.changes.v1"
        self.articles: Final = f"{prefix}.articles.v1"
        self.withdrawals: Final = f"{prefix}.withdrawals.v1"
        self.signals: Final = f"{prefix}.signals.v1"
        self.deadletter: Final = f"{prefix}.deadletter.v1"
        self.meta: Final = f"{prefix}.meta.v1"
        self.budget: Final = f"{prefix}.budget.v1"

    def of_partner(self, partner: str) -> str:
        return f"{self.articles}.{partner}"
