"""Resuming at every border of a feed, fast: many connections at once, and no JSON where bytes will do.

Order across partitions is nobody's promise. So what a resume delivers is judged per partition: SHA-256
over the exact bytes of the lines that follow the border there, against the same of the first reading,
made once for each place in each partition.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence

from tests.conformance.endpoint.lines import PLACE, Item, vector
from tests.conformance.endpoint.reading import TYPES, Format, digest
from tests.conformance.endpoint.wire import Answer, Endpoint

AT_ONCE = 16
SILENCE_EVERY = 15
A_FEW = 60
"""Articles that follow a border: what is wrong at it is wrong there."""
RESUME_S = 60.0
"""One, on a machine that does other things too."""


class Whole:
    """A feed's first complete reading, and the digests of all that a resume may have to deliver."""

    def __init__(self, items: Sequence[Item], partitions: int) -> None:
        self.items = items
        self.lines: list[list[bytes]] = [[] for _ in range(partitions)]
        self.offsets: list[list[int]] = [[] for _ in range(partitions)]
        for item in items:
            partition, offset = item.place
            self.lines[partition].append(item.data)
            self.offsets[partition].append(offset)
        self.suffixes = [[digest(lines[at:]) for at in range(len(lines) + 1)] for lines in self.lines]
        """By partition and index in it. n²/P bytes are hashed for this, once; kept are n digests."""
        self._borders = [[0] * partitions]
        for item in items:
            self._borders.append(list(self._borders[-1]))
            self._borders[-1][item.place[0]] += 1

    def border(self, after: int) -> list[int]:
        """How many of each partition stand before it."""
        return self._borders[after]

    def expected(self, after: int) -> list[str]:
        return [self.suffixes[partition][at] for partition, at in enumerate(self.border(after))]

    def begins(self, partition: int, after: int, lines: list[bytes]) -> bool:
        """Whether these are the first lines that follow the border in this partition."""
        at = self.border(after)[partition]
        return lines == self.lines[partition][at : at + len(lines)]

    def left(self, after: int) -> int:
        return len(self.items) - after

    def position(self, after: int) -> dict[int, int]:
        """The next offset of each partition: the last one + 1, as NDJSON clients do it."""
        return {
            partition: self.offsets[partition][at - 1] + 1 if at else 0
            for partition, at in enumerate(self.border(after))
        }

    def ways(self, after: int, topic: str) -> Iterable[tuple[str, dict[str, object]]]:
        """All ways to name this border, as arguments of `ask`."""
        last_id = self.items[after - 1].id
        offsets = {str(partition): offset for partition, offset in self.position(after).items()}
        kafkasse = json.dumps(
            [{"topic": topic, "partition": int(p), "offset": offset} for p, offset in offsets.items()]
        )
        yield "header", {"headers": {"Last-Event-ID": last_id}}
        yield "query", {"query": {"last_event_id": last_id}}
        yield "body of a GET", {"body": {"last_event_id": last_id}}
        yield "body of a POST", {"method": "POST", "body": {"last_event_id": last_id}}
        yield "KafkaSSE", {"headers": {"Last-Event-ID": kafkasse}}
        yield "KafkaSSE in a query", {"query": {"last_event_id": kafkasse}}
        yield "offsets", {"query": {"offsets": json.dumps(offsets)}}
        yield "offsets in a body", {"method": "POST", "body": {"offsets": offsets}}
        seen = {p: offset for p, offset in offsets.items() if offset}
        if seen:  # a partition that an id does not name starts at its earliest
            yield (
                "KafkaSSE in part",
                {
                    "headers": {
                        "Last-Event-ID": json.dumps(
                            [{"topic": topic, "partition": int(p), "offset": o} for p, o in seen.items()]
                        )
                    }
                },
            )


async def resume(
    endpoint: Endpoint,
    fmt: Format,
    whole: Whole,
    after: int,
    *,
    at_most: int = 0,
    to_silence: bool = False,
    **how: object,
) -> None:
    """This border, named like this: exactly what followed comes. `to_silence` reads on to the next
    heartbeat, so that what came twice at the end would be seen too. With `at_most` the first so many alone
    are looked at.
    """
    count = min(whole.left(after), at_most or len(whole.items))
    headers = {"Accept": TYPES[fmt], **how.pop("headers", {})}  # type: ignore[dict-item] # a mapping
    async with asyncio.timeout(RESUME_S), endpoint.ask(headers=headers, **how) as answer:  # type: ignore[arg-type] # handed through
        assert answer.status == 200, (after, await answer.whole())
        text = await _lines(answer, fmt, count, to_silence=to_silence)
    got: list[list[bytes]] = [[] for _ in whole.lines]
    last_id = b""
    for line in text.split(b"\n")[:-1]:  # behind the last border there may be half a line
        data = line.removeprefix(b"data: ") if fmt == "sse" else line.lstrip(b" ")
        if data[:1] == b"{":
            place = PLACE.search(data)
            assert place, data
            got[int(place[1])].append(data)
        elif data[:4] == b"id: ":
            last_id = data[4:]
    if count < whole.left(after):
        for partition, lines in enumerate(got):
            assert whole.begins(partition, after, lines), (
                f"resumed after {after} articles, partition {partition} began with other bytes"
            )
        return
    for partition, (lines, wanted) in enumerate(zip(got, whole.expected(after), strict=True)):
        assert digest(lines) == wanted, (
            f"resumed after {after} articles, partition {partition} delivered other bytes: {len(lines)} "
            f"articles, of {len(whole.lines[partition]) - whole.border(after)[partition]}"
        )
    if fmt == "sse" and last_id:
        assert vector(last_id.decode()) == vector(whole.items[-1].id), "the resume ends elsewhere"


async def _lines(answer: Answer, fmt: Format, count: int, *, to_silence: bool) -> bytes:
    border = b"\n\n" if fmt == "sse" else b"\n"
    beat = b":hb\n" if fmt == "sse" else b" "
    blocks, seen, last = [], 0, b""
    async for block in answer.blocks():
        blocks.append(block)
        seen += (last + block).count(border)
        last = block[-1:] if len(border) > 1 else b""  # a border may be cut in two
        assert b"\r" not in block
        # (the first block is the beginning, which in NDJSON is a beat too)
        if seen >= count and (not to_silence or (len(blocks) > 1 and block.endswith(beat))):
            break
    return b"".join(blocks)


async def resume_all(
    endpoint: Endpoint, fmt: Format, whole: Whole, borders: Iterable[int], *, to_the_end_every: int = 1
) -> int:
    """How many were tried. All that follow are read of every so-manieth, of the rest A_FEW."""
    todo = enumerate(borders)
    done = 0

    async def work() -> None:
        nonlocal done
        for number, after in todo:
            await resume(
                endpoint,
                fmt,
                whole,
                after,
                at_most=0 if number % to_the_end_every == 0 else A_FEW,
                to_silence=number % SILENCE_EVERY == 0,
                **_named(fmt, whole, after),
            )
            done += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
    return done


def _named(fmt: Format, whole: Whole, after: int) -> Mapping[str, object]:
    """As clients of this format do it."""
    if fmt == "ndjson":
        offsets = {str(partition): offset for partition, offset in whole.position(after).items()}
        return {"query": {"offsets": json.dumps(offsets)}}
    return (
        {"headers": {"Last-Event-ID": whole.items[after - 1].id}}
        if after
        else {"query": {"since": "2001-01-15T00:00:00Z"}}
    )
