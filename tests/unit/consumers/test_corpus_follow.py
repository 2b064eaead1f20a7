"""Feeds into a corpus: what is applied, in which transaction, and how it ends."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from harness.scripted import article
from rich.console import Console

from consumers.corpus.display import Rates, line, table
from consumers.corpus.follow import Follower
from consumers.corpus.state import State
from consumers.corpus.tally import Tally
from consumers.errors import BadEvent, FeedError, PositionLost, StateBusy, StateError
from consumers.event import Article, Batch, decoded

DEADLINE_S = 60


def event(number: int, page: int = 0, text: str = "some ''text''") -> Article:
    return msgspec.convert(article(number, text) | {"identifier": page or number}, Article)


def removal(number: int, page: int) -> Article:
    made = article(number) | {"identifier": page}
    del made["article_body"]
    return msgspec.convert(made | {"event": made["event"] | {"type": "delete", "kind": "delete"}}, Article)  # type: ignore[operator]


@dataclass
class Listed:
    """A feed of these batches; positions are their numbers."""

    name: str
    given: list[Batch]
    then: BaseException | None = None
    holds: bool = False
    begun: list[str | None] = field(default_factory=list)
    taken: int = 0
    """Batches that were asked for."""
    is_closed: bool = False

    async def batches(self, position: str | None) -> AsyncGenerator[Batch, None]:
        self.begun.append(position)
        try:
            for batch in self.given[int(position or 0) :]:
                self.taken += 1
                yield batch
                await asyncio.sleep(0)
            if self.then is not None:
                raise self.then
            if self.holds:
                await asyncio.Event().wait()
        finally:
            self.is_closed = True


def batches(*events: list[Article]) -> list[Batch]:
    return [Batch(each, str(number), 100 * len(each)) for number, each in enumerate(events, 1)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "corpus.db"


async def run(
    path: Path, *feeds: Listed, stop: Callable[[], bool] | None = None, **more: object
) -> tuple[Tally, str]:
    with State(path, create=True) as state:
        follower = Follower(state, list(feeds), **more)  # type: ignore[arg-type]
        stopped = asyncio.Event()
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            running = group.create_task(follower.run(stopped))
            while stop is not None and not running.done() and not stop():
                await asyncio.sleep(0.005)
            if stop is not None:
                stopped.set()
    return follower.tally, running.result()


async def failure(path: Path, *feeds: Listed, **more: object) -> BaseException:
    with pytest.raises(ExceptionGroup) as raised:
        await run(path, *feeds, **more)  # type: ignore[arg-type]
    return raised.value.exceptions[0]


async def test_what_feeds_bring_is_there_with_their_positions(path: Path) -> None:
    """Of several, each under its own name. Plain text is made of wikitext. The next start goes on there."""
    one = Listed("one", batches([event(1), event(2)], [event(3, page=1)]))
    two = Listed("two", batches([event(11)], [removal(12, page=11)]))
    tally, _ = await run(path, one, two)
    with State(path) as state:
        assert state.positions() == {"one": "2", "two": "2"}
        found = list(state.pages("enwiki"))
        assert [(p.page, p.text, p.wikitext) for p in found] == [
            (1, "some text", "some ''text''"), (2, "some text", "some ''text''"),
        ]  # fmt: skip
    assert (tally.events, tally.received_bytes, dict(tally.wikis)) == (5, 500, {"enwiki": 5})
    assert (dict(tally.deletions), tally.bad) == ({"enwiki": 1}, 0)
    await run(path, one, two)
    assert one.begun == [None, "2"]
    assert one.is_closed


async def test_the_text_alone_is_kept_where_that_is_asked(path: Path) -> None:
    """No wikitext then stands in the file."""
    await run(
        path, Listed("one", batches([event(1, text="some ''unmistakable'' text")])), keep_wikitext=False
    )
    with State(path) as state:
        (found,) = state.pages("enwiki")
    assert (found.text, found.wikitext) == ("some unmistakable text", None)


async def test_it_stops_when_told_to_with_what_it_was_given(path: Path) -> None:
    """The feed is closed; all that it had handed over is committed."""
    feed = Listed("one", batches(*[[event(number)] for number in range(1, 40)]), holds=True)
    _, reason = await run(path, feed, stop=lambda: feed.taken >= 30)
    assert reason == "stopped"
    with State(path) as state:
        position = int(state.position("one") or 0)
        assert [p.page for p in state.pages("enwiki")] == list(range(1, position + 1))
    assert position >= 20
    assert feed.is_closed


async def test_it_ends_when_nothing_comes_any_more(path: Path) -> None:
    """Where that is asked; empty batches, which only say how far it is, are nothing."""
    feed = Listed("one", batches([event(1)], []), holds=True)
    _, reason = await run(path, feed, idle_s=0.2)
    assert reason == "idle"
    with State(path) as state:
        assert state.position("one") == "2"


async def test_a_feed_that_fails_ends_it_after_what_came_before(path: Path) -> None:
    """What both feeds had handed over is committed; the error is the feed's own."""
    broken = Listed("one", batches([event(1)], [event(2)]), then=PositionLost("no longer kept"))
    other = Listed("two", batches([event(11)]), holds=True)
    error = await failure(path, broken, other)
    assert isinstance(error, PositionLost)
    with State(path) as state:
        assert state.position("one") == "2"
        assert len(list(state.pages("enwiki"))) >= 2
    assert other.is_closed


async def test_what_is_no_article_is_counted_and_passed_over(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The count is kept with the position; the log names the field, and is silent after some."""
    bad = [Batch([event(1)], "1", bad=["`$.name`: expected str"] * 30), Batch([event(2)], "2")]
    tally, _ = await run(path, Listed("one", bad))
    assert tally.bad == 30
    with State(path) as state:
        assert state.fact("bad:one") == "30"
        assert [p.page for p in state.pages("enwiki")] == [1, 2]
    told = [record for record in caplog.records if record.message == "an event was passed over"]
    assert len(told) == 20
    assert vars(told[0])["reason"] == "`$.name`: expected str"


async def test_what_is_no_article_ends_it_where_that_is_asked(path: Path) -> None:
    """Before its batch, so that nothing is passed over however often it is tried."""
    bad = [
        Batch([event(1)], "1"),
        Batch([event(2)], "2", bad=["`$.name`: expected str"]),
        Batch([event(3)], "3"),
    ]
    error = await failure(path, Listed("one", bad), strict=True)
    assert isinstance(error, BadEvent)
    with State(path) as state:
        assert state.position("one") == "1"
        assert [p.page for p in state.pages("enwiki")] == [1]


async def test_where_the_writer_is_behind_feeds_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than the queue, a commit and what is in hand is taken while nothing can be written."""
    monkeypatch.setattr("consumers.corpus.database.BUSY_S", DEADLINE_S)
    monkeypatch.setattr("consumers.corpus.follow.EVENTS", 2)
    State(path, create=True).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    feed = Listed("one", batches(*[[event(number)] for number in range(1, 200)]))

    async def release() -> None:
        while feed.taken < 7:
            await asyncio.sleep(0.005)
        for _ in range(50):
            await asyncio.sleep(0.002)
        assert feed.taken <= 8
        other.execute("ROLLBACK")
        other.close()

    async with asyncio.TaskGroup() as group:
        group.create_task(release())
        await run(path, feed)
    with State(path) as state:
        assert state.position("one") == "199"


async def test_while_the_corpus_is_in_use_it_waits(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Longer than SQLite does, as `corpus erase` may take it: says so now and then, takes no more than it can
    hold, and goes on where it was; what was passed over is counted once.
    """
    monkeypatch.setattr("consumers.corpus.database.BUSY_S", 0.05)
    State(path, create=True).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    given = [Batch([event(number)], str(number), bad=["no article"]) for number in range(1, 200)]
    feed = Listed("one", given)

    def waits() -> int:
        return sum(record.message.startswith("the corpus is in use") for record in caplog.records)

    async def release() -> None:
        while waits() < 3:
            await asyncio.sleep(0.005)
        assert feed.taken < 199
        other.execute("ROLLBACK")
        other.close()

    async with asyncio.TaskGroup() as group:
        group.create_task(release())
        monkeypatch.setattr("consumers.corpus.follow.EVENTS", 2)
        tally, _ = await run(path, feed)
    with State(path) as state:
        assert state.position("one") == "199"
        assert len(list(state.pages("enwiki"))) == 199
        assert state.fact("bad:one") == "199"
    assert tally.bad == 199


async def test_told_to_stop_it_waits_no_longer(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """For a corpus in use: it ends by that name, and what it could not commit comes again."""
    monkeypatch.setattr("consumers.corpus.database.BUSY_S", 0.05)
    State(path, create=True).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    feed = Listed("one", batches(*[[event(number)] for number in range(1, 200)]), holds=True)
    error = await failure(path, feed, stop=lambda: "the corpus is in use" in caplog.text)
    assert isinstance(error, StateBusy)
    assert "in use" in str(error)
    assert feed.is_closed
    other.execute("ROLLBACK")
    other.close()
    with State(path) as state:
        assert state.position("one") is None


async def test_a_file_that_cannot_be_written_ends_it_by_name(path: Path) -> None:
    """And the feeds are closed."""
    feed = Listed("one", batches(*[[event(number)] for number in range(1, 200)]), holds=True)
    with State(path, create=True) as state:
        state._db.execute("PRAGMA query_only = ON")
        with pytest.raises(StateError, match="read-only"):
            await Follower(state, [feed]).run(asyncio.Event())
    assert feed.is_closed


def test_a_line_for_services_is_json_and_holds_no_title() -> None:
    """Counts, rates, bytes, and how far it is behind."""
    tally, rates = Tally(events=10, changed=9, gone=1, received_bytes=1_000, lag_s=1.25), Rates()
    rates.of(Tally(), 100.0)
    said = json.loads(line(tally, rates, 105.0, final="stopped"))
    assert said["events_per_s"] == 2.0
    assert said["bytes_per_s"] == 200
    assert said["lag_s"] == 1.25
    assert said["final"] == "stopped"


def test_the_table_shows_wikis_and_sums() -> None:
    """Those with most events; the rest as a number."""
    tally = Tally(events=300, changed=250, gone=3, received_bytes=5_000_000, lag_s=2.5)
    tally.wikis.update({f"w{number:02}wiki": 100 - number for number in range(15)})
    console = Console(width=100)
    with console.capture() as shown:
        console.print(table(tally, Rates(), 3_700.0, 0.0, "corpus"))
    text = shown.get()
    for part in ("w00wiki", "and 3 more", "1:01:40", "4.8 MB", "2.5 s", "250"):
        assert part in text, text


def test_errors_of_feeds_are_a_kind() -> None:
    """What ends a feed is told apart by its class, and each has a code for metrics."""
    assert issubclass(PositionLost, FeedError)
    assert PositionLost.code == "position_lost"


@pytest.mark.parametrize("number", [1 << 63, -1, 1 << 70, 1.5, "7"])
def test_a_number_that_no_wiki_has_is_no_article(number: object) -> None:
    """Else one event would end the corpus at each start, where the file can't hold it."""
    made = article(1)
    for alter in (
        lambda: made | {"identifier": number},
        lambda: made | {"event": made["event"] | {"sequence": number}},  # type: ignore[operator]
    ):
        with pytest.raises(BadEvent, match="is not an article"):
            decoded(json.dumps(alter()))
