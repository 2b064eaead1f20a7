"""A process to be killed: `python -m tests.conformance.log.committer PATH`, or `kafka BOOTSTRAP PREFIX`.

In the lane of partition 0 of `a` it commits without end: to each of a, b and c a few records that hold
the commit's number, with the position at that number. It prints each number once it is committed.
"""

import asyncio
import sys

from streamer.log.base import Lane, Record
from streamer.log.kafka import KafkaLog
from streamer.log.local import LocalLog
from streamer.log.position import Position
from tests.conformance.log.engine import SPECS, at


def records_of(number: int) -> list[Record]:
    return [
        Record(topic, number % 3, f"k{copy}", b"%d " % number + bytes(number * 37 % 3000))
        for topic in "abc"
        for copy in range(1 + number % 3)
    ]


async def commit_for_ever(lane: Lane) -> None:
    found = (await lane.positions([at("a")])).get(at("a"), Position(0, (), {"records": 0}))
    number, records = found.next, int(str(found.state["records"]))
    while True:
        number += 1
        batch = records_of(number)
        records += len(batch)
        await lane.commit(batch, {at("a"): Position(number, (), {"records": records})})
        print(number, flush=True)


def opened(arguments: list[str]) -> LocalLog | KafkaLog:
    if arguments[0] == "kafka":
        return KafkaLog((arguments[1],), prefix=arguments[2], replication=1)
    return LocalLog(arguments[0], clean_every_s=0.05)


async def main() -> None:
    async with opened(sys.argv[1:]) as log:
        await log.ensure_topics(SPECS)
        await log.run_lanes("g", "a", commit_for_ever, partitions=[0])


if __name__ == "__main__":
    asyncio.run(main())
