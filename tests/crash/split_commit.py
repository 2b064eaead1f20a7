"""`python split_commit.py whole|records-first|positions-first GROUP …`: the service, built wrong on purpose.

The commits of one role are in two transactions; the fault point in the middle of a commit lies between them,
and counts the commits of this role alone.
"""

import sys
from collections.abc import Mapping, Sequence

from streamer.cli import main
from streamer.faultpoints import Point, reached
from streamer.log import local, local_writer
from streamer.log.base import TopicPartition
from streamer.log.local_writer import Claim, Transaction, Work
from streamer.log.packing import Packed

ORDER, GROUP = sys.argv[1:3]
commit_work = local_writer.commit_work


def of_another(point: Point) -> None:
    """In place of the point that all roles pass."""
    if point is not Point.LOG_COMMIT_MIDDLE:
        reached(point)


def split(
    records: Sequence[Packed], positions: Mapping[TopicPartition, tuple[int, str]], claim: Claim | None
) -> Work[list[int]]:
    if claim is None or claim.group != GROUP or not (records and positions):
        return commit_work(records, positions, claim)

    def end(transaction: Transaction) -> None:
        transaction.finish()
        transaction.connection.execute("COMMIT")
        reached(Point.LOG_COMMIT_MIDDLE)
        transaction.connection.execute("BEGIN IMMEDIATE")
        transaction.change += 1  # or nobody would hear of what follows

    def work(transaction: Transaction) -> list[int]:
        if ORDER == "records-first":
            offsets = commit_work(records, {}, claim)(transaction)
            end(transaction)
            commit_work([], positions, claim)(transaction)
            return offsets
        commit_work([], positions, claim)(transaction)
        end(transaction)
        return commit_work(records, {}, claim)(transaction)

    def whole(transaction: Transaction) -> list[int]:
        append = transaction.append

        def then_middle(packed: Sequence[Packed]) -> list[int]:
            offsets = append(packed)
            reached(Point.LOG_COMMIT_MIDDLE)
            return offsets

        transaction.append = then_middle  # type: ignore[method-assign]
        try:
            return commit_work(records, positions, claim)(transaction)
        finally:
            del transaction.append

    return whole if ORDER == "whole" else work


local_writer.reached = of_another
local.commit_work = split
main(sys.argv[3:])
