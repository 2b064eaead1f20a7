"""The verdict: what each partner received and holds, against the wikis' own word and against the log. Pure.

Of each partner, by `passes` (its rules, judged anew by `prove.partners` over all that enrich published):

    lost          let through, never received, and no cut-off explains it
    foreign       received, and not let through; or holding what the partner did not ask for
    doubled       the same event twice
    out of order  an event of a page after one with a higher sequence
    differing     a page whose title, text (SHA-1), deletion or hiding is not as it must be

A page must be as the wikis' API says it is, wherever the newest thing that happened to it was let through;
else as the newest thing that was let through said it is. A partner that sees all must also hold every page
whose state is not what it was before the first deed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from prove.mirror import Mirror, event_of, mirror_of, page_of, sequence_of, state_of
from prove.partners import Partner
from prove.wiki import Json, PageKey, Truth

SSE: Final = "SSE"
"""The client that a verdict is of, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Cutoff:
    """From wiki.withdrawals.v1: the text of a page's (`revision` 0) or a revision's records below
    `sequence` is withdrawn.
    """

    page: PageKey
    revision: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Logged:
    """What the log holds in the end, each partition in its order."""

    admitted: Sequence[str]
    """Identifiers of the changes."""
    articles: Sequence[Json]
    cutoffs: Sequence[Cutoff]
    dead_letters: Counter[str]
    """By error code."""
    uncounted: int = 0
    """Articles that only take the place of what was withdrawn: their changes are dead letters."""


@dataclass(frozen=True, slots=True)
class Differing:
    page: PageKey
    held: Truth | None
    wanted: Truth | None
    by: str
    """`api` or `log`: whose word the partner's differs from."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one partner by one of its clients. Identifiers are events'."""

    partner: str
    client: str
    received: int
    withdrawn: int
    """Let through, and rightly not served any more when the partner came."""
    by_api: int
    """Pages compared with the wikis' API."""
    by_log: int
    """Pages whose newest change the rules kept back: compared with the newest that they let through."""
    lost: Sequence[str] = ()
    foreign: Sequence[str] = ()
    doubled: Sequence[str] = ()
    out_of_order: Sequence[str] = ()
    differing: Sequence[Differing] = field(default=())

    @property
    def is_right(self) -> bool:
        return not (self.lost or self.foreign or self.doubled or self.out_of_order or self.differing)


def judge(
    partner: Partner,
    received: Sequence[Json],
    logged: Logged,
    *,
    before: Mirror,
    truth: Mirror,
    client: str = SSE,
) -> Verdict:
    """`received` in the order in which it came; `before` and `truth` are every page of the wikis."""
    passing = {name_of(article): article for article in logged.articles if partner.passes(article) != "no"}
    got = Counter(name_of(article) for article in received)
    missing = [article for name, article in passing.items() if name not in got]
    cutoffs = _by_page(logged.cutoffs)
    lost = [
        article
        for article in missing
        if partner.passes(article) == "left" or not _is_withdrawn(article, cutoffs)
    ]
    differing, by_api, by_log = _compare(partner, received, logged, before, truth)
    return Verdict(
        partner=partner.name,
        client=client,
        received=len(received),
        withdrawn=len(missing) - len(lost),
        by_api=by_api,
        by_log=by_log,
        lost=[name_of(article) for article in lost],
        foreign=[name for name in got if name not in passing]
        + [f"{name_of(article)} {why}" for article in received if (why := partner.unasked(article))],
        doubled=doubled(received),
        out_of_order=out_of_order(received),
        differing=differing,
    )


def name_of(article: Json) -> str:
    event = event_of(article)
    return f"{event['identifier']} {event['kind']}"


def doubled(articles: Iterable[Json]) -> list[str]:
    return [name for name, times in Counter(map(name_of, articles)).items() if times > 1]


def out_of_order(articles: Iterable[Json]) -> list[str]:
    """Late ones too: what is late is late by its revision, its sequence is as new as its record."""
    highest: dict[PageKey, int] = {}
    wrong: list[str] = []
    for article in articles:
        page, sequence = page_of(article), sequence_of(article)
        if sequence < highest.get(page, 0):
            wrong.append(name_of(article))
        highest[page] = max(sequence, highest.get(page, 0))
    return wrong


def _compare(
    partner: Partner, received: Sequence[Json], logged: Logged, before: Mirror, truth: Mirror
) -> tuple[list[Differing], int, int]:
    held = mirror_of(received)
    wanted = _newest_states(partner, logged.articles)
    pages = set(held) | set(wanted)
    if partner.sees_all:
        pages |= {page for page in truth if truth[page] != before.get(page)}
    differing: list[Differing] = []
    by_log = 0
    for page in sorted(pages):
        mine = held.get(page)
        if page in wanted and not wanted[page].is_newest:
            by_log += 1
            if mine != wanted[page].state:
                differing.append(Differing(page, mine, wanted[page].state, "log"))
        elif not is_as(mine, truth.get(page)):
            differing.append(Differing(page, mine, truth.get(page), "api"))
    return differing, len(pages) - by_log, by_log


def is_as(mine: Truth | None, its: Truth | None) -> bool:
    """A page that the API does not know (any more) is held as deleted, under whatever title."""
    return mine == its or (its is None and mine is not None and mine.deleted)


@dataclass(frozen=True, slots=True)
class _Wanted:
    state: Truth
    is_newest: bool
    """Nothing newer of the page was kept back. Of a page that has left the API tells something else."""


def _newest_states(partner: Partner, articles: Iterable[Json]) -> dict[PageKey, _Wanted]:
    states: dict[PageKey, _Wanted] = {}
    for article in articles:
        page = page_of(article)
        if event_of(article).get("late"):
            continue
        passing = partner.passes(article)
        if passing == "yes":
            states[page] = _Wanted(state_of(article), is_newest=True)
        elif passing == "left":
            states[page] = _Wanted(Truth(str(article["name"]), deleted=True, sha1=None), is_newest=False)
        elif page in states:
            states[page] = _Wanted(states[page].state, is_newest=False)
    return states


def _by_page(cutoffs: Iterable[Cutoff]) -> dict[tuple[PageKey, int], int]:
    """Page and revision (0: the page) to the highest sequence."""
    highest: dict[tuple[PageKey, int], int] = {}
    for cutoff in cutoffs:
        key = cutoff.page, cutoff.revision
        highest[key] = max(cutoff.sequence, highest.get(key, 0))
    return highest


def _is_withdrawn(article: Json, cutoffs: Mapping[tuple[PageKey, int], int]) -> bool:
    page, version = page_of(article), article.get("version")
    revision = version.get("identifier", 0) if isinstance(version, dict) else 0
    highest = max(cutoffs.get((page, 0), 0), cutoffs.get((page, revision), 0))
    return event_of(article)["type"] != "delete" and sequence_of(article) < highest
