"""Two cut-offs of one revision: compaction keeps the later one, which must hide what the earlier one hid."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from harness.on_kafka import OnKafka

from deploy.kafka import Brokers
from streamer.clock import Clock
from streamer.config import LogSettings, Settings
from streamer.cutoffs import Cutoffs, cutoff_record
from streamer.enrich.hides import Hides
from streamer.errors import AnswerInvalid, OffsetOutOfRange
from streamer.log.local import LocalLog
from streamer.log.local_reader import LocalReader
from streamer.model import Change, Visibility
from streamer.runtime import topic_specs
from tests.unit.enrich.conftest import Bench
from tests.unit.enrich.test_enrich_stage import body, killed, running

Make = Callable[..., Any]
HISTORY_MS = 7 * 3_600_000
TEXT = Visibility(text=False)
ONLY_COMMENT = Visibility(comment=False)


def hides(change: Make, visibility: Visibility) -> Change:
    changed: Change = change("visibility", 5, page_id=1, visibility=visibility)
    return changed


@pytest.fixture
async def on_kafka(tmp_path: Path, brokers: Brokers) -> AsyncIterator[Any]:
    kafka = OnKafka(brokers)
    settings = Settings(log=LogSettings(kind="kafka", path=str(tmp_path), prefix=kafka.prefix))
    async with kafka.open() as log:
        await log.ensure_topics(topic_specs(settings))
        yield Bench(log, settings)


async def two_cut_offs(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """The text is hidden, shown again, and in another process the comment is hidden."""
    wikis.script(("page", 1), found(6, 1))
    async with running(bench, wikis):
        await bench.admit(hides(change, TEXT))
        await bench.until_admitted(1)
        await bench.admit(hides(change, Visibility()))
        await bench.until_admitted(2)
    async with running(bench, wikis):
        await bench.admit(hides(change, ONLY_COMMENT))
        await bench.until_admitted(3)
    last = (await bench.read(bench.topics.withdrawals))[-1]
    assert (last.key, body(last)["hides"]) == ("testwiki:1/5", ["text", "comment"])


async def test_a_restart_after_compaction_hides_both(
    bench: Any, wikis: Any, change: Make, found: Make, tmp_path: Path
) -> None:
    """Who starts when only the later cut-off is left in the log judges as who read both."""
    await two_cut_offs(bench, wikis, change, found)
    before, after = Cutoffs(), Cutoffs()
    for record in await bench.read(bench.topics.withdrawals):
        before.apply(record)
    async with LocalLog(
        tmp_path / "log.db", clock=lambda: Clock().now_ms() + HISTORY_MS, clean_every_s=3_600
    ) as later:
        await later.clean()
    (left,) = await bench.read(bench.topics.withdrawals)
    after.apply(left)
    assert before.hidden("testwiki:1", 5, 1) == after.hidden("testwiki:1", 5, 1) == {"text", "comment"}
    async with running(bench, wikis):  # a third process: it knows of the text by the second's cut-off alone
        await bench.admit(hides(change, Visibility(editor=False)))
        await bench.until_admitted(4)
    last = (await bench.read(bench.topics.withdrawals))[-1]
    assert body(last)["hides"] == ["text", "comment", "editor"]


@pytest.mark.xdist_group("kafka")
async def test_on_a_cluster(on_kafka: Any, wikis: Any, change: Make, found: Make) -> None:
    """The same on Kafka, where a lane's start reads the topic through the marks of its transactions."""
    await two_cut_offs(on_kafka, wikis, change, found)


async def test_what_was_shown_again_is_shown(bench: Any, wikis: Any, change: Make, found: Make) -> None:
    """The record that comes with the later cut-off is above it, text and all."""
    await two_cut_offs(bench, wikis, change, found)
    cutoffs = Cutoffs()
    for record in await bench.read(bench.topics.withdrawals):
        cutoffs.apply(record)
    last = (await bench.read(bench.topics.articles))[-1]
    assert "article_body" in body(last)
    assert not cutoffs.hidden(last.key, 6, int(last.header("ce_sequence")))


async def test_a_text_shown_again_is_served_without_its_comment(
    bench: Any, wikis: Any, change: Make, found: Make, tmp_path: Path
) -> None:
    """The comment's change comes to nothing, so that no record restates the page: the one that shows the text
    again is below the comment's cut-off and above the text's, for who starts after compaction too.
    """
    wikis.script(("page", 1), found(5, 1))
    async with running(bench, wikis):
        await bench.admit(hides(change, TEXT))
        await bench.until_admitted(1)
        await bench.admit(hides(change, Visibility()))
        await bench.until_admitted(2)
    wikis.script(("page", 1), AnswerInvalid("unparsable"))
    async with running(bench, wikis):
        await bench.admit(hides(change, ONLY_COMMENT))
        await bench.until_admitted(3)
    *_, shown = await bench.read(bench.topics.articles)
    assert "article_body" in body(shown)
    sequence = int(shown.header("ce_sequence"))
    async with LocalLog(
        tmp_path / "log.db", clock=lambda: Clock().now_ms() + HISTORY_MS, clean_every_s=3_600
    ) as later:
        await later.clean()
    (left,) = await bench.read(bench.topics.withdrawals)
    cutoffs = Cutoffs()
    cutoffs.apply(left)
    assert cutoffs.hidden("testwiki:1", 5, sequence) == {"comment"}
    assert cutoffs.hidden("testwiki:1", 5, 1) == {"text", "comment"}


async def test_a_commit_that_failed_is_known_by_who_comes_after_it(
    bench: Any, wikis: Any, change: Make, found: Make
) -> None:
    """The early cut-off is out, its change is not: another process unites what it hides with what follows."""
    wikis.hold(("page", 1))
    await bench.admit(hides(change, TEXT))

    async def cut_off() -> bool:
        return bool(await bench.read(bench.topics.withdrawals))

    await killed(bench, wikis, cut_off)
    await bench.admit(hides(change, ONLY_COMMENT))
    wikis.script(("page", 1), found(6, 1))
    wikis.go(("page", 1))
    async with running(bench, wikis):
        await bench.until_admitted(2)
    assert body((await bench.read(bench.topics.withdrawals))[-1])["hides"] == ["text", "comment"]


async def test_reading_goes_on_where_it_stopped(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cut-off is read once, however often lanes begin; where retention overtakes it, from the earliest;
    a page's cut-off, ticks and tombstones are not kept.
    """
    known = Hides()
    read: list[str] = []
    ask = LocalReader.read
    overtaken = True

    async def watched(self: LocalReader, **wishes: Any) -> Any:
        nonlocal overtaken
        if overtaken:
            overtaken = False
            tp = next(iter(self._cursors))
            raise OffsetOutOfRange(tp.topic, tp.partition, 0, 0, 0)
        records = await ask(self, **wishes)
        read.extend(record.key for record in records)
        return records

    monkeypatch.setattr(LocalReader, "read", watched)
    for revision, what in ((1, "text"), (2, "comment"), (0, "text")):
        record = cutoff_record(
            bench.topics.withdrawals, 10, wiki="w", page_id=1, revision=revision, sequence=9, hides=(what,)
        )
        await bench.runtime.log.append([record])
        await known.read(bench.runtime.log, bench.topics.withdrawals)
    assert read == ["w:1/1", "w:1/2", "w:1"]
    assert (known.of("w:1/1"), known.of("w:1/2"), known.of("w:1")) == ({"text": 9}, {"comment": 9}, {})
