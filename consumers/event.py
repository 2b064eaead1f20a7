"""What the feed tells, typed: the article object as far as a corpus needs it, whichever way it came.

What is not named here is not read: a feed may add fields. Absent is None. Comments and editors are not taken
in at all, so that there is nothing of them to lose.
"""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Annotated, Final, Literal, Protocol

import msgspec
from msgspec import Meta, Struct

from consumers.errors import BadEvent
from consumers.wikitext.structure import Section

WIKI: Final = r"^[A-Za-z0-9_-]{1,64}\Z"
"""What a wiki may be called: names of files and folders are made of it."""
MOST: Final = (1 << 63) - 1
"""What SQLite and Parquet hold."""
Whole = Annotated[int, Meta(ge=0, le=MOST)]
Signed = Annotated[int, Meta(ge=-MOST, le=MOST)]


class Namespace(Struct, frozen=True):
    identifier: Signed
    name: str | None = None


class Language(Struct, frozen=True):
    identifier: str
    direction: str | None = None


class Project(Struct, frozen=True):
    identifier: Annotated[str, Meta(pattern=WIKI)]
    """The wiki's database name, e.g. `enwiki`."""
    url: str | None = None
    in_language: Language | None = None


class Licence(Struct, frozen=True):
    name: str
    url: str
    identifier: str | None = None


class Attribution(Struct, frozen=True):
    text: str
    history_url: str
    revision_url: str | None = None


class Entity(Struct, frozen=True):
    identifier: str


class Visibility(Struct, frozen=True):
    text: bool = True


class Reverts(Struct, frozen=True):
    oldest_identifier: Whole
    newest_identifier: Whole
    restored_identifier: Whole | None = None


class Version(Struct, frozen=True):
    identifier: Whole
    tags: list[str] | None = None
    is_minor_edit: bool | None = None
    scores: Mapping[str, object] | None = None
    sha1: str | None = None
    """Of the revision's content, in hex."""
    content_model: str | None = None
    reverts: Reverts | None = None
    is_reverted: bool | None = None


class Body(Struct, frozen=True):
    wikitext: str | None = None
    text: str | None = None
    sections: list[Section] | None = None


class OfRevision(Struct, frozen=True):
    """Of a visibility change: which revision, and what can still be seen of it."""

    identifier: Whole
    visibility: Visibility


class Happened(Struct, frozen=True):
    """The article's `event`."""

    identifier: str
    type: Literal["update", "delete", "visibility-change"]
    kind: str
    sequence: Whole
    """Of two events of a page the higher one is newer: microseconds, about when it was published."""
    date_created: str
    """When it happened on the wiki: RFC 3339, with milliseconds."""
    date_published: str
    late: bool = False
    """A newer revision of the page came before: never to replace that one."""
    revision: OfRevision | None = None
    partition: Whole | None = None
    offset: Whole | None = None


class Article(Struct, frozen=True):
    """One event of the feed. A page is its wiki (`is_part_of`) and its id there (`identifier`)."""

    name: str
    identifier: Whole
    url: str
    namespace: Namespace
    is_part_of: Project
    event: Happened
    abstract: str | None = None
    date_created: str | None = None
    date_modified: str | None = None
    version: Version | None = None
    in_language: Language | None = None
    main_entity: Entity | None = None
    article_body: Body | None = None
    license: list[Licence] | None = None
    visibility: Visibility | None = None
    attribution: Attribution | None = None
    redirect_target: str | None = None
    is_disambiguation: bool | None = None


TIME: Final = "since:"
"""Begins a position that is a time still, before there is a better one: a feed that keeps nothing as old
begins at its earliest then, and says nothing. Any other position is exact, and told when it is lost.
"""


class Batch(Struct, frozen=True):
    """Events in the order of the feed, and where it goes on after them: to be stored as one."""

    events: Sequence[Article]
    position: str
    """Opaque, but for TIME, to all but the feed that gave it: of SSE the last id, of Kafka the next offsets.
    Also without events, where the feed moved past what is not for us.
    """
    received_bytes: int = 0
    """Of the events, as JSON."""
    bad: Sequence[str] = ()
    """Of what came among them and is no article: why, without anything of what it held. It is behind the
    position too.
    """


class Feed(Protocol):
    """Where events come from. One per `parts` range; each keeps a position under its own name."""

    name: str
    """Under which its position is kept: two feeds of one corpus differ in it."""

    def batches(self, position: str | None) -> AsyncGenerator[Batch, None]:
        """What follows a position that this feed gave, or `since` where there is none, for ever: breaks are
        mended within, with backoff. Whoever leaves it before its end closes it (`contextlib.aclosing`).

        Raises FeedRefused and PositionLost, which no waiting mends; and BadEvent where it can't go on beyond
        what is no article.
        """
        ...


def is_wiki(name: str) -> bool:
    return re.match(WIKI, name) is not None


_DECODER = msgspec.json.Decoder(Article)


def decoded(value: bytes | str) -> Article:
    """Of one event's JSON. Raises BadEvent, which names the field and holds nothing of the value."""
    try:
        return _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadEvent(f"an event of the feed is not an article: {error}") from None
