"""A reader takes no id of an event that it did not get whole: it asks for that event again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from harness.cutting import Hop
from harness.schema import SCHEMAS

from prove.readers import Reader, WithAiohttp, WithCurl, WithSseclient

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
ARTICLE = msgspec.json.decode((SCHEMAS / "article.json").read_bytes())["examples"][0]
WHOLE = b"id: 1\ndata: " + msgspec.json.encode(ARTICLE) + b"\n\n"
READERS: dict[str, Callable[[int], Reader]] = {
    "sseclient-py": lambda port: WithSseclient("127.0.0.1", port, "/feed", "key"),
    "curl": lambda port: WithCurl(f"http://127.0.0.1:{port}/feed", "key"),
    "aiohttp": lambda port: WithAiohttp(f"http://127.0.0.1:{port}/feed", "key"),
}


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[int, list[str]]]:
    """A server that gives each connection its answer and ends it; the port, and what each resumed by."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        ids = [line.partition(": ")[2] for line in lines if line.lower().startswith("last-event-id")]
        asked.append(ids[0] if ids else "")
        writer.write(HEAD + answers[min(len(asked), len(answers)) - 1])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


@pytest.mark.parametrize("client", READERS)
@pytest.mark.parametrize(
    "torn",
    [b"id: 2", b"id: 2\nda", b'id: 2\ndata: {"number": ', b'event: cursor\nid: 2\ndata: {"posit'],
    ids=["id", "name", "data", "cursor"],
)
async def test_a_torn_event_is_asked_for_again(client: str, torn: bytes) -> None:
    """Wherever the line was cut, as if the answer were complete."""
    async with answering(WHOLE + torn, b"") as (port, asked):
        reader = READERS[client](port)
        reading = asyncio.create_task(reader.run())
        async with asyncio.timeout(30):
            while len(asked) < 2:
                await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.wait([reading])
    assert [receipt.article for receipt in reader.received] == [ARTICLE]
    assert asked[:2] == ["", "1"]


@pytest.mark.parametrize("abort", [False, True], ids=["ended", "reset"])
async def test_a_hop_cuts_at_the_byte(*, abort: bool) -> None:
    """What stands before it has passed where the end is clean; the next connection is whole again."""
    async with answering(WHOLE * 100) as (port, _), Hop(port) as hop:
        hop.cut_after(len(HEAD) + 10, abort=abort)
        first, second = await fetch(hop.port), await fetch(hop.port)
    assert first == b"reset" if abort else first == (HEAD + WHOLE)[: len(HEAD) + 10]
    assert second == HEAD + WHOLE * 100
    assert (hop.cuts, hop.answered) == (1, 2)


async def fetch(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /feed HTTP/1.1\r\n\r\n")
        await asyncio.sleep(0)
        return await reader.read()
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()
