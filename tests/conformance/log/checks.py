"""The contract of `streamer.log.base`, as checks that any engine passes and that a wrong log fails.

Each takes an engine with an empty log and raises AssertionError (or what the log raised) if the
log is wrong. `CHECKS` is all of them.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from random import Random

import pytest

from streamer.errors import (
    ConfigError,
    LaneLost,
    LogUnavailable,
    OffsetOutOfRange,
    RecordTooLarge,
    TopicMissing,
)
from streamer.log.base import MAX_RECORD_BYTES, Lane, Log, Record, Stored, TopicPartition, TopicSpec
from streamer.log.position import Position
from tests.conformance.log.engine import SPECS, START_MS, Engine, at

DEADLINE_S = 30.0

Check = Callable[[Engine], Awaitable[None]]


@asynccontextmanager
async def opened(engine: Engine) -> AsyncIterator[Log]:
    async with engine.open() as log:
        await log.ensure_topics(SPECS)
        yield log


async def read_all(log: Log, tps: Iterable[TopicPartition]) -> dict[TopicPartition, list[Stored]]:
    """From the earliest to the end as of now."""
    bounds = {tp: await log.bounds(tp) for tp in tps}
    found: dict[TopicPartition, list[Stored]] = {tp: [] for tp in bounds}
    async with (
        asyncio.timeout(DEADLINE_S),
        log.reader({tp: b.earliest for tp, b in bounds.items()}) as reader,
    ):
        while any(reader.position(tp) < b.end for tp, b in bounds.items()):
            for record in await reader.read():
                found[TopicPartition(record.topic, record.partition)].append(record)
    return found


async def in_lane(log: Log, group: str, work: Callable[[Lane], Awaitable[None]], *, topic: str = "a") -> None:
    """Runs `work` in the lane of partition 0."""
    async with asyncio.timeout(DEADLINE_S):
        await log.run_lanes(group, topic, work, partitions=[0])


def values(records: Iterable[Stored]) -> list[bytes | None]:
    return [record.value for record in records]


def invented(count: int, *, seed: int = 1) -> list[Record]:
    random = Random(seed)
    return [
        Record(
            random.choice("ab"),
            random.randrange(3),
            f"wiki:{random.randrange(20)}",
            b"%d " % index + random.randbytes(random.choice([0, 10, 3000])),
            (("n", b"%d" % index),),
        )
        for index in range(count)
    ]


def per_partition(records: Iterable[Record]) -> Mapping[TopicPartition, list[Record]]:
    sorted_out: dict[TopicPartition, list[Record]] = {}
    for record in records:
        sorted_out.setdefault(TopicPartition(record.topic, record.partition), []).append(record)
    return sorted_out


def assert_same(read: Mapping[TopicPartition, list[Stored]], wanted: Iterable[Record]) -> None:
    for tp, records in per_partition(wanted).items():
        assert [(r.key, r.value, r.headers) for r in read[tp]] == [
            (r.key, r.value, r.headers) for r in records
        ], f"{tp} holds other records, or others in between, or in another order"
        offsets = [r.offset for r in read[tp]]
        assert offsets == sorted(set(offsets)), "offsets grow"


# ── what is appended is read ───────────────────────────────────────────────────────────────────


async def check_order(engine: Engine) -> None:
    """Each partition gives the records in the order of their commits, each once, at the offsets returned."""
    records = invented(300)
    async with opened(engine) as log:
        offsets: list[int] = []
        for start in range(0, len(records), 23):
            offsets += await log.append(records[start : start + 23])
        read = await read_all(log, per_partition(records))
        assert_same(read, records)
        for record, offset in zip(records, offsets, strict=True):
            stored = [r for r in read[at(record.topic, record.partition)] if r.offset == offset]
            assert values(stored) == [record.value]
    async with engine.open() as again:
        assert_same(await read_all(again, per_partition(records)), records)


async def check_contents(engine: Engine) -> None:
    """Keys, headers (binary, repeated), tombstones, empty and large values come back as they were."""
    random = Random(2)
    records = [
        Record("a", 0, "enwiki:1", None),
        Record("a", 0, "enwiki:1", b""),
        Record("a", 0, "", b"x"),
        Record("a", 0, "ключ/日本\U0001f600", b"x", (("h", b"\x00\xff"), ("h", b""), ("ü", b"2"))),
        Record("a", 0, "incompressible", random.randbytes(1_000_000)),
        Record("a", 0, "compressible", b"ab" * 2_000_000),
        Record("a", 0, "largest", bytes(MAX_RECORD_BYTES - len("largest"))),
    ]
    async with opened(engine) as log:
        await log.append(records)
        (read,) = (await read_all(log, [at("a")])).values()
        assert_same({at("a"): read}, records)
        assert [r.timestamp_ms for r in read] == [START_MS] * len(records)
        assert read[3].header("ü") == "2"


async def check_concurrent(engine: Engine) -> None:
    """Two handles that append at once: all is there once, each batch in one piece per partition."""
    async with opened(engine) as one, engine.open() as other:

        async def append(log: Log, who: int) -> None:
            for batch in range(20):
                await log.append([Record("a", 0, f"{who}", b"%d %d" % (batch, i)) for i in range(5)])

        async with asyncio.TaskGroup() as tasks:
            for who in range(6):
                tasks.create_task(append(one if who % 2 else other, who))
        read = (await read_all(one, [at("a")]))[at("a")]
        assert len(read) == 6 * 20 * 5
        for start in range(0, len(read), 5):
            piece = read[start : start + 5]
            assert len({r.key for r in piece}) == 1
            assert [r.value and r.value.split()[1] for r in piece] == [b"%d" % i for i in range(5)]
        for who in range(6):
            mine = [r.value for r in read if r.key == str(who)]
            assert mine == [b"%d %d" % (batch, i) for batch in range(20) for i in range(5)]


# ── commits ────────────────────────────────────────────────────────────────────────────────────


async def check_positions(engine: Engine) -> None:
    """A position comes back with its done set and state, per group; one that was never stored is absent."""
    position = Position(7, ((9, 12), (30, 31)), {"counts": {"admitted": 41}, "last": 1.5})

    async def work(lane: Lane) -> None:
        assert await lane.positions([at("a"), at("b")]) == {}
        await lane.commit([], {at("a"): Position(1), at("b", 3): position})
        await lane.commit([], {at("a"): Position(2)})
        assert await lane.positions([at("a"), at("b", 3), at("b", 4)]) == {
            at("a"): Position(2),
            at("b", 3): position,
        }

    async with opened(engine) as log:
        await in_lane(log, "one", work)
        assert await log.committed("other") == {}
    async with engine.open() as log:
        assert await log.committed("one") == {at("a"): Position(2), at("b", 3): position}


async def check_refused_whole(engine: Engine) -> None:
    """A commit that is refused leaves nothing: no record, no position. It says for whose sake, and the lane
    goes on.
    """
    good = Record("a", 0, "k", b"v")
    large = Record("a", 1, "k", bytes(MAX_RECORD_BYTES + 1))

    async def work(lane: Lane) -> None:
        with pytest.raises(TopicMissing) as missing:
            await lane.commit([good], {at("a"): Position(1), at("nowhere"): Position(1)})
        assert missing.value.topics == ("nowhere",)
        with pytest.raises(TopicMissing) as missing:
            await lane.commit([good, Record("nowhere", 0, "k", b"v")], {at("a"): Position(1)})
        assert missing.value.topics == ("nowhere",)
        with pytest.raises(TopicMissing) as missing:
            await lane.commit([good, Record("b", 10, "k", b"v")], {at("a"): Position(1)})
        assert missing.value.topics == ("b",)
        with pytest.raises(RecordTooLarge) as too_large:
            await lane.commit([good, large], {at("a"): Position(1)})
        assert too_large.value.topics == ("a",)
        with pytest.raises(ValueError, match="fit"):
            await lane.commit([good], {at("a"): Position(1, (), {"text": "x" * 5000})})
        assert await lane.commit([], {}) == [], "the lane is over, for what was refused before it was tried"

    async with opened(engine) as log:
        await in_lane(log, "g", work)
        assert (await log.bounds(at("a"))).end == 0
        assert await log.committed("g") == {}


async def check_records_with_positions(engine: Engine) -> None:
    """Whoever sees a record of a commit sees its positions, and the records of its other topics."""
    commits = 30

    async def work(lane: Lane) -> None:
        for number in range(1, commits + 1):
            records = [Record(topic, 0, "k", b"%d" % number) for topic in "abc"]
            await lane.commit(records, {at("a"): Position(number)})

    async with opened(engine) as log, engine.open() as other:

        async def observe() -> None:
            seen = 0
            async with other.reader({at("b"): 0}) as reader:
                while seen < commits:
                    for record in await reader.read():
                        seen = int(record.value or b"0")
                    if seen:
                        found = (await other.committed("g")).get(at("a"), Position(0))
                        assert found.next >= seen, "a record without its position"
                        assert (await other.bounds(at("c"))).end >= seen, "a commit in two pieces"

        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(observe())
            tasks.create_task(in_lane(log, "g", work))


async def check_fencing(engine: Engine) -> None:
    """A worker whose lane was taken over gets LaneLost for all it commits; nothing of it is stored."""
    lanes: list[Lane] = []

    async def work(lane: Lane) -> None:
        lanes.append(lane)
        if len(lanes) > 1:  # started anew, under the new epoch
            await lane.commit([Record("a", 0, "k", b"new")], {at("a"): Position(2)})
            with pytest.raises(LaneLost):
                await lanes[0].commit([Record("a", 0, "k", b"old")], {at("a"): Position(9)})
            return
        await lane.commit([Record("a", 0, "k", b"first")], {at("a"): Position(1)})
        await engine.take_over(log, "g")
        await lane.commit([Record("a", 0, "k", b"too late")], {at("a"): Position(8)})

    async with opened(engine) as log:
        await in_lane(log, "g", work)
        assert len(lanes) == 2, "the worker that lost its lane committed"
        assert values((await read_all(log, [at("a")]))[at("a")]) == [b"first", b"new"]
        assert await log.committed("g") == {at("a"): Position(2)}
        with pytest.raises(LaneLost):  # a lane that has ended
            await lanes[1].commit([Record("a", 0, "k", b"after")], {})


async def check_lanes(engine: Engine) -> None:
    """A lane per partition; the one that fails retriably starts anew alone, from its committed position; any
    other error goes up.
    """
    starts: dict[int, int] = {}

    async def work(lane: Lane) -> None:
        partition = lane.partition
        assert (lane.group, lane.topic) == ("g", "a")
        starts[partition] = starts.get(partition, 0) + 1
        found = (await lane.positions([at("a", partition)])).get(at("a", partition))
        if partition != 3:
            return
        if starts[partition] == 1:
            await lane.commit([], {at("a", 3): Position(5)})
            raise LogUnavailable("for a test")
        assert found == Position(5)

    async def wrong(lane: Lane) -> None:
        raise KeyError(lane.partition)

    async with opened(engine) as log, asyncio.timeout(DEADLINE_S):
        await log.run_lanes("g", "a", work)
        assert starts == {**dict.fromkeys(range(10), 1), 3: 2}
        with pytest.raises(KeyError):
            await log.run_lanes("g", "a", wrong, partitions=[2])
        with pytest.raises(TopicMissing):
            await log.run_lanes("g", "nowhere", work)


async def check_lanes_held(engine: Engine) -> None:
    """Who runs lanes is told which, before any of them begins; of those that exist only the wanted ones."""
    told: list[frozenset[int]] = []

    async def work(lane: Lane) -> None:
        assert told
        assert lane.partition in told[-1]

    async with opened(engine) as log, asyncio.timeout(DEADLINE_S):
        await log.run_lanes("g", "a", work, held=told.append)
        assert set(told) == {frozenset(range(10))}
        told.clear()
        await log.run_lanes("g", "a", work, partitions=[2, 5], held=told.append)
        assert set(told) == {frozenset({2, 5})}


async def check_lanes_end(engine: Engine) -> None:
    """Cancelling the run cancels its lanes, which can't commit any more; then the group is free at once."""
    lanes: list[Lane] = []
    ended: list[int] = []
    all_run = asyncio.Event()

    async def work(lane: Lane) -> None:
        lanes.append(lane)
        if len(lanes) == 10:
            all_run.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(lane.partition)

    async def nothing(_: Lane) -> None: ...

    async with opened(engine) as log, asyncio.timeout(DEADLINE_S):
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(log.run_lanes("g", "a", work))
            await all_run.wait()
            run.cancel()
        assert sorted(ended) == list(range(10))
        with pytest.raises(LaneLost):
            await lanes[0].commit([Record("a", 0, "k", b"late")], {})
        await log.run_lanes("g", "a", nothing)


# ── reading ────────────────────────────────────────────────────────────────────────────────────


async def check_live(engine: Engine) -> None:
    """A reader that waits gets a record of another handle at once, and never one before its forerunners."""
    async with opened(engine) as log, engine.open() as other, other.reader({at("b"): 0}) as reader:

        async def later() -> None:
            await asyncio.sleep(0.05)
            await log.append([Record("a", 0, "k", b"before")])
            await log.append([Record("b", 0, "k", b"after")])

        began_s = time.monotonic()
        assert await reader.read(wait_s=0.02) == []
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(later())
            assert values(await reader.read(wait_s=DEADLINE_S)) == [b"after"]
        async with other.reader({at("a"): 0}) as second:
            assert values(await second.read(wait_s=0.0)) == [b"before"]
        assert time.monotonic() - began_s < DEADLINE_S / 2


async def check_reader(engine: Engine) -> None:
    """Partitions take turns; limits hold, but one record always comes; a cursor can be moved, paused
    and dropped; beyond the end it waits.
    """
    async with opened(engine) as log:
        await log.append([Record("a", p, "k", b"%d" % p * 1000) for p in (0, 1, 2) for _ in range(50)])
        async with log.reader({at("a", p): 0 for p in (0, 1, 2)}) as reader:
            assert {r.partition for r in await reader.read(max_records=6)} == {0, 1, 2}
            assert len(await reader.read(max_bytes=10)) == 1
            assert sum(len(r.value or b"") for r in await reader.read(max_bytes=3500)) <= 3500
            seen = [{r.partition for r in await reader.read(max_records=1)} for _ in range(3)]
            assert set.union(*seen) == {0, 1, 2}
            reader.pause([at("a", 0), at("a", 1)])
            reader.drop(at("a", 2))
            assert await reader.read(wait_s=0.0) == []
            reader.resume([at("a", 1)])
            reader.assign(at("a", 1), 48)
            assert [r.offset for r in await reader.read()] == [48, 49]
            assert reader.position(at("a", 1)) == 50
            reader.assign(at("a", 1), 52)
            await log.append([Record("a", 1, "k", b"%d" % n) for n in (50, 51, 52)])
            assert values(await reader.read()) == [b"52"]


async def check_topics(engine: Engine) -> None:
    """Making topics again changes nothing; another number of partitions is refused; a topic made anew
    is another one, and its readers are told. Whether one can be written is told without writing.
    """
    async with opened(engine) as log, log.reader({at("a"): 0}) as reader:
        before = await log.topic("a")
        await log.append([Record("a", 0, "k", b"old")])
        await log.ensure_topics(SPECS)
        assert await log.topic("a") == before
        assert before is not None
        assert len(before.epoch) == 8
        ours = [t.name for t in await log.topics() if "." not in t.name]
        assert sorted(ours) == sorted(spec.name for spec in SPECS)
        with pytest.raises(ConfigError, match="partitions"):
            await log.ensure_topics([TopicSpec("a", 20, compact=False, retention_ms=None)])
        await log.check_topic("a", batch_bytes=10_000)
        assert (await log.bounds(at("a"))).end == 1
        await log.delete_topic("a")
        assert await log.topic("a") is None
        with pytest.raises(TopicMissing) as missing:
            await log.check_topic("a")
        assert missing.value.topics == ("a",)
        with pytest.raises(TopicMissing):
            await log.append([Record("a", 0, "k", b"v")])
        with pytest.raises(TopicMissing):
            await reader.read(wait_s=DEADLINE_S)
        with pytest.raises(TopicMissing):
            await log.bounds(at("a"))
        await log.ensure_topics(SPECS)
        await log.check_topic("a")
        after = await log.topic("a")
        assert after is not None
        assert after.epoch != before.epoch
        with pytest.raises(TopicMissing):
            await log.delete_topic("a", epoch=before.epoch)
        assert await log.topic("a") == after
        assert await read_all(log, [at("a")]) == {at("a"): []}
        with pytest.raises(TopicMissing):
            await reader.read(wait_s=0.0)


async def check_time(engine: Engine) -> None:
    """The first offset of a time or later, also where compaction left holes; the end for one to come."""
    async with opened(engine) as log:
        offsets = []
        for index in range(20):
            offsets += await log.append([Record("c", 0, f"k{index % 4}", b"%d" % index)])
            engine.advance(1_000)
        for step in range(2):
            if step:
                engine.advance(100_000)
                await engine.cleaned(log)
            kept = {r.offset: r.timestamp_ms for r in (await read_all(log, [at("c")]))[at("c")]}
            bounds = await log.bounds(at("c"))
            for time_ms in range(START_MS - 500, START_MS + 21_000, 500):
                wanted = min((o for o, ms in kept.items() if ms >= time_ms), default=bounds.end)
                found = await log.offset_at(at("c"), time_ms)
                # a hole before the record that is meant leads there too
                assert found <= wanted
                assert not any(found <= o < wanted for o in kept)


async def check_bounds(engine: Engine) -> None:
    """All at once they are what they are one by one, and hold what another handle has just appended."""
    async with opened(engine) as log, engine.open() as other:
        for number in range(1, 11):
            await other.append([Record("a", p, "k", b"v") for p in range(number)])
            found = await log.all_bounds("a")
            assert [end for _, end in found] == [number - p if p < number else 0 for p in range(10)]
        await log.append([Record("short", 3, "k", b"v")])
        engine.advance(1_000_000)
        await log.append([Record("short", 4, "k", b"v")])
        await engine.cleaned(log)
        for topic in ("a", "short"):
            assert await log.all_bounds(topic) == [await log.bounds(at(topic, p)) for p in range(10)]
        with pytest.raises(TopicMissing):
            await log.all_bounds("nowhere")


# ── what goes ──────────────────────────────────────────────────────────────────────────────────


async def check_retention(engine: Engine) -> None:
    """What is too old goes, and no offset is used again; a reader that stood there hears of it."""
    async with opened(engine) as log:
        await log.append([Record("short", 0, "k", b"%d" % n) for n in range(40)])
        engine.advance(50_000)
        await log.append([Record("short", 0, "k", b"%d" % n) for n in range(40, 60)])
        await engine.cleaned(log)
        async with log.reader({at("short"): 5}) as reader:
            assert len(await reader.read(max_records=3)) == 3
            engine.advance(20_000)
            await engine.cleaned(log)
            earliest = (await log.bounds(at("short"))).earliest
            assert 0 < earliest <= 40
            with pytest.raises(OffsetOutOfRange) as raised:
                await reader.read()
            assert raised.value.earliest == earliest
            reader.assign(at("short"), raised.value.earliest)
            assert values(await reader.read())[-20:] == [b"%d" % n for n in range(40, 60)]
        engine.advance(1_000_000)
        await engine.cleaned(log)
        end = (await log.bounds(at("short"))).end
        assert end >= 60
        (offset,) = await log.append([Record("short", 0, "k", b"next")])
        assert offset >= end


async def check_compaction(engine: Engine) -> None:
    """Within the lag all stays, after it the newest of each key, but no tombstone; holes are passed over."""
    async with opened(engine) as log:
        await log.append([Record("c", 0, f"k{n % 5}", b"%d" % n) for n in range(40)])
        await log.append([Record("c", 0, "late", b"x"), Record("c", 0, "late", None)])
        await log.append([Record("a", 0, "k", b"%d" % n) for n in range(5)])
        engine.advance(30_000)
        await engine.cleaned(log)
        assert len((await read_all(log, [at("c")]))[at("c")]) == 42
        engine.advance(90_000)
        await log.append([Record("c", 0, "k0", b"young"), Record("c", 1, "k1", b"elsewhere")])
        await engine.cleaned(log)
        kept = await read_all(log, [at("c"), at("c", 1), at("a")])
        newest = {r.key: r.value for r in kept[at("c")]}
        assert newest == {"k0": b"young", **{f"k{n % 5}": b"%d" % n for n in range(36, 40)}}
        assert len(kept[at("c")]) <= 6  # the one before the young one may stay until that is old too
        assert [r.offset for r in kept[at("c")]] == sorted(r.offset for r in kept[at("c")])
        assert values(kept[at("c", 1)]) == [b"elsewhere"]
        assert len(kept[at("a")]) == 5, "this topic does not compact"
        async with log.reader({at("c"): 3}) as reader:
            assert (await reader.read())[0].offset > 3


async def check_newest_goes(engine: Engine) -> None:
    """Where the newest record is compacted away, its offset stays used, and readers get beyond it."""
    async with opened(engine) as log:
        await log.append([Record("c", 0, "k", b"v"), Record("c", 0, "k", None)])
        engine.advance(120_000)
        await log.append([Record("c", 1, "k", b"v")])
        await engine.cleaned(log)
        assert await read_all(log, [at("c")]) == {at("c"): []}
        (offset,) = await log.append([Record("c", 0, "k", b"again")])
        assert offset >= 2


CHECKS: tuple[Check, ...] = (
    check_order,
    check_contents,
    check_concurrent,
    check_positions,
    check_refused_whole,
    check_records_with_positions,
    check_fencing,
    check_lanes,
    check_lanes_held,
    check_lanes_end,
    check_live,
    check_reader,
    check_topics,
    check_time,
    check_bounds,
    check_retention,
    check_compaction,
    check_newest_goes,
)
