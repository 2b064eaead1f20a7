"""What most tests do: open a stream, read until something is there, compare by partition."""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Literal, TypeVar

from tests.conformance.endpoint.lines import Item, Ndjson, Sse, vector
from tests.conformance.endpoint.wire import Answer, Endpoint, Torn

T = TypeVar("T")
EVER = "2001-01-15T00:00:00Z"
"""Before everything: starts at the earliest record."""
PATIENCE_S = 60.0
"""For what must come, on a feed whose pace we don't know: more than a heartbeat and a cursor take."""
Format = Literal["sse", "ndjson"]
FORMATS: tuple[Format, ...] = ("sse", "ndjson")
TYPES = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}


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

    async def begun(self) -> None:
        """What is appended once this has returned is live for this stream."""
        async with asyncio.timeout(PATIENCE_S):
            self._ready += self.parser.feed(await anext(self._blocks))

    async def take(self, until: Callable[[list[Item]], bool], within_s: float | None = None) -> list[Item]:
        """All items up to the one with which `until` holds, or to the stream's end."""
        found: list[Item] = []
        async with asyncio.timeout(within_s or PATIENCE_S), aclosing(self.items()) as items:
            async for item in items:
                found.append(item)
                if until(found):
                    break
        return found

    async def articles(self, count: int, within_s: float | None = None) -> list[Item]:
        """So many, checked."""
        taken = await self.take(lambda found: _count(found) >= count, within_s)
        found = [item.checked() for item in taken if item.name == "message"]
        assert len(found) == count, f"the stream ended after {len(found)} of {count}: {taken[-1:]}"
        return found

    async def beat(self, within_s: float | None = None) -> list[Item]:
        """All up to a heartbeat: whatever there was to be sent has come then."""
        return await self.take(lambda found: found[-1].name == "hb", within_s)

    async def end(self, within_s: float | None = None) -> list[Item]:
        return await self.take(lambda _: False, within_s)

    async def close(self) -> None:
        await self._blocks.aclose()


def _count(items: list[Item]) -> int:
    return sum(item.name == "message" for item in items)


@asynccontextmanager
async def streaming(
    endpoint: Endpoint, fmt: Format = "sse", *, gzip: bool = False, **asked: object
) -> AsyncIterator[Stream]:
    """A stream that is open: status 200, and the type and encoding that were asked for."""
    headers = {"Accept": TYPES[fmt], **asked.pop("headers", {})}  # type: ignore[dict-item] # a mapping
    if gzip:
        headers["Accept-Encoding"] = "gzip"
    async with endpoint.ask(headers=headers, **asked) as answer:  # type: ignore[arg-type] # handed through
        if answer.status != 200:
            raise AssertionError(f"{answer.status}: {(await answer.whole())[:500]!r}")
        assert answer.header("content-type").partition(";")[0] == TYPES[fmt]
        assert answer.header("content-encoding") == ("gzip" if gzip else "")
        assert {"accept", "accept-encoding"} <= answer.names("vary")
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


async def upto(stream: Stream, end: Mapping[int, int], *, only: bool = False) -> list[Item]:
    """All articles of a stream until its position has passed `end`, by ids of articles or cursors: whatever
    stands before has come by then, or does not come. SSE only.
    With `only` nothing may come of other partitions than these.
    """

    def passed(found: list[Item]) -> bool:
        if not found[-1].id:
            return False
        reached = vector(found[-1].id)
        return all(reached.get(partition, 0) >= offset for partition, offset in end.items())

    taken = await stream.take(passed)
    assert taken, "the stream ended"
    articles = [item for item in taken if item.name == "message"]
    assert not only or all(item.place[0] in end for item in articles), "an article of another part"
    assert passed(taken), f"the stream ended with {taken[-1].name} before it had passed {end}"
    return [item for item in articles if item.place[1] < end.get(item.place[0], 0)]


async def covering(stream: Stream, items: Iterable[Item]) -> dict[tuple[int, int], Item]:
    """The articles of a stream, by their places, until it had all that stand at the places of these. Only in
    a partition is their order the same in every reading.
    """
    missing = {item.place for item in items}

    def done(found: list[Item]) -> bool:
        if found[-1].name == "message":
            missing.discard(found[-1].place)
        return not missing

    return {item.place: item for item in await stream.take(done) if item.name == "message"}


async def together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """All at once; where one fails the others are over before it is told."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
    return [task.result() for task in tasks]


def positions(offsets: Mapping[int, int]) -> str:
    """As the parameter `offsets`."""
    return json.dumps({str(partition): offset for partition, offset in offsets.items()})
