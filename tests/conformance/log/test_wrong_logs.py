"""The suite is worth something: logs that are wrong on purpose fail it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from streamer.log.base import Record, TopicPartition
from streamer.log.local import LocalLog
from streamer.log.local_writer import Claim
from streamer.log.position import Position
from tests.conformance.log.checks import (
    CHECKS,
    Check,
    check_compaction,
    check_contents,
    check_fencing,
    check_live,
    check_newest_goes,
    check_order,
    check_records_with_positions,
    check_refused_whole,
)
from tests.conformance.log.engine import LocalEngine

Positions = Mapping[TopicPartition, Position]


class Loses(LocalLog):
    """Every 50th record is acknowledged and not written."""

    seen = 0

    async def commit_as(
        self, records: Sequence[Record], positions: Positions, claim: Claim | None
    ) -> list[int]:
        kept = []
        for record in records:
            self.seen += 1
            if self.seen % 50:
                kept.append(record)
        offsets = await super().commit_as(kept, positions, claim)
        return offsets + [offsets[-1] if offsets else 0] * (len(records) - len(kept))


class Doubles(LocalLog):
    """Every 50th record is written twice."""

    seen = 0

    async def commit_as(
        self, records: Sequence[Record], positions: Positions, claim: Claim | None
    ) -> list[int]:
        doubled: list[Record] = []
        for record in records:
            self.seen += 1
            doubled += [record] * (1 if self.seen % 50 else 2)
        return (await super().commit_as(doubled, positions, claim))[: len(records)]


class Reorders(LocalLog):
    """Two neighbours in a batch change places now and then."""

    async def commit_as(
        self, records: Sequence[Record], positions: Positions, claim: Claim | None
    ) -> list[int]:
        mixed = list(records)
        if len(mixed) > 10:
            mixed[5], mixed[-5] = mixed[-5], mixed[5]
        return await super().commit_as(mixed, positions, claim)


class CommitsApart(LocalLog):
    """Records in one transaction, positions in the next."""

    async def commit_as(
        self, records: Sequence[Record], positions: Positions, claim: Claim | None
    ) -> list[int]:
        offsets = await super().commit_as(records, {}, claim)
        await asyncio.sleep(0.005)
        await super().commit_as([], positions, claim)
        return offsets


class NeverFences(LocalLog):
    """Whoever commits is taken for the lane's present owner."""

    async def commit_as(
        self, records: Sequence[Record], positions: Positions, claim: Claim | None
    ) -> list[int]:
        if claim is not None:
            group = claim.group
            row = await self._pool.do(
                lambda connection: connection.execute(
                    "SELECT epoch FROM claims WHERE grp = ?", (group,)
                ).fetchone()
            )
            claim = replace(claim, epoch=row[0])
        return await super().commit_as(records, positions, claim)


class DropsTombstones(LocalLog):
    """Null values come back as empty ones."""

    async def commit_as(
        self, records: Sequence[Record], positions: Positions, claim: Claim | None
    ) -> list[int]:
        return await super().commit_as([replace(r, value=r.value or b"") for r in records], positions, claim)


WRONG: tuple[tuple[type[LocalLog], Check], ...] = (
    (Loses, check_order),
    (Doubles, check_order),
    (Reorders, check_order),
    (CommitsApart, check_records_with_positions),
    (CommitsApart, check_refused_whole),
    (NeverFences, check_fencing),
    (DropsTombstones, check_contents),
    (DropsTombstones, check_newest_goes),
)


@pytest.mark.parametrize(("kind", "check"), WRONG, ids=lambda part: part.__name__)
async def test_a_wrong_log_fails(tmp_path: Path, kind: type[LocalLog], check: Check) -> None:
    """The check that is meant for this fault finds it."""
    with pytest.raises(BaseException) as raised:
        await check(LocalEngine(tmp_path / "log.db", kind))
    assert _failures(raised.value), f"it failed, but not by an assertion: {raised.value!r}"


@pytest.mark.parametrize("check", [check_order, check_compaction, check_live], ids=lambda c: c.__name__)
async def test_a_subclass_alone_is_no_fault(tmp_path: Path, check: Check) -> None:
    """The same wrapper without a fault passes, so that it's the fault that is found."""

    class Right(LocalLog):
        async def commit_as(
            self, records: Sequence[Record], positions: Positions, claim: Claim | None
        ) -> list[int]:
            return await super().commit_as(list(records), positions, claim)

    assert check in CHECKS
    await check(LocalEngine(tmp_path / "log.db", Right))


def _failures(error: BaseException) -> list[BaseException]:
    """Assertions and `pytest.raises` that did not, also inside of groups."""
    if isinstance(error, BaseExceptionGroup):
        return [found for inner in error.exceptions for found in _failures(inner)]
    return [error] if isinstance(error, AssertionError | pytest.fail.Exception) else []
