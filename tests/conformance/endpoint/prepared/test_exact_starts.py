"""Where a stream begins, in a feed of which we know every record."""

import asyncio
import json
from datetime import UTC, datetime

from tests.conformance.endpoint.articles import Varied
from tests.conformance.endpoint.lines import Item, vector
from tests.conformance.endpoint.reading import EVER, by_partition, positions, read, streaming, together, upto
from tests.conformance.endpoint.service import Prepared


async def two_batches(prepared: Prepared) -> tuple[list[Item], int]:
    """Twenty articles, and twenty that were appended later: all of them, and a moment (Unix, ms) between."""
    await prepared.write(Varied(page) for page in range(20))
    await asyncio.sleep(0.02)
    await prepared.write(Varied(page) for page in range(20))
    items = await read(prepared.endpoint, 40, query={"since": EVER})
    per = [[item for item in items if item.place[0] == p] for p in range(10)]
    seconds = [await prepared.time_of(p, len(lines) // 2) for p, lines in enumerate(per) if lines]
    firsts = [await prepared.time_of(p, len(lines) // 2 - 1) for p, lines in enumerate(per) if lines]
    assert max(firsts) < min(seconds)
    return items, max(firsts) + 1


def rfc3339(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


async def test_times(prepared: Prepared) -> None:
    """`since`, `since_per_partition` and KafkaSSE's timestamps: what was appended then or later, and what a
    position in time says is per partition.
    """
    items, moment = await two_batches(prepared)
    end = vector(items[-1].id)
    later = {p: lines[len(lines) // 2 :] for p, lines in by_partition(items).items()}
    stamps = [{"topic": prepared.topic, "partition": p, "timestamp": moment} for p in range(10)]
    for asked in (
        {"query": {"since": rfc3339(moment)}},
        {"query": {"since_per_partition": json.dumps({str(p): rfc3339(moment) for p in range(10)})}},
        {"headers": {"Last-Event-ID": json.dumps(stamps)}},
    ):
        async with streaming(prepared.endpoint, **asked) as stream:  # type: ignore[arg-type] # its arguments
            assert by_partition(await upto(stream, end)) == later, asked


async def test_partitions_that_are_not_named(prepared: Prepared) -> None:
    """`offsets` and `since_per_partition` leave them live; a position starts them at their earliest."""
    items, moment = await two_batches(prepared)
    partition = items[0].place[0]
    mine = [item for item in items if item.place[0] == partition]
    kafkasse = [{"topic": prepared.topic, "partition": partition, "offset": 1}]
    mixed = [
        {"topic": prepared.topic, "partition": p, "offset": 1 if p == partition else -1} for p in range(10)
    ]
    named: list[tuple[dict[str, object], list[Item]]] = [
        ({"query": {"offsets": positions({partition: 1})}}, mine[1:]),
        ({"headers": {"Last-Event-ID": json.dumps(mixed)}}, mine[1:]),
        (
            {"query": {"since_per_partition": json.dumps({str(partition): rfc3339(moment)})}},
            mine[len(mine) // 2 :],
        ),
        (
            {"headers": {"Last-Event-ID": json.dumps(kafkasse)}},
            [item for item in items if item.place != (partition, 0)],
        ),
    ]
    for asked, old in named:
        async with streaming(prepared.endpoint, **asked) as stream:
            got = [item for item in await stream.beat() if item.name == "message"]
        assert by_partition(got) == by_partition(old), asked


async def test_nothing_said_is_live(prepared: Prepared) -> None:
    """Exactly what is appended once `:ok` was seen."""
    old, _ = await two_batches(prepared)
    end = vector(old[-1].id)
    async with streaming(prepared.endpoint) as stream, streaming(prepared.endpoint, "ndjson") as lines:
        await together(stream.beat(), lines.beat())
        await prepared.write(Varied(page) for page in range(20, 30))
        live = await stream.articles(10)
        assert by_partition(live) == by_partition(await lines.articles(10))
    assert all(offset >= end[partition] for partition, offset in (item.place for item in live))
