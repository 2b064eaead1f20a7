"""Whether a partner got what it must get, and whether the sums are equal, whatever was done to the service.

`Readers` are the partners: connected all the time, resuming by id. `read_all` is what the log says
afterwards. `judge` compares either with what an oracle wants; `Accounts` are the committed counts.
"""

import asyncio
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from harness.feed import Feed, Received
from harness.service import Service, committed

BEGINNING = "2020-01-01T00:00:00Z"
QUIET_S = 8.0
"""Counts that stand still for so long will not change any more."""

Row = tuple[str, int, str, str | None]
"""Identifier of the event, page, kind, hash of its wikitext."""


def row_of(event: Received) -> Row:
    """The event as an oracle tells it."""
    return row_of_article(event.article)


def row_of_article(article: Mapping[str, object]) -> Row:
    its = article["event"]
    body = article.get("article_body") or {}
    assert isinstance(its, dict)
    assert isinstance(body, dict)
    text = body.get("wikitext")
    digest = hashlib.sha256(text.encode()).hexdigest() if isinstance(text, str) else None
    identifier = article["identifier"]
    assert isinstance(identifier, int)
    return its["identifier"], identifier, its["kind"], digest


# ── what a partner got ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong, by identifier or page; all empty where nothing is."""

    reader: str
    doubled: tuple[str, ...]
    missing: tuple[str, ...]
    beyond: tuple[str, ...]
    """That it must not get."""
    differing: tuple[int, ...]
    """Pages whose events came in another order, or of another kind or content."""

    @property
    def is_good(self) -> bool:
        return not (self.doubled or self.missing or self.beyond or self.differing)

    @property
    def words(self) -> str:
        """Only of what is wrong, with the first few of each."""
        kinds = (
            ("doubled", self.doubled),
            ("missing", self.missing),
            ("beyond", self.beyond),
            ("differing", self.differing),
        )
        said = [f"{len(found)} {kind} ({', '.join(map(str, found[:3]))})" for kind, found in kinds if found]
        return f"{self.reader}: {'; '.join(said) or 'good'}"

    def check(self) -> None:
        assert self.is_good, self.words


def judge(reader: str, got: Sequence[Row], wanted: Sequence[Row], *, thinned: bool = False) -> Verdict:
    """Each event once, each page in order, the right kind and content. `thinned`: the log was cleaned
    meanwhile, so of a page only its newest must be there.
    """
    counted = Counter(row[0] for row in got)
    names = {row[0] for row in wanted}
    must = needed(wanted, thinned=thinned)
    first = list({row[0]: row for row in reversed(got)}.values())[::-1]
    both = [row for row in wanted if row[0] in counted]
    got_pages, wanted_pages = by_page(row for row in first if row[0] in names), by_page(both)
    pages = got_pages.keys() | wanted_pages.keys()
    return Verdict(
        reader,
        doubled=tuple(name for name, times in counted.items() if times > 1),
        missing=tuple(sorted(must - counted.keys())),
        beyond=tuple(sorted(counted.keys() - names)),
        differing=tuple(sorted(page for page in pages if got_pages.get(page) != wanted_pages.get(page))),
    )


def needed(wanted: Sequence[Row], *, thinned: bool) -> set[str]:
    """The events that may not be missing."""
    return {rows[-1][0] for rows in by_page(wanted).values()} if thinned else {row[0] for row in wanted}


def by_page(rows: Iterable[Row]) -> dict[int, list[Row]]:
    pages: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        pages[row[1]].append(row)
    return dict(pages)


async def read_all(feed: Feed, count: int, timeout_s: float = 30.0) -> list[Row]:
    """At least `count` articles and then until a heartbeat says that nothing more is there; fewer where no
    more came in time.
    """
    rows: list[Row] = []
    stream = feed.events()
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            async for event in stream:
                if event.name == "message":
                    rows.append(row_of(event))
                elif event.name == "heartbeat" and len(rows) >= count:
                    break
    await stream.aclose()
    return rows


class Readers:
    """One connection a partner, from the beginning, across breaks; `rows` is what each has got."""

    def __init__(self, url: str, keys: Mapping[str, str]) -> None:
        self.url = url
        self.keys = keys
        self.feeds = {partner: Feed(url, key, since=BEGINNING) for partner, key in keys.items()}
        self.rows: dict[str, list[Row]] = {partner: [] for partner in keys}
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self._tasks = [self._group.create_task(self._follow(partner)) for partner in self.feeds]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for task in self._tasks:
            task.cancel()
        if kind is None or issubclass(kind, asyncio.CancelledError):
            await self._group.__aexit__(kind, error, trace)
        else:  # a failure of the test's own: the group would wrap it, as if a reader had failed
            await self._group.__aexit__(None, None, None)

    async def _follow(self, partner: str) -> None:
        feed = self.feeds[partner]
        try:
            async for event in feed.articles(self._stop):
                self.rows[partner].append(row_of(event))
        except Exception as error:
            said = f"{feed.breaks} breaks, last id {feed.last_id!r}, last answer {feed.answer}"
            error.add_note(f"the reader of {partner}: {said}")
            raise

    async def _until_all(self, wanted: Mapping[str, set[str]], timeout_s: float) -> None:
        """Waits until each has these; what is wrong then is the judge's to say, so it does not raise."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while any(
                    names - {row[0] for row in self.rows[partner]} for partner, names in wanted.items()
                ):
                    await asyncio.sleep(0.05)

    async def judged(
        self, wanted: Mapping[str, Sequence[Row]], *, thinned: bool = False, timeout_s: float = 60.0
    ) -> list[Verdict]:
        """Of what came live, and of what is read again from the log's beginning."""
        must = {partner: needed(rows, thinned=thinned) for partner, rows in wanted.items()}
        await self._until_all(must, timeout_s)
        async with asyncio.TaskGroup() as group:
            reading = {
                partner: group.create_task(
                    read_all(Feed(self.url, self.keys[partner], since=BEGINNING), len(names), timeout_s)
                )
                for partner, names in must.items()
            }
        verdicts = []
        for partner, rows in wanted.items():
            verdicts.append(judge(f"{partner} across the breaks", self.rows[partner], rows, thinned=thinned))
            verdicts.append(
                judge(f"{partner} from the log", reading[partner].result(), rows, thinned=thinned)
            )
        return verdicts


# ── the sums ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Accounts:
    """Committed counts, by outcome; of route by partner."""

    source: Mapping[str, int]
    enrich: Mapping[str, int]
    route: Mapping[str, Mapping[str, int]]

    def wrong(self, total: int) -> list[str]:
        """Sentences; none where admitted = published + gone + superseded + deadletter = `total`, and each
        partner has an outcome for whatever was published.
        """
        said = []
        admitted = self.source.get("admitted", 0)
        outcomes = {name: count for name, count in self.enrich.items() if name != "admitted"}
        if admitted != total:
            said.append(f"the source admitted {admitted} of {total}")
        if self.enrich.get("admitted", 0) != admitted or sum(outcomes.values()) != admitted:
            said.append(f"of {admitted} admitted, enrich took {self.enrich}")
        said.extend(
            f"of {outcomes.get('published', 0)} published, {partner} has {counts}"
            for partner, counts in self.route.items()
            if sum(counts.values()) != outcomes.get("published", 0)
        )
        return said


async def accounts(services: Mapping[str, Service], partners: Iterable[str]) -> Accounts:
    """`services` by role; one process may stand for all of them."""
    told = {service: await service.metrics() for service in set(services.values())}
    return Accounts(
        committed(told[services["source"]], "source"),
        committed(told[services["enrich"]], "enrich"),
        {partner: committed(told[services["route"]], "route", partner) for partner in partners},
    )


async def settled(
    services: Mapping[str, Service], partners: Iterable[str], total: int, timeout_s: float = 60.0
) -> Accounts:
    """Once the sums are right, or have stood still for QUIET_S: then they will not be."""
    loop = asyncio.get_running_loop()
    names = tuple(partners)
    async with asyncio.timeout(timeout_s):
        seen, since_s = await accounts(services, names), loop.time()
        while seen.wrong(total) and loop.time() - since_s < QUIET_S:
            await asyncio.sleep(0.2)
            now = await accounts(services, names)
            if now != seen:
                seen, since_s = now, loop.time()
    return seen


def routed(metrics: Mapping[str, float]) -> float:
    return sum(
        value
        for name, value in metrics.items()
        if name.startswith("streamer_committed_changes_total{") and 'role="route"' in name
    )
