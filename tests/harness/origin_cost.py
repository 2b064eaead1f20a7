"""What it costs to follow a mix of edits: the whole of enrich and its origin, in virtual time.

    Mix ──► changes (a log in memory) ──► run_enrich ──► Origin, its scheduler, retries, parser ──► StubWikis
                                              │
                                              └──► articles: when each was published

The service's own code is met in `_enriched` alone. An hour of it takes a minute or less; what it costs in
processor time is not measured here. Plain text is left out: it asks nothing, and takes other processes.
"""

import asyncio
import gc
import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import takewhile
from math import inf
from typing import Final
from unittest.mock import patch

from streamer.clock import Clock
from streamer.config import MediaWikiSettings, Settings, SourceSettings
from streamer.enrich.stage import run_enrich
from streamer.log.base import Stored
from streamer.model import Change, Topics
from streamer.origin.mediawiki import Origin
from streamer.plan import Plan
from streamer.runtime import Runtime, topic_specs
from streamer.source.records import record_of
from streamer.source.told import Told
from tests.harness import virtual_time
from tests.harness.edit_mix import EDITS, Mix, replayed
from tests.harness.memory_log import MemoryLog
from tests.harness.stub_wikis import Nature, StubWikis, most_in_a_minute

WARM_S: Final = 120.0
TAIL_S: Final = 90.0
USUAL: Final = Nature()
NOTHING_MORE: Final = Plan(text=False)


@dataclass(frozen=True, slots=True)
class Scenario:
    mix: Mix
    edits_per_s: float = 19.0
    requests_per_minute: int = 200
    concurrency: int = 3
    batch: int = 50
    """1: the naive way, a request an edit, under the same budget."""
    warm_s: float = WARM_S
    """Edits before this are not judged: the first ones meet an unused minute."""
    judged_s: float = 600.0
    tail_s: float = TAIL_S
    """Edits go on for so long behind the last that is judged. What has no answer by then is judged by its
    age."""
    nature: Nature = USUAL
    with_page_change: bool = True
    """False: recentchange alone, whose removals have to be looked up in the log."""
    plan: Plan = NOTHING_MORE
    seed: int = 1

    @property
    def end_s(self) -> float:
        return self.warm_s + self.judged_s + self.tail_s


@dataclass(slots=True)
class Figures:
    """Seconds from the edit; of the edits and new pages that were judged, but for those that were gone."""

    edits: int = 0
    hand_p50_s: float = inf
    hand_p99_s: float = inf
    """Until the answer with all that was asked of it."""
    published_p50_s: float = inf
    published_p99_s: float = inf
    unanswered: int = 0
    """Of all edits, at the end: the backlog."""
    is_behind: bool = False
    """So many are unanswered that the waiting was longer than what is said of it."""
    requests: int = 0
    requests_per_edit: float = 0.0
    """To one that was answered; of all requests, whatever for."""
    most_in_a_minute: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)
    wikitext: int = 0
    """Articles of wikitext that were published, of all changes."""
    with_html: int = 0
    """Of these."""
    outcomes: dict[str, int] = field(default_factory=dict)


def measured(scenario: Scenario) -> Figures:
    gc.freeze()
    return virtual_time.run(lambda: _replay(scenario), seed=scenario.seed)


async def _replay(scenario: Scenario) -> Figures:
    clock = virtual_time.clock()
    end_s = scenario.end_s
    hand: dict[tuple[str, int], float] = {}
    published: dict[str, float] = {}
    bodies: Counter[str] = Counter()
    edits: list[tuple[float, Change]] = []
    wikis = StubWikis(
        scenario.nature,
        scenario.seed,
        on_answer=lambda wiki, revision: hand.setdefault((wiki, revision), clock.monotonic_s()),
    )
    settings = _settings(scenario)
    topics = Topics(settings.log.prefix)

    def on_record(record: Stored) -> None:
        if record.topic == topics.articles:
            published.setdefault(record.header("ce_id"), clock.monotonic_s())
            value = record.value or b""
            bodies["wikitext"] += b'"content_model":"wikitext"' in value
            bodies["html"] += b'"html":' in value

    log = MemoryLog(clock, unread={topics.articles}, on_record=on_record)
    await log.ensure_topics(topic_specs(settings))

    async def happen() -> None:
        arrivals = replayed(
            scenario.mix,
            scenario.edits_per_s,
            scenario.seed,
            with_page_change=scenario.with_page_change,
        )
        for arrival in takewhile(lambda arrival: arrival.at_s < end_s, arrivals):
            await asyncio.sleep(arrival.at_s - clock.monotonic_s())
            change = arrival.change
            wikis.happened(change, arrival.at_s)
            record = record_of(change, Told((change,), "", "recentchange"), 0, topics.changes, 10)
            await log.append([record])
            if change.kind in EDITS and change.revision and (change.wiki, change.revision) not in wikis.gone:
                edits.append((arrival.at_s, change))
        await asyncio.sleep(end_s - clock.monotonic_s())

    async with asyncio.TaskGroup() as tasks:
        enriching = tasks.create_task(_enriched(scenario, settings, log, clock, wikis))
        await happen()
        enriching.cancel()
    outcomes: Counter[str] = Counter()
    for position in (await log.committed("enrich")).values():
        counts = position.state.get("counts", {})
        assert isinstance(counts, dict)
        outcomes.update(counts)
    seen_s = [at_s for at_s in wikis.seen_s if at_s < end_s]
    figures = _judged(scenario, edits, hand, published, end_s)
    figures.requests = len(seen_s)
    figures.requests_per_edit = len(seen_s) / max(1, len(edits) - figures.unanswered)
    figures.most_in_a_minute = most_in_a_minute(seen_s)
    figures.wikitext, figures.with_html = bodies["wikitext"], bodies["html"]
    figures.by_kind = dict(sorted(wikis.kinds.items()))
    figures.outcomes = {name: count for name, count in sorted(outcomes.items()) if count}
    return figures


def _settings(scenario: Scenario) -> Settings:
    return Settings(
        source=SourceSettings(contact="bench@example.org"),
        mediawiki=MediaWikiSettings(
            requests_per_minute=scenario.requests_per_minute,
            concurrency=scenario.concurrency,
            batch=scenario.batch,
        ),
    )


async def _enriched(
    scenario: Scenario, settings: Settings, log: MemoryLog, clock: Clock, wikis: StubWikis
) -> None:
    """The service, with the network replaced."""
    with patch("streamer.origin.mediawiki.Fetch", lambda *_: wikis):
        origin = Origin(settings, clock, plan=lambda: scenario.plan)
    origin._breakers.rng = random.Random(scenario.seed)
    async with origin:
        await run_enrich(Runtime(settings, log, clock=clock), origin, lambda: scenario.plan)


def _judged(
    scenario: Scenario,
    edits: list[tuple[float, Change]],
    hand: dict[tuple[str, int], float],
    published: dict[str, float],
    end_s: float,
) -> Figures:
    if scenario.plan.latest_only:
        _answered_by_newer(edits, hand)
    in_hand: list[float] = []
    out: list[float] = []
    waiting = 0
    judged = [(at_s, change) for at_s, change in edits if 0 <= at_s - scenario.warm_s < scenario.judged_s]
    for at_s, change in judged:
        out_s = published.get(change.identifier)
        # published without the rest of its lists, it will have no other answer
        answered_s = hand.get((change.wiki, change.revision), out_s)
        waiting += answered_s is None
        in_hand.append((end_s if answered_s is None else answered_s) - at_s)
        if out_s is not None or answered_s is None:
            out.append((end_s if out_s is None else out_s) - at_s)
    hand_p50_s, hand_p99_s = _quantiles(in_hand)
    published_p50_s, published_p99_s = _quantiles(out)
    return Figures(
        edits=len(judged),
        hand_p50_s=hand_p50_s,
        hand_p99_s=hand_p99_s,
        published_p50_s=published_p50_s,
        published_p99_s=published_p99_s,
        unanswered=sum((change.wiki, change.revision) not in hand for _, change in edits),
        is_behind=waiting > len(judged) // 100,
    )


def _answered_by_newer(edits: list[tuple[float, Change]], hand: dict[tuple[str, int], float]) -> None:
    """Where nobody wants every revision, a newer one of the page is an answer too."""
    newer: dict[tuple[str, str], float] = {}
    for _, change in reversed(edits):
        page, key = (change.wiki, change.title), (change.wiki, change.revision)
        answered_s = min(hand.get(key, inf), newer.get(page, inf))
        if answered_s < inf:
            hand[key] = newer[page] = answered_s


def _quantiles(values: list[float]) -> tuple[float, float]:
    values = sorted(values)
    return values[len(values) // 2], values[len(values) * 99 // 100]
