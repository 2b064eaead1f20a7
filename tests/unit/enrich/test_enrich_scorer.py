"""Scores where the stream is silent: asked for beside the hint, and never waited for longer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from harness.delivering import metric

from streamer.enrich.hinting import MOST_MISSED, WAIT_S
from streamer.enrich.lane import DRAIN_SHARE
from streamer.enrich.memory import Hints
from streamer.enrich.scorer import PASSED_MS, Scoring
from streamer.enrich.stage import run_enrich
from streamer.model import Hint
from streamer.plan import Plan
from tests.unit.enrich.test_enrich_stage import articles

Make = Callable[..., Any]
MODEL = "revertrisk-language-agnostic"
FAR_S = 60.0


class Scripted:
    """Scores every revision a hundredth of its number, once `may_answer`."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    def serves(self, wiki: str, _server: str, /) -> bool:
        return wiki == "testwiki"

    async def scores(
        self, _wiki: str, _server: str, revisions: Sequence[int], /
    ) -> Mapping[int, Mapping[str, float]]:
        self.asked += revisions
        await self.may_answer.wait()
        return {revision: {MODEL: revision / 100} for revision in revisions if revision != 13}


class Edits:
    """Of one wiki, each answered as it is told, on a clock of its own."""

    def __init__(self, change: Make, found: Make, scorer: Scripted | None = None) -> None:
        self.change, self.found = change, found
        self.now_s = 100.0
        self.hints = Hints()
        self.scoring = Scoring(self.hints, scorer, lambda: self.now_s)
        self.revision = 100

    def score(self, revision: int, upstream_ms: int = 0) -> None:
        hint = Hint("testwiki", 1, revision, upstream_ms, scores={MODEL: 0.5})
        self.hints.add(hint)
        self.scoring.read(hint)

    def answered(self, *, scored_after_s: float | None = None) -> bool:
        """The next edit, and whether it is asked for."""
        self.revision += 1
        made = self.change("edit", self.revision), self.found(self.revision, 1)
        self.scoring.answered(*made)
        wanted = self.scoring.wants(*made)
        if scored_after_s is not None:
            self.now_s += scored_after_s
            self.score(self.revision)
        self.now_s += WAIT_S + 0.1
        return wanted

    async def waits(self, **over: Any) -> bool:
        """Whether the next one waits for its score, unless that comes."""
        self.revision += 1
        kind = over.pop("kind", "edit")
        at = {name: over.pop(name) for name in ("namespace", "parent") if name in over}
        change = self.change(kind, self.revision, **over)
        until_s = asyncio.get_running_loop().time() + FAR_S
        task = asyncio.create_task(self.scoring.wait(change, self.found(self.revision, 1, **at), until_s))
        for _ in range(3):
            await asyncio.sleep(0)
        if task.done():
            await task
            return False
        self.score(self.revision)
        await task
        return True


def test_asked_is_where_the_stream_does_not_tell_in_time(change: Make, found: Make) -> None:
    """At once where it never did, and again when some in a row came too late; not where it does."""
    edits = Edits(change, found, Scripted())
    assert edits.answered(scored_after_s=WAIT_S + 3)
    assert edits.answered(scored_after_s=WAIT_S - 0.1)
    for _ in range(MOST_MISSED):
        assert not edits.answered(scored_after_s=WAIT_S + 3)
    assert edits.answered(scored_after_s=WAIT_S + 3)
    assert edits.answered(scored_after_s=0.2)
    assert not edits.answered()


def test_a_busy_wiki_whose_scores_are_all_late_is_asked_for(change: Make, found: Make) -> None:
    """However many of its scores come while others are under way."""
    edits = Edits(change, found, Scripted())
    asked = 0
    for _ in range(200):
        asked += edits.answered()
        edits.now_s -= WAIT_S + 0.1 - 0.4
        if edits.revision > 103:
            edits.score(edits.revision - 3)
    assert asked == 200


def test_who_is_not_asked_for(change: Make, found: Make) -> None:
    """What has a score, no first revision, nothing but edits of articles; nor where nobody would answer."""
    edits = Edits(change, found, Scripted())
    scoring = edits.scoring
    assert scoring.wants(change("edit", 50), found(50, 1))
    assert not scoring.wants(change("create", 51), found(51, 1, parent=0))
    assert not scoring.wants(change("refresh", 50), found(50, 1))
    assert not scoring.wants(change("edit", 50, namespace=1), found(50, 1, namespace=1))
    edits.score(52)
    assert not scoring.wants(change("edit", 52), found(52, 1))
    assert not scoring.wants(change("edit", 5, wiki="otherwiki"), found(5, 1))
    assert not Scoring(Hints(), None).wants(change("edit", 5), found(5, 1))


async def test_waited_for_is_what_can_come(change: Make, found: Make) -> None:
    """On a wiki whose scores come in time, an edit of an article, until later ones have passed it."""
    edits = Edits(change, found)
    assert not await edits.waits()
    edits.answered(scored_after_s=0.5)
    assert await edits.waits()
    for other in ({"namespace": 1}, {"parent": 0}, {"kind": "refresh"}, {"wiki": "otherwiki"}):
        assert not await edits.waits(**other), other
    edits.score(1, 2_000_100 + PASSED_MS)
    assert not await edits.waits()
    edits.score(2, 2_000_100 + PASSED_MS - 1)
    assert await edits.waits()
    for _ in range(MOST_MISSED):
        edits.answered()
    edits.answered(scored_after_s=WAIT_S + 1)
    assert not await edits.waits()
    edits.score(edits.revision + 1)  # there before the wiki's answer
    edits.answered()
    assert await edits.waits()
    edits.scoring.close()
    assert not await edits.waits()


async def test_the_article_waits_for_its_score_and_never_longer_than_for_its_hint(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """Where somebody leaves edits out by it. How many had one is counted."""
    yes, no = (metric("streamer_enrich_scored_total", scored=scored) for scored in ("yes", "no"))
    for revision in (12, 13, 14):
        wikis.script(("revision", revision), found(revision, revision))
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_enrich(bench.runtime, wikis, lambda: Plan(text=False, scores=True)))
        await bench.admit(Hint("testwiki", 12, 12, 0, scores={MODEL: 0.1}), change("edit", 12, "A"))
        await bench.until_admitted(1)
        await bench.admit(change("edit", 13, "B"))
        await bench.until(lambda: ("revision", 13) in wikis.asked)
        await asyncio.sleep(0.2)
        assert (await bench.counts())["admitted"] == 1
        await bench.admit(Hint("testwiki", 13, 13, 0, scores={MODEL: 0.9}))
        await bench.until_admitted(2)
        began_s = loop.time()
        await bench.admit(change("edit", 14, "C"))
        await bench.until_admitted(3)
        took_s = loop.time() - began_s
        bench.runtime.draining.set()
    told = {a["identifier"]: a["version"] for a in await articles(bench)}
    assert told[13]["scores"]["revertrisk"]["probability"]["true"] == 0.9
    assert "scores" not in told[14]
    assert WAIT_S * 0.9 < took_s < WAIT_S + 30
    assert metric("streamer_enrich_scored_total", scored="yes") == yes + 2
    assert metric("streamer_enrich_scored_total", scored="no") == no + 1


async def test_a_drain_waits_for_no_score(
    bench: Any, wikis: Any, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits goes without it, at once."""
    monkeypatch.setattr("streamer.enrich.ask.WAIT_S", FAR_S)
    for revision in (12, 13):
        wikis.script(("revision", revision), found(revision, revision))
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_enrich(bench.runtime, wikis, lambda: Plan(text=False, scores=True)))
        await bench.admit(Hint("testwiki", 12, 12, 0, scores={MODEL: 0.1}), change("edit", 12, "A"))
        await bench.until_admitted(1)
        await bench.admit(change("edit", 13, "B"))
        await bench.until(lambda: ("revision", 13) in wikis.asked)
        began_s = loop.time()
        bench.runtime.draining.set()
    assert loop.time() - began_s < bench.runtime.settings.deliver.drain_s * DRAIN_SHARE / 2
    assert (await bench.counts())["published"] == 2


async def test_what_is_answered_is_in_the_article(
    bench: Any, wikis: Any, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside what hints tell; what it has no score for comes without, as does what the stream scores."""
    monkeypatch.setattr("streamer.enrich.ask.WAIT_S", 0.1)
    scorer = Scripted()
    for revision in (12, 13, 14):
        wikis.script(("revision", revision), found(revision, revision))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_enrich(bench.runtime, wikis, lambda: Plan(text=False), scorer=scorer))
        await bench.admit(
            change("edit", 12, "A"), change("edit", 13, "B"), Hint("testwiki", 12, 12, 0, parent_size=1)
        )
        await bench.until_admitted(2)
        await bench.admit(Hint("testwiki", 14, 14, 0, scores={MODEL: 0.5}), change("edit", 14, "C"))
        await bench.until_admitted(3)
        bench.runtime.draining.set()
    told = {a["identifier"]: a["version"] for a in await articles(bench)}
    risk = {"prediction": False, "probability": {"true": 0.12, "false": 0.88}}
    assert told[12]["scores"] == {"revertrisk": risk}
    assert "size_change" in told[12]
    assert "scores" not in told[13]
    assert told[14]["scores"]["revertrisk"]["prediction"] is True
    assert sorted(scorer.asked) == [12, 13]
