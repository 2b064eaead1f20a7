"""What a partner wants: its table compiled to a predicate over an article.

A **removal** (a delete, or any record that says that text, comment or editor of a revision is hidden) and a
move reach every partner whose wikis and namespaces match the page's old or new place, whatever its other
rules say: who got the page before must learn what is gone, and no rule about edits could tell who did. In
the partner's topic it overwrites what it takes away.

What an article does not say (a hidden editor is neither bot nor human) does not exclude it; only
`tags` and `languages` ask for something that must be there.
"""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from streamer.globs import matcher
from streamer.model import REVERTED_TAG
from streamer.partners import Partner


class Verdict(Enum):
    FILTERED = "filtered"
    WANTED = "wanted"
    LEFT = "left"
    """Moved out of the partner's scope: it gets a delete."""


class _Namespace(Struct, frozen=True):
    identifier: int


class _Place(Struct, frozen=True):
    namespace: _Namespace


class _Visibility(Struct, frozen=True):
    text: bool = True
    comment: bool = True
    editor: bool = True

    @property
    def hides(self) -> bool:
        return not (self.text and self.comment and self.editor)


class _Revision(Struct, frozen=True):
    visibility: _Visibility


class _Event(Struct, frozen=True):
    type: str
    kind: str
    previous: _Place | None = None
    revision: _Revision | None = None


class _Language(Struct, frozen=True):
    identifier: str


class _Project(Struct, frozen=True):
    identifier: str
    in_language: _Language | None = None


class _Editor(Struct, frozen=True):
    is_bot: bool | None = None


class _Size(Struct, frozen=True):
    value: float


class _Version(Struct, frozen=True):
    is_minor_edit: bool | None = None
    size: _Size | None = None
    tags: tuple[str, ...] | None = None
    editor: _Editor | None = None


class _Previous(Struct, frozen=True):
    identifier: int
    sha1: str | None = None


class View(Struct, frozen=True):
    """As much of an article as rules and settling look at; the rest is skipped undecoded."""

    namespace: _Namespace
    is_part_of: _Project
    event: _Event
    version: _Version | None = None
    previous_version: _Previous | None = None
    in_language: _Language | None = None
    article_body: dict[str, Raw] | None = None
    from_html: Raw | UnsetType = UNSET
    """For the projection alone: no article leaves with it."""

    @property
    def has_text(self) -> bool:
        return self.article_body is not None

    @property
    def is_removal(self) -> bool:
        revision = self.event.revision
        hides = revision is not None and revision.visibility.hides
        return self.event.type == "delete" or not self.has_text or hides

    @property
    def is_reverted(self) -> bool:
        """The wiki said so by the time it was asked."""
        return self.version is not None and REVERTED_TAG in (self.version.tags or ())

    @property
    def language(self) -> str:
        language = self.in_language or self.is_part_of.in_language
        return language.identifier if language else ""


_views: Final = msgspec.json.Decoder(View)


def view(value: bytes) -> View:
    """Raises msgspec.ValidationError or msgspec.DecodeError where it is no article."""
    return _views.decode(value)


class Rule:
    """One partner's, compiled: what it leaves open costs nothing."""

    def __init__(self, partner: Partner) -> None:
        self.has_wiki: Final = matcher(partner.wikis)
        self._namespaces = frozenset(partner.namespaces)
        self._checks: Final = tuple(_checks(partner))

    def judge(self, article: View) -> Verdict:
        if not self.has_wiki(article.is_part_of.identifier):
            return Verdict.FILTERED
        event = article.event
        is_here = self.has_namespace(article.namespace.identifier)
        was_here = event.previous is not None and self.has_namespace(event.previous.namespace.identifier)
        moved = event.kind == "move" or (event.kind == "refresh" and event.previous is not None)  # its replay
        if moved and was_here and not is_here:
            return Verdict.LEFT
        if article.is_removal:
            return Verdict.WANTED if is_here or was_here else Verdict.FILTERED
        if moved:
            return Verdict.WANTED if is_here else Verdict.FILTERED
        wanted = is_here and all(check(article) for check in self._checks)
        return Verdict.WANTED if wanted else Verdict.FILTERED

    def has_namespace(self, namespace: int) -> bool:
        return not self._namespaces or namespace in self._namespaces


Check = Callable[[View], bool]


def _checks(partner: Partner) -> Iterable[Check]:
    """What the partner's rules ask beyond wikis and namespaces, the cheapest first."""
    if partner.kinds:
        kinds = frozenset(partner.kinds)
        yield lambda article: article.event.kind in kinds
    if partner.languages:
        languages = frozenset(partner.languages)
        yield lambda article: article.language in languages
    if not partner.bots:
        yield lambda article: not _is_bot(article)
    if not partner.minor:
        yield lambda article: not (article.version and article.version.is_minor_edit)
    if partner.min_size or partner.max_size:
        low, high = partner.min_size, partner.max_size or float("inf")
        yield lambda article: (size := _size(article)) is None or low <= size <= high
    if partner.tags:
        tags = frozenset(partner.tags)
        yield lambda article: not tags.isdisjoint((article.version and article.version.tags) or ())


def _is_bot(article: View) -> bool:
    editor = article.version.editor if article.version else None
    return editor is not None and editor.is_bot is True


def _size(article: View) -> float | None:
    size = article.version.size if article.version else None
    return size.value if size else None
