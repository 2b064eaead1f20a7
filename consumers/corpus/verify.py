"""Whether a corpus is what the wikis say: rows drawn at random are held against the wiki's API.

What such rows can't show, a page that the corpus lacks, the wiki is asked for: its `list=random`, and its
recent changes, which also tell how far behind the newest edits are. A row that shows what its wiki no longer
does is the one finding that must not be: it may be a text that was withdrawn.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct, field

from consumers.corpus.asked import BATCH, pages_of
from consumers.corpus.page import Listed
from consumers.corpus.row import Row
from consumers.corpus.site import Site
from consumers.corpus.state import State
from consumers.wiki import Wiki

LIMIT: Final = 500
"""Of a list, for those without rights of their own."""
LISTS: Final = 2
"""Requests for them, of each wiki."""

Item = TypeVar("Item")
What = Literal["same", "older", "newer", "other", "withdrawn", "missing"]
"""A row against its wiki: `newer` where the wiki's answer lags, `other` where title or text of the same
revision differ, `missing` where the wiki has a page and the corpus none.
"""


class Finding(Struct, frozen=True):
    """One that is not `same` or `newer`."""

    wiki: str
    page: int
    what: What
    ours: int
    """Revision; 0: none."""
    theirs: int
    age_s: float | None = None
    """How long the wiki has said otherwise, where its answer tells."""


class Ages(Struct, frozen=True):
    """Seconds."""

    count: int
    p50: float | None
    p90: float | None
    most: float | None


class WikiReport(Struct):
    wiki: str
    rows: dict[What, int] = field(default_factory=dict)
    """Of those drawn from the corpus."""
    share_same: float | None = None
    pages_drawn: int = 0
    """From the wiki's own `list=random`"""
    pages_missing: int = 0
    """of which the corpus lacks so many."""
    recent: int = 0
    """Pages edited last,"""
    recent_behind: int = 0
    """and those of them of which the corpus has an older revision, or none."""
    repaired: int = 0


class Report(Struct):
    date: str
    seed: int
    requests: int
    wikis: list[WikiReport]
    withdrawn: int
    ages: Ages
    """Of rows that are behind."""
    findings: list[Finding]


def judged(row: Row, told: Listed, now: datetime) -> Finding:
    """What a wiki says of a page, against the row."""
    ours, theirs = row.content, told.content
    what: What
    age_s = None
    if ours is None:
        what = "same" if theirs is None else "missing"
    elif theirs is None:
        what = "withdrawn"
    elif ours.revision == theirs.revision:
        texts = (ours.wikitext, theirs.wikitext)
        is_same = texts[0] == texts[1] if None not in texts else ours.sha1 in (None, theirs.sha1)
        what = "same" if is_same and ours.title == theirs.title else "other"
    else:
        what = "older" if ours.revision < theirs.revision else "newer"
    if theirs is not None and what in ("older", "missing"):
        age_s = _age_s(theirs.date_modified, now)
    return Finding(row.wiki, row.page, what, ours.revision if ours else 0, told.revision, age_s)


def drawn(state: State, rng: random.Random, requests: int) -> dict[str, list[Row]]:
    """As many rows as can be asked for, by wiki; tombstones of which no wiki is known are among them."""
    found: dict[str, list[Row]] = {}
    batches = requests - LISTS if requests > LISTS else requests
    for row in state.sampled(rng, batches * BATCH):
        found.setdefault(row.wiki, []).append(row)
    return found


def server_of(rows: Iterable[Row]) -> str:
    """Of a wiki of which the corpus knows no more than its pages; "" where all of them are gone."""
    for row in rows:
        if row.content:
            place = urlsplit(row.content.url)
            return f"{place.scheme}://{place.netloc}"
    return ""


class Verifier:
    """Of one wiki."""

    def __init__(
        self,
        state: State,
        wiki: Wiki,
        site: Site,
        now: datetime,
        *,
        repair: bool = False,
        keep_wikitext: bool = True,
    ) -> None:
        self._state, self._wiki, self._site, self._now = state, wiki, site, now
        self._repair, self._keep_wikitext = repair, keep_wikitext
        self.report = WikiReport(site.wiki)
        self.findings: list[Finding] = []

    def verify(self, rows: Sequence[Row], requests: int) -> None:
        """Within so many requests, as far as nothing has to be asked again. Raises WikiError."""
        until = self._wiki.requests + requests
        spaces = sorted({row.content.namespace for row in rows if row.content})
        wanted: set[int] = set()
        if spaces and requests > LISTS:
            wanted |= self._random(spaces) | self._recent(spaces)
        counts: Counter[What] = Counter()
        for batch in _batches(rows):
            if self._wiki.requests >= until:
                break
            for finding in self._asked(batch):
                counts[finding.what] += 1
                self._note(finding)
        self.report.rows = dict(counts)
        total = counts.total()
        self.report.share_same = round(counts["same"] / total, 4) if total else None
        if self._repair:
            for numbers in _batches(sorted(wanted)):
                if self._wiki.requests >= until:
                    break
                self._apply(pages_of(self._wiki, self._site, ids=numbers, keep_wikitext=self._keep_wikitext))

    def _asked(self, batch: Sequence[Row]) -> Iterator[Finding]:
        told = {
            one.page: one
            for one in pages_of(
                self._wiki, self._site, ids=[row.page for row in batch], keep_wikitext=self._keep_wikitext
            )
        }
        differ = []
        for row in batch:
            listing = told.get(row.page)
            if listing is None:
                continue
            finding = judged(row, listing, self._now)
            if finding.what != "same":  # the feed may have told it meanwhile
                finding = judged(self._state.row(row.wiki, row.page) or row, listing, self._now)
            if finding.what not in ("same", "newer"):
                differ.append(listing)
            yield finding
        if self._repair:
            self._apply(differ)

    def _apply(self, pages: Sequence[Listed]) -> None:
        if pages:
            self.report.repaired += self._state.commit(pages).applied

    def _note(self, finding: Finding) -> None:
        if finding.what not in ("same", "newer"):
            self.findings.append(finding)

    def _random(self, spaces: Sequence[int]) -> set[int]:
        answer = self._wiki.ask(
            list="random", rnlimit=LIMIT, rnnamespace="|".join(map(str, spaces)), rnfilterredir="all"
        )
        pages = {page["id"] for page in answer.get("query", {}).get("random", ())}
        missing = {page for page in pages if not self._has(page)}
        self.report.pages_drawn, self.report.pages_missing = len(pages), len(missing)
        for page in sorted(missing):
            self._note(Finding(self._site.wiki, page, "missing", 0, 0))
        return missing

    def _recent(self, spaces: Sequence[int]) -> set[int]:
        answer = self._wiki.ask(
            list="recentchanges",
            rctype="edit|new",
            rcprop="ids|timestamp",
            rclimit=LIMIT,
            rcnamespace="|".join(map(str, spaces)),
            rctoponly=1,
        )
        behind = set()
        for row in answer.get("query", {}).get("recentchanges", ()):
            page, revision = row.get("pageid", 0), row.get("revid", 0)
            if not page or not revision:
                continue
            self.report.recent += 1
            ours = self._state.row(self._site.wiki, page)
            held = ours.revision if ours else 0
            if held < revision:
                behind.add(page)
                self.report.recent_behind += 1
                age_s = _age_s(row.get("timestamp"), self._now)
                what: What = "older" if ours and ours.content else "missing"
                self._note(Finding(self._site.wiki, page, what, held, revision, age_s))
        return behind

    def _has(self, page: int) -> bool:
        row = self._state.row(self._site.wiki, page)
        return row is not None and row.content is not None


def ages_of(findings: Iterable[Finding]) -> Ages:
    ages = sorted(finding.age_s for finding in findings if finding.age_s is not None)
    if not ages:
        return Ages(0, None, None, None)
    return Ages(len(ages), ages[len(ages) // 2], ages[min(len(ages) - 1, len(ages) * 9 // 10)], ages[-1])


def shares(requests: int, rows: Mapping[str, Sequence[Row]]) -> dict[str, int]:
    """Of the requests, by wiki: as many as its rows need, and its lists where that leaves any."""
    needed = {wiki: -(-len(some) // BATCH) + LISTS for wiki, some in rows.items()}
    total = sum(needed.values())
    return {wiki: max(1, requests * one // max(total, requests)) for wiki, one in needed.items()}


def _age_s(timestamp: str | None, now: datetime) -> float | None:
    try:
        moment = datetime.fromisoformat(timestamp or "")
    except ValueError:
        return None
    return max(0.0, (now - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))).total_seconds())


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
