"""`python lane_worker.py BOOTSTRAP PREFIX NAME LAST whole|split …`: one lane, which counts to LAST.

Each commit holds the next number, under this worker's name, and the position behind it. `split` is built
wrong on purpose: the record in one transaction, the position in the next, and the fault point in the middle
of a commit between them.
"""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from aiokafka import OffsetAndMetadata

from streamer import faultpoints, logs
from streamer.faultpoints import Point, reached
from streamer.log import kafka_lane
from streamer.log.base import Lane, Record, TopicPartition
from streamer.log.kafka import KafkaLog
from streamer.log.kafka_lane import KafkaLane
from streamer.log.position import Position

OUT_PARTITIONS: Final = 3

Stored = Mapping[TopicPartition, OffsetAndMetadata]

transact = KafkaLane._transact


async def split(lane: KafkaLane, records: Sequence[Record], stored: Stored) -> list[int]:
    offsets = await transact(lane, records, {})
    reached(Point.KAFKA_COMMIT_MIDDLE)
    await transact(lane, [], stored)
    return offsets


def but_the_middle(point: Point) -> None:
    """Of either half: it is the whole's that counts."""
    if point is not Point.KAFKA_COMMIT_MIDDLE:
        reached(point)


async def count(bootstrap: str, prefix: str, name: str, last: int) -> None:
    at = TopicPartition(f"{prefix}.in", 0)

    async def work(lane: Lane) -> None:
        found = await lane.positions([at])
        number = found[at].next if at in found else 0
        while number < last:
            number += 1
            record = Record(f"{prefix}.out", number % OUT_PARTITIONS, name, b"%d" % number)
            await lane.commit([record], {at: Position(number)})

    async with KafkaLog((bootstrap,), prefix=prefix, replication=1) as log:
        await log.run_lanes("count", at.topic, work, partitions=[at.partition])


if __name__ == "__main__":
    logs.set_up()
    faultpoints.arm(os.environ)
    if sys.argv[5] == "split":
        KafkaLane._transact = split  # type: ignore[method-assign]
        kafka_lane.reached = but_the_middle
    asyncio.run(count(*sys.argv[1:4], int(sys.argv[4])))
