"""What a partner wants: its table compiled to a predicate over an article.

A **removal** (a delete, or any record that says that text, comment or editor of a revision is hidden) and a
move reach every partner whose wikis and namespaces match the page's old or new place, whatever its other
rules say: who got the page before must learn what is gone, and no rule about edits could tell who did. In
the partner's topic it overwrites what it takes away.

What an article does not say (a hidden editor is neither bot nor human, a revision may have no score) does not
exclude it; only `tags` and `languages` ask for something that must be there.

A **revert** passes the rules about who edits and how much, and what an edit is worth (`bots`, `minor`,
`min_size`, `max_size`, `without_tags`, `max_revert_risk`, `min_size_change`): who got what it undoes must get
the good text again, and nobody can tell who did. What puts back a text that had been reverted itself is none;
and what is known for a revert by the wiki's tag alone passes only where no score is against it, for vandals
undo too.
"""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from streamer.globs import matcher
from streamer.model import REVERTED_TAG
from streamer.partners import PAGE_LISTS, PageList, Partner

RISK: Final = "revertrisk"
REVERTING_TAGS: Final = frozenset({"mw-undo", "mw-rollback", "mw-manual-revert"})
"""MediaWiki's own."""
CHANGES: Final = frozenset({"create", "edit"})
"""What changes a text; other kinds restate it."""


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


class _Score(Struct, frozen=True):
    probability: dict[str, float] = {}


class _Reverts(Struct, frozen=True):
    """Which revisions is nobody's question here."""

    is_repeated: bool = False


class _Version(Struct, frozen=True):
    is_minor_edit: bool | None = None
    size: _Size | None = None
    tags: tuple[str, ...] | None = None
    editor: _Editor | None = None
    scores: dict[str, _Score] | None = None
    size_change: int | None = None
    reverts: _Reverts | None = None

    @property
    def is_revert(self) -> bool:
        """By what is known of the revision, or by the wiki's own tags alone."""
        if self.reverts is not None:
            return not self.reverts.is_repeated
        return not REVERTING_TAGS.isdisjoint(self.tags or ())

    @property
    def revert_risk(self) -> float:
        """By the model for all Wikipedias, else the highest of its twins. 0: there is no score."""
        risks = {name: score.probability.get("true", 0.0) for name, score in (self.scores or {}).items()}
        if RISK in risks:
            return risks[RISK]
        return max((risk for name, risk in risks.items() if name.startswith(RISK)), default=0.0)


class _Previous(Struct, frozen=True):
    identifier: int
    sha1: str | None = None


_ABSENT: Final = Raw()
"""msgspec knows no `Raw | None`: it would be None alone."""


class View(Struct, frozen=True):
    """As much of an article as rules and settling look at; the rest is skipped undecoded."""

    namespace: _Namespace
    is_part_of: _Project
    event: _Event
    version: _Version | None = None
    previous_version: _Previous | None = None
    in_language: _Language | None = None
    article_body: dict[str, Raw] | None = None
    categories: Raw = _ABSENT
    templates: Raw = _ABSENT
    redirects: Raw = _ABSENT

    @property
    def lists(self) -> list[PageList]:
        """Those of the page that it has."""
        return [name for name in PAGE_LISTS if getattr(self, name) is not _ABSENT]

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
        self.digest: Final = _digest(partner)
        """Who has the same gets the same articles."""
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


NO_RULES: Final = frozenset(
    {"name", "keys", "content", "fields", "lists", "editor", "settle", "revisions", "limits"}
)
"""What of a partner's table does not decide which articles it gets."""


def _digest(partner: Partner) -> str:
    return repr([getattr(partner, name) for name in partner.__struct_fields__ if name not in NO_RULES])


Check = Callable[[View], bool]


def _checks(partner: Partner) -> Iterable[Check]:
    """What the partner's rules ask beyond wikis and namespaces, the cheapest first."""
    if partner.kinds:
        kinds = frozenset(partner.kinds)
        yield lambda article: article.event.kind in kinds
    if partner.languages:
        languages = frozenset(partner.languages)
        yield lambda article: article.language in languages
    if partner.tags:
        tags = frozenset(partner.tags)
        yield lambda article: not tags.isdisjoint((article.version and article.version.tags) or ())
    if partner.max_revert_risk < 1:
        most = partner.max_revert_risk
        yield (
            lambda article: (
                (version := article.version) is None
                or version.revert_risk <= most
                or (version.reverts is not None and version.is_revert)
            )
        )
    if worth := tuple(_worth(partner)):
        yield (
            lambda article: (
                (version := article.version) is None
                or version.is_revert
                or all(check(version, article.event) for check in worth)
            )
        )


def _worth(partner: Partner) -> Iterable[Callable[[_Version, _Event], bool]]:
    """The rules that every revert passes."""
    if not partner.bots:
        yield lambda version, _: version.editor is None or version.editor.is_bot is not True
    if not partner.minor:
        yield lambda version, _: not version.is_minor_edit
    if partner.min_size or partner.max_size:
        low, high = partner.min_size, partner.max_size or float("inf")
        yield lambda version, _: version.size is None or low <= version.size.value <= high
    if partner.without_tags:
        unwanted = frozenset(partner.without_tags)
        yield lambda version, _: unwanted.isdisjoint(version.tags or ())
    if partner.min_size_change:
        least = partner.min_size_change
        yield (
            lambda version, event: (
                event.kind not in CHANGES or version.size_change is None or abs(version.size_change) >= least
            )
        )
