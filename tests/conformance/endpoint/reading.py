"""What most tests do: open a stream, read until something is there, compare by partition."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Literal

from tests.conformance.endpoint.lines import Item, Ndjson, Sse
from tests.conformance.endpoint.wire import Answer, Endpoint, Torn

EVER = "2001-01-15T00:00:00Z"
"""Before everything: starts at the earliest record."""
PATIENCE_S = 25.0
"""For what must come, on a feed whose pace we don't know: more than a heartbeat and a cursor take."""
Format = Literal["sse", "ndjson"]
FORMATS: tuple[Format, ...] = ("sse", "ndjson")
TYPES = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}
By = Mapping[int, list[bytes]]
"""Articles' bytes per partition: order across partitions is nobody's promise."""


class Stream:
    """An open stream. `items` goes on where it was left."""

    def __init__(self, answer: Answer, fmt: Format) -> None:
        self.answer = answer
        self.torn = False
        """It ended by a reset."""
        self.parser = Sse() if fmt == "sse" else Ndjson()
        self._ready: list[Item] = []
        self._blocks = answer.blocks()

    async def items(self) -> AsyncGenerator[Item, None]:
        """Ends where the stream does; with `torn` where that was no clean end."""
        while True:
            while self._ready:
                yield self._ready.pop(0)
            try:
                block = await anext(self._blocks)
            except StopAsyncIteration:
                assert not self.parser.rest, "a clean end in the middle of an event"
                return
            except Torn:
                self.torn = True
                return
            self._ready = self.parser.feed(block)

    async def take(self, until: Callable[[list[Item]], bool], within_s: float = PATIENCE_S) -> list[Item]:
        """All items up to the one with which `until` holds, or to the stream's end."""
        found: list[Item] = []
        async with asyncio.timeout(within_s), aclosing(self.items()) as items:
            async for item in items:
                found.append(item)
                if until(found):
                    break
        return found

    async def articles(self, count: int, within_s: float = PATIENCE_S) -> list[Item]:
        """So many, checked."""
        taken = await self.take(lambda found: _count(found) >= count, within_s)
        found = [item.checked() for item in taken if item.name == "message"]
        assert len(found) == count, f"the stream ended after {len(found)} of {count}: {taken[-1:]}"
        return found

    async def beat(self, within_s: float = PATIENCE_S) -> list[Item]:
        """All up to a heartbeat: whatever there was to be sent has come then."""
        return await self.take(lambda found: found[-1].name == "hb", within_s)

    async def end(self, within_s: float = PATIENCE_S) -> list[Item]:
        return await self.take(lambda _: False, within_s)

    async def close(self) -> None:
        await self._blocks.aclose()


def _count(items: list[Item]) -> int:
    return sum(item.name == "message" for item in items)


@asynccontextmanager
async def streaming(endpoint: Endpoint, fmt: Format = "sse", **asked: object) -> AsyncIterator[Stream]:
    """A stream that is open: status 200 and the type that was asked for."""
    headers = {"Accept": TYPES[fmt], **asked.pop("headers", {})}  # type: ignore[dict-item] # a mapping
    async with endpoint.ask(headers=headers, **asked) as answer:  # type: ignore[arg-type] # handed through
        if answer.status != 200:
            raise AssertionError(f"{answer.status}: {(await answer.whole())[:500]!r}")
        assert answer.header("content-type").partition(";")[0] == TYPES[fmt]
        stream = Stream(answer, fmt)
        try:
            yield stream
        finally:
            await stream.close()


async def read(endpoint: Endpoint, count: int, fmt: Format = "sse", **asked: object) -> list[Item]:
    """The first so many articles of a connection."""
    async with streaming(endpoint, fmt, **asked) as stream:
        return await stream.articles(count)


def by_partition(items: Iterable[Item]) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for item in items:
        if item.name == "message":
            found.setdefault(item.place[0], []).append(item.data)
    return found


def digest(lines: Iterable[bytes]) -> str:
    """Of the exact bytes."""
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def after(items: list[Item], border: int) -> dict[int, list[bytes]]:
    """What follows the `border`-th article, per partition."""
    return by_partition(items[border:])


def offsets_after(items: list[Item], border: int, partitions: Iterable[int]) -> dict[str, int]:
    """The position behind so many articles, as NDJSON clients hold it: last + 1 of each partition, and 0
    where none was seen.
    """
    found = dict.fromkeys(partitions, 0)
    for item in items[:border]:
        partition, offset = item.place
        found[partition] = offset + 1
    return {str(partition): offset for partition, offset in found.items()}
