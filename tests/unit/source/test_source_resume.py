"""What is asked for after a break, what is remembered for it, and how attempts are spaced."""

import asyncio
import json
from pathlib import Path
from random import Random

import pytest

from streamer.admission import Rules
from streamer.clock import Clock
from streamer.config import Settings
from streamer.health import Health
from streamer.log.base import Bounds, Record, TopicPartition
from streamer.log.local import LocalLog
from streamer.log.position import METADATA_CHARS, Position
from streamer.runtime import DAY_MS, topic_specs
from streamer.source import seen
from streamer.source.backoff import CAP_S, REFUSED_BASE_S, REFUSED_CAP_S, Backoff
from streamer.source.eventstreams import EventStreams
from streamer.source.inbox import BATCH_EVENTS, Arrival, Inbox
from streamer.source.marks import IDLE_MS, JITTER_MS, UNNAMED, Marks
from streamer.source.seen import Seen
from streamer.source.standing import FileStanding, Standing
from streamer.source.told import Told
from streamer.sse import Frame

EQIAD = "eqiad.mediawiki.recentchange"
CODFW = "codfw.mediawiki.recentchange"
NOW_MS = 1_767_225_600_000


def last_id(**timestamps: int) -> bytes:
    names = {"eqiad": EQIAD, "codfw": CODFW}
    return json.dumps(
        [
            {"topic": names[name], "partition": 0} | ({"timestamp": ms} if ms else {"offset": -1})
            for name, ms in timestamps.items()
        ]
    ).encode()


def asked(marks: Marks, *streams: str, rewind_ms: int = 0) -> dict[str, int]:
    entries = json.loads(
        marks.last_event_id(streams or ("recentchange",), rewind_ms=rewind_ms, started_ms=NOW_MS - 60_000)
    )
    assert all(set(entry) == {"topic", "partition", "timestamp"} for entry in entries)
    return {entry["topic"]: entry["timestamp"] for entry in entries}


def test_marks_only_grow() -> None:
    """Ids step back by up to 15 s; what was read stays read."""
    marks = Marks({})
    assert marks.advance_by_id(last_id(eqiad=NOW_MS, codfw=0))
    assert marks.advance_by_id(last_id(eqiad=NOW_MS - 15_000, codfw=0))
    assert marks.as_dict() == {EQIAD: NOW_MS, CODFW: 0}


def test_every_topic_is_asked_for_by_time() -> None:
    """The one that never sent anything too, from when the feed began: a switchover is lossless."""
    marks = Marks({})
    marks.advance_by_id(last_id(eqiad=NOW_MS, codfw=0))
    assert asked(marks, rewind_ms=10_000) == {EQIAD: NOW_MS - 10_000, CODFW: NOW_MS - 70_000}


def test_a_stream_of_which_nothing_is_known() -> None:
    """Both of Wikimedia's topics are asked for; a stream that was removed is not."""
    marks = Marks({EQIAD: NOW_MS})
    topics = asked(marks, "mediawiki.page_change.v1")
    assert set(topics) == {"eqiad.mediawiki.page_change.v1", "codfw.mediawiki.page_change.v1"}


def test_page_change_is_not_taken_for_another() -> None:
    """A stream's topics are those of exactly its name."""
    marks = Marks({"eqiad.mediawiki.page_change.v1": NOW_MS, "eqiad.rc.mediawiki.page_change.v1.more": 1})
    assert set(asked(marks, "mediawiki.page_change.v1")) == {"eqiad.mediawiki.page_change.v1"}


def test_an_idle_topic_is_not_rewound() -> None:
    """Silent while another advanced by hours, nothing of it can come again, nothing is remembered for it,
    after a restart either; until it sends.
    """
    then_ms = NOW_MS - IDLE_MS - 1
    marks = Marks({EQIAD: then_ms, CODFW: then_ms})
    marks.advance(EQIAD, NOW_MS)
    assert marks.idle() == {CODFW}
    for known in (marks, Marks(marks.as_dict(), marks.idle())):
        assert asked(known, rewind_ms=10_000)[CODFW] == then_ms
        assert known.horizon_ms(CODFW, 10_000) == then_ms + 1
        assert known.horizon_ms(EQIAD, 10_000) == NOW_MS - 10_000 - JITTER_MS
        assert known.must_come_again() == {EQIAD: NOW_MS + JITTER_MS}
        known.advance(CODFW, NOW_MS + 1)
        assert known.idle() == frozenset()


def test_a_topic_that_catches_up_is_rewound() -> None:
    """After an outage of hours a small topic is soon at its end, and the large one hours behind it: a cut
    then must not skip what the large one has sent in the same instant, or out of order.
    """
    small = "eqiad.mediawiki.page_change.v1"
    marks = Marks({EQIAD: NOW_MS, small: NOW_MS})
    for minute in range(1, 300):
        marks.advance(small, NOW_MS + minute * 60_000)
        marks.advance(EQIAD, NOW_MS + minute * 1_000)
    for known in (marks, Marks(marks.as_dict(), marks.idle())):
        assert known.idle() == frozenset()
        assert asked(known, rewind_ms=10_000)[EQIAD] == NOW_MS + 299_000 - 10_000
        assert set(known.must_come_again()) == {EQIAD, small}


@pytest.mark.parametrize("noise", [b"", b"7", b"{}", b"[1]", b"[" * 50_000, b'[{"topic":5}]'])
def test_ids_of_another_form_move_nothing(noise: bytes) -> None:
    """Not the server's JSON: there is nothing to resume by, and nothing breaks."""
    marks = Marks({EQIAD: 5})
    assert not marks.advance_by_id(noise)
    assert marks.as_dict() == {EQIAD: 5}


def test_made_up_topics_share_one_name() -> None:
    """An event may claim any topic; only those that the ids name count."""
    marks = Marks({EQIAD: 5})
    assert [marks.named(EQIAD), marks.named("made.up")] == [EQIAD, UNNAMED]
    assert marks.get(UNNAMED) == 5


def test_marks_lie_behind_all_that_was_read() -> None:
    """Ids step back within one read of the socket too: the last one is not the highest."""
    settings = Settings()
    client = EventStreams(
        settings=settings.source,
        user_agent="",
        rules=lambda: Rules.of(settings),
        marks=Marks({}),
        started_ms=NOW_MS,
        rewind_ms=0,
        is_resumed=False,
        health=Health(),
        backoff=Backoff(),
    )
    frames = [Frame(b"{}", last_id(eqiad=NOW_MS + late_ms), b"message") for late_ms in (0, 9_000, -6_000)]
    assert client._arrival(frames).marks == {EQIAD: NOW_MS + 9_000}


def test_an_event_from_the_future_does_not_make_the_stream_silent_until_then() -> None:
    """After a silence something new must come; what is told now is new, whatever was told once."""
    settings, health, now_ms = Settings(), Health(), NOW_MS
    client = EventStreams(
        settings=settings.source,
        user_agent="",
        rules=lambda: Rules.of(settings),
        marks=Marks({}),
        started_ms=NOW_MS,
        rewind_ms=0,
        is_resumed=False,
        health=health,
        backoff=Backoff(),
        clock=Clock(now_ms=lambda: now_ms),
    )

    def hear(upstream_ms: int) -> bool:
        client._heard(Arrival([Told((), "canary", "unknown", EQIAD, upstream_ms)], {}))
        return not health.problems()

    assert hear(NOW_MS + 365 * DAY_MS)
    client._was_silent, now_ms = True, NOW_MS + 60_000
    health.unready("source", "it went silent")
    assert not hear(NOW_MS)
    assert hear(NOW_MS + 59_000)


def test_the_position_asks_for_no_protection() -> None:
    """Its number counts events, so the log's cleaner must not take it for an offset of the changes."""
    state = Standing(counts={"admitted": 3}).as_state()
    assert state["input"] is None
    assert Standing.of(Position(7, (), state)) == Standing(counts={"admitted": 3})


def test_seen_forgets_what_cannot_come_again() -> None:
    """Per topic, by how far that topic was read; and the floor per partition follows."""
    memory = Seen(2)
    for n in range(100):
        memory.add(f"a{n}", EQIAD, NOW_MS + n * 1_000, n % 2, n)
    memory.add("b", CODFW, NOW_MS, 1, 100)
    marks = Marks({EQIAD: NOW_MS + 99_000, CODFW: NOW_MS})
    memory.forget(marks, 10_000)
    assert "a73" not in memory
    assert "a74" in memory
    assert "b" in memory
    assert memory.floors() == (74, 75)


def test_seen_is_bounded() -> None:
    """Whatever times the events carry."""
    memory = Seen(1, limit=10)
    for n in range(100):
        memory.add(str(n), EQIAD, 2**50, 0, n)
        memory.forget(Marks({EQIAD: 1}), 10_000)
    assert len(memory) == 10
    assert "99" in memory


def test_floor_of_a_quiet_partition_is_its_end() -> None:
    """Where nothing is remembered, nothing need be read."""
    memory = Seen(2)
    memory.reached(0, 7)
    memory.add("x", EQIAD, NOW_MS, 1, 3)
    assert memory.floors() == (7, 3)


async def test_seen_is_restored_from_the_log(tmp_path: Path) -> None:
    """From the floors to the end; records of others in the same topic are passed over."""
    settings = Settings()
    topic = "wiki.changes.v1"

    def record(n: int, *headers: tuple[str, bytes]) -> Record:
        return Record(topic, n % 2, "w", b"{}", (("ce_id", f"i{n}".encode()), *headers))

    async with LocalLog(tmp_path / "log.db") as log:
        await log.ensure_topics(topic_specs(settings))
        own = (("topic", EQIAD.encode()), ("mark_ms", str(NOW_MS).encode()))
        await log.append([record(n, *own) for n in range(6)] + [record(6)])
        marks = Marks({EQIAD: NOW_MS})
        restored = await seen.restore(log, topic, (1, 3), marks, 10_000)
        marks.advance(EQIAD, NOW_MS + 10_000 + JITTER_MS + 1)
        assert len(await seen.restore(log, topic, (1, 3), marks, 10_000)) == 0
        assert (await log.bounds(TopicPartition(topic, 0))).end == 4
    assert [f"i{n}" in restored for n in range(7)] == [False, False, True, False, True, False, False]
    assert restored.floors()[:2] == (1, 3)


class QuickRetention(LocalLog):
    """What a reader was told of bounds is deleted before it reads."""

    async def all_bounds(self, topic: str) -> list[Bounds]:
        bounds = await super().all_bounds(topic)
        await self.clean()
        return bounds


async def test_what_expires_while_it_is_restored_is_passed_over(tmp_path: Path) -> None:
    """A start beside the cleaner goes on with what is there; it ended the service."""
    now_ms = NOW_MS
    topic = "wiki.changes.v1"
    own = (("ce_id", b"i"), ("topic", EQIAD.encode()), ("mark_ms", str(NOW_MS).encode()))
    async with QuickRetention(tmp_path / "log.db", clock=lambda: now_ms, clean_every_s=3600) as log:
        await log.ensure_topics(topic_specs(Settings()))
        await log.append([Record(topic, 0, "w", b"{}", own)])
        now_ms += 8 * DAY_MS
        await log.append([Record(topic, 1, "w", b"{}", (("ce_id", b"j"), *own[1:]))])
        restored = await seen.restore(log, topic, (0, 0), Marks({EQIAD: NOW_MS}), 10_000)
        assert (await log.bounds(TopicPartition(topic, 0))).earliest == 1
    assert "i" not in restored
    assert "j" in restored


def test_the_position_fits() -> None:
    """Ten topics and a hundred partitions stay far below what an offset commit holds."""
    upstream = {
        f"{c}.mediawiki.page_revert_risk_prediction_change.v{n}": NOW_MS for c in "ab" for n in range(5)
    }
    standing = Standing(
        {"admitted": 10**10},
        upstream,
        tuple(upstream),
        NOW_MS,
        10_000,
        (10**9,) * 100,
        FileStanding("x" * 100, 10**9),
    )
    position = Position(10**10, (), standing.as_state())
    assert len(position.metadata()) < METADATA_CHARS
    assert Standing.of(Position.restore(10**10, position.metadata())) == standing


def test_backoff_grows_with_jitter_and_starts_over() -> None:
    """Up to its cap; slower after a refusal; never sooner than Retry-After says."""
    backoff = Backoff(random=Random(1))
    waits = [backoff.next_s() for _ in range(30)]
    assert 0.1 <= waits[0] <= 1.0
    assert all(1.0 <= wait <= CAP_S for wait in waits[1:])
    assert max(waits) > 20
    assert len(set(waits)) > 20
    backoff.reset()
    assert backoff.next_s() <= 1.0
    assert REFUSED_BASE_S <= backoff.next_s(refused=True) <= REFUSED_CAP_S
    assert backoff.next_s(retry_after_s=90) >= 90
    backoff.suggested(5_000)
    backoff.reset()
    assert 0.5 <= backoff.next_s() <= 5.0
    assert 5.0 <= backoff.next_s() <= 15.0


def arrival(events: int) -> Arrival:
    return Arrival([Told((), "canary", "recentchange")] * events, {})


async def test_the_inbox_holds_the_reader_back() -> None:
    """While a full batch waits, `put` does not return; once it is taken, it does."""
    inbox = Inbox(linger_s=60.0)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        putting = tasks.create_task(inbox.put(arrival(BATCH_EVENTS + 1)))
        taken = await inbox.take(wait_s=1)  # a full batch is given at once, whatever the linger
        await putting
    assert sum(len(one.told) for one in taken) == BATCH_EVENTS + 1


async def test_the_inbox_gives_what_is_left_when_closed() -> None:
    """Closed is not lost; and finished only once it is empty."""
    inbox = Inbox(linger_s=60.0)
    await inbox.put(arrival(3))
    inbox.close()
    assert not inbox.is_finished
    assert len(await inbox.take(wait_s=1)) == 1
    assert inbox.is_finished
    assert await inbox.take(wait_s=1) == []


async def test_the_inbox_returns_empty_handed_in_time() -> None:
    """With nothing to give, `take` ends after its time."""
    assert await Inbox(linger_s=0).take(wait_s=0.01) == []


def test_ids_cannot_make_up_topics_without_end() -> None:
    """All marks stand in the position: an id of thousands must not make it too large to commit."""
    marks = Marks({"eqiad.mediawiki.recentchange": 5})
    made_up = [{"topic": f"made.up.{n}", "partition": 0, "timestamp": n} for n in range(5_000)]
    known = {"topic": "eqiad.mediawiki.recentchange", "partition": 0, "timestamp": 9}
    assert marks.advance_by_id(json.dumps([known, *made_up]).encode())
    assert marks.get("eqiad.mediawiki.recentchange") == 9
    assert len(marks.as_dict()) <= 64
