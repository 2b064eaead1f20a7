"""What a lane on a cluster does when its worker dies, fails or is stopped inside its transaction.

The workers are processes that count (lane_worker.py). Each number must be there once, those of a partition in
order, for a reader that shares no code with ours: librdkafka, committed records only.
"""

import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest
from harness.faults import Faults, until_standing
from harness.kafka_readers import Isolation, records_by_librdkafka
from harness.on_kafka import OnKafka
from harness.service import Service
from lane_worker import OUT_PARTITIONS

from deploy.kafka import Brokers
from streamer.faultpoints import Point
from streamer.log.base import TopicSpec

pytestmark = [pytest.mark.xdist_group("kafka"), pytest.mark.timeout(600)]

WORKER: Final = str(Path(__file__).with_name("lane_worker.py"))
LAST: Final = 40
KILLED: Final = {
    Point.KAFKA_CLAIMED: 1,
    Point.KAFKA_COMMIT_MIDDLE: 3,
    Point.KAFKA_COMMITTING: 4,
    Point.KAFKA_COMMITTED: 5,
}
"""At which time a worker dies there. One after the other they don't come to LAST."""
FAILED: Final = {
    Point.KAFKA_CLAIMED: "1",
    Point.KAFKA_COMMIT_MIDDLE: "3",
    Point.KAFKA_COMMITTING: "6",
    Point.KAFKA_COMMITTED: "9",
}


class Counting:
    """The workers of one group, and what they have counted."""

    def __init__(self, brokers: Brokers, folder: Path) -> None:
        self.kafka = OnKafka(brokers)
        self.faults = Faults(folder / "fired")
        self._brokers = brokers
        self._folder = folder

    def worker(self, name: str, build: str = "whole") -> Service:
        folder = self._folder / name
        folder.mkdir()
        bootstrap = ",".join(self.kafka.bootstrap)
        return Service(folder, "", program=(WORKER, bootstrap, self.kafka.prefix, name, str(LAST), build))

    async def counted(self, isolation: Isolation = "read_committed") -> list[tuple[str, int]]:
        """By whom, and what; a partition's in its order."""
        found = await records_by_librdkafka(self._brokers, f"{self.kafka.prefix}.out", isolation)
        return [((record.key or b"").decode(), int(record.value or b"")) for record in found]

    async def wrong(self) -> list[str]:
        """In words; none where each number is there once, in order."""
        numbers = [number for _, number in await self.counted()]
        times = Counter(numbers)
        said = [f"doubled: {number}" for number in times if times[number] > 1]
        said += [f"missing: {number}" for number in range(1, LAST + 1) if number not in times]
        for partition in range(OUT_PARTITIONS):
            its = [number for number in numbers if number % OUT_PARTITIONS == partition]
            if its != sorted(its):
                said.append(f"out of order: {its}")
        return said


@pytest.fixture
async def counting(brokers: Brokers, tmp_path: Path) -> AsyncIterator[Counting]:
    counting = Counting(brokers, tmp_path)
    names = {f"{counting.kafka.prefix}.in": 1, f"{counting.kafka.prefix}.out": OUT_PARTITIONS}
    async with counting.kafka.open() as log:
        await log.ensure_topics(
            TopicSpec(name, count, compact=False, retention_ms=None) for name, count in names.items()
        )
        yield counting
        for name in names:
            await log.delete_topic(name)


async def killed(service: Service, faults: Faults, point: Point, time: int) -> None:
    """It begins, and dies there."""
    service.environ = faults.arm("kill", {point: str(time)})
    before = len(faults.fired())
    await service.start()
    assert await service.wait() == -signal.SIGKILL, service.lines[-10:]
    assert [(one.point, one.action, one.time) for one in faults.fired()[before:]] == [
        (point.label, "kill", time)
    ]


async def finished(service: Service) -> None:
    """It begins, with nothing armed, and counts to the end."""
    service.environ = {}
    await service.start()
    assert await service.wait() == 0, service.lines[-10:]


async def test_a_worker_killed_in_its_transaction_loses_and_doubles_nothing(counting: Counting) -> None:
    """At each place in turn, by the file of what fired; its successor goes on where the log says it was."""
    async with AsyncExitStack() as stack:
        stack.push_async_exit(service := counting.worker("one"))
        for point, time in KILLED.items():
            await killed(service, counting.faults, point, time)
        await finished(service)
    assert await counting.wrong() == []


async def test_a_lane_that_fails_in_its_transaction_starts_anew(counting: Counting) -> None:
    """An error at each place ends that transaction, not the process, and nothing of it is seen."""
    service = counting.worker("one")
    service.environ = counting.faults.arm("fail", FAILED)
    async with service:
        assert await service.wait() == 0, service.lines[-10:]
    assert {one.point for one in counting.faults.fired()} == {point.label for point in FAILED}
    assert await counting.wrong() == []


async def test_a_worker_that_wakes_when_its_lane_has_moved_commits_nothing(counting: Counting) -> None:
    """Stopped between send and commit, with its record at the broker, until another has the lane: woken, its
    commit is refused, and it says so. Its record stands in the partition, and no reader of what is committed
    ever sees it; the new owner's of that number is there once.
    """
    slow, quick = counting.worker("slow"), counting.worker("quick")
    slow.environ = counting.faults.arm("stop", {Point.KAFKA_COMMITTING: "5"})
    async with slow:
        await counting.faults.until_fired(timeout_s=60)
        await until_standing(slow.pid)
        async with quick:
            assert await quick.wait() == 0, quick.lines[-10:]
        slow.signal(signal.SIGCONT)
        restarted = await slow.event("lane restarts")
        assert restarted["code"] == "lane_lost"
        assert await counting.wrong() == []
        assert await slow.terminate() == -signal.SIGTERM
    assert ("slow", 5) in await counting.counted("read_uncommitted")
    seen = await counting.counted()
    assert {number for name, number in seen if name == "slow"} == {1, 2, 3, 4}
    assert {number for name, number in seen if name == "quick"} == set(range(5, LAST + 1))


async def test_a_build_that_commits_in_two_parts_is_found_out(counting: Counting) -> None:
    """Records in one transaction, positions in the next: killed between, the judge says what is doubled."""
    async with AsyncExitStack() as stack:
        stack.push_async_exit(service := counting.worker("one", "split"))
        await killed(service, counting.faults, Point.KAFKA_COMMIT_MIDDLE, 3)
        await finished(service)
    assert await counting.wrong() == ["doubled: 3"]
