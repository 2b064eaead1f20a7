"""A loop whose clock jumps: the same order of things as in real time, and no waiting."""

import asyncio
import random
import time

import pytest
from harness import virtual_time
from harness.memory_log import COMMIT_S, MemoryLog

from streamer.log.base import Lane, Record, Stored, TopicPartition, TopicSpec
from streamer.log.position import Position


def test_a_day_passes_in_a_moment() -> None:
    began_s = time.monotonic()

    async def main() -> float:
        await asyncio.sleep(86_400)
        return virtual_time.clock().monotonic_s()

    assert virtual_time.run(main) == pytest.approx(86_400)
    assert time.monotonic() - began_s < 5


def test_timers_go_off_in_order_each_at_its_instant() -> None:
    gone: list[tuple[float, int]] = []

    async def one(number: int, after_s: float) -> None:
        await asyncio.sleep(after_s)
        gone.append((asyncio.get_running_loop().time(), number))

    async def main() -> None:
        await asyncio.gather(one(1, 0.3), one(2, 0.1), one(3, 3_600.0), one(4, 0.1), one(5, 0.0))

    virtual_time.run(main)
    assert [number for _, number in gone] == [5, 2, 4, 1, 3]
    assert [at_s for at_s, _ in gone] == pytest.approx([0.0, 0.1, 0.1, 0.3, 3_600.0])


def test_work_takes_no_time() -> None:
    """What is ready runs before the clock moves, however much of it there is."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        for _ in range(1_000):
            await asyncio.sleep(0)
        time.sleep(0.01)  # noqa: ASYNC251 - work, as the loop sees it
        return loop.time()

    assert virtual_time.run(main) == 0.0


def test_a_timeout_is_the_clock_s() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert virtual_time.run(main) == pytest.approx(30)


def test_the_project_s_clock_goes_with_it() -> None:
    async def main() -> None:
        clock = virtual_time.clock()
        before = clock.now_ms(), clock.now_us(), clock.monotonic_s()
        await asyncio.sleep(12.5)
        after = clock.now_ms(), clock.now_us(), clock.monotonic_s()
        assert [b - a for a, b in zip(before, after, strict=True)] == pytest.approx(
            [12_500, 12_500_000, 12.5]
        )
        assert before[0] == virtual_time.BEGAN_MS

    virtual_time.run(main)


def test_waiting_for_nothing_is_said_and_not_hung_in() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(virtual_time.Stuck):
        virtual_time.run(main)


@pytest.mark.parametrize("what", ["thread", "process"])
def test_what_the_clock_can_t_know_of_is_refused(what: str) -> None:
    """It would jump over the time that they take."""

    async def main() -> None:
        if what == "thread":
            await asyncio.to_thread(time.sleep, 0)
        else:
            await asyncio.create_subprocess_exec("true")

    with pytest.raises(RuntimeError, match="no virtual instant"):
        virtual_time.run(main)


def test_chance_is_the_seed_s_and_is_given_back() -> None:
    async def main() -> float:
        return random.random()

    random.seed(5)
    drawn = [random.random() for _ in range(2)]
    random.seed(5)
    first = random.random()
    assert virtual_time.run(main, seed=1) == virtual_time.run(main, seed=1)
    assert virtual_time.run(main, seed=1) != virtual_time.run(main, seed=2)
    assert [first, random.random()] == drawn


# ── the log in memory ──────────────────────────────────────────────────────────────────────────

SPEC = TopicSpec("t", 2, compact=False, retention_ms=None)


def record(partition: int, key: str) -> Record:
    return Record("t", partition, key, key.encode())


def test_a_reader_waits_for_what_is_committed_and_gets_it_at_once() -> None:
    async def main() -> None:
        log = MemoryLog(virtual_time.clock())
        await log.ensure_topics([SPEC])
        loop = asyncio.get_running_loop()
        read: list[tuple[float, str]] = []

        async def follow() -> None:
            async with log.reader({TopicPartition("t", 0): 0, TopicPartition("t", 1): 0}) as reader:
                while len(read) < 3:
                    read.extend((loop.time(), stored.key) for stored in await reader.read())

        async def write(lane: Lane) -> None:
            if lane.partition == 0:
                await asyncio.sleep(10)
                await lane.commit([record(0, "a"), record(1, "b")], {TopicPartition("t", 0): Position(7)})
                await log.append([record(0, "c")])

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow())
            tasks.create_task(log.run_lanes("g", "t", write))
        assert [key for _, key in read] == ["a", "c", "b"]  # partition by partition
        assert [at_s for at_s, _ in read] == pytest.approx([10 + COMMIT_S] * 3)
        assert (await log.committed("g"))[TopicPartition("t", 0)].next == 7
        assert [tuple(bounds) for bounds in await log.all_bounds("t")] == [(0, 2), (0, 1)]

    virtual_time.run(main)


def test_a_reader_that_waits_in_vain_returns_after_its_time() -> None:
    async def main() -> float:
        log = MemoryLog(virtual_time.clock())
        await log.ensure_topics([SPEC])
        async with log.reader({TopicPartition("t", 1): 0}) as reader:
            assert await reader.read(wait_s=0.0) == []
            assert await reader.read(wait_s=2.0) == []
        return asyncio.get_running_loop().time()

    assert virtual_time.run(main) == pytest.approx(2.0)


def test_what_nobody_reads_is_seen_and_not_kept() -> None:
    seen: list[Stored] = []

    async def main() -> None:
        log = MemoryLog(virtual_time.clock(), unread={"t"}, on_record=seen.append)
        await log.ensure_topics([SPEC])
        await log.append([record(0, "a"), record(0, "b")])
        assert await log.bounds(TopicPartition("t", 0)) == (2, 2)

    virtual_time.run(main)
    assert [(stored.offset, stored.key) for stored in seen] == [(0, "a"), (1, "b")]
