"""Scores where the stream is silent: asked for beside the hint, and never waited for longer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from streamer.enrich.memory import Hints
from streamer.enrich.scorer import UNSCORED, Scoring
from streamer.enrich.stage import run_enrich
from streamer.model import Hint
from streamer.plan import Plan
from tests.unit.enrich.test_enrich_stage import articles

Make = Callable[..., Any]
MODEL = "revertrisk-language-agnostic"


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


def test_asked_is_where_the_stream_is_silent(change: Make, found: Make) -> None:
    """After some edits of a wiki without a score of the stream's; not for what has one, nor for a page's
    first revision, nor where nobody would answer.
    """
    hints = Hints()
    scoring = Scoring(hints, Scripted())
    for revision in range(2, UNSCORED + 2):
        assert not scoring.wants(change("edit", revision), found(revision, 1))
    assert scoring.wants(change("edit", 50), found(50, 1))
    assert not scoring.wants(change("create", 51), found(51, 1, parent=0))
    assert not scoring.wants(change("refresh", 50), found(50, 1))
    hints.add(Hint("testwiki", 1, 52, 0, scores={MODEL: 0.5}))
    assert not scoring.wants(change("edit", 52), found(52, 1))
    scoring.read(Hint("testwiki", 1, 53, 0, tags=()))
    assert scoring.wants(change("edit", 54), found(54, 1))
    scoring.read(Hint("testwiki", 1, 53, 0, scores={MODEL: 0.5}))
    assert not scoring.wants(change("edit", 55), found(55, 1))
    for _ in range(2 * UNSCORED):
        assert not scoring.wants(change("edit", 5, wiki="otherwiki"), found(5, 1))
        assert not Scoring(hints, None).wants(change("edit", 5), found(5, 1))


async def test_what_is_answered_is_in_the_article(
    bench: Any, wikis: Any, change: Make, found: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside what hints tell; what it has no score for comes without, as does what the stream scores."""
    monkeypatch.setattr("streamer.enrich.scorer.UNSCORED", 0)
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
