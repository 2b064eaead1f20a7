"""What each client makes of what is not an article: refusals, heartbeats, control events, half an event."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from clients.curl import command, running
from clients.matrix import CLIENTS, IN_PROGRAMS, SSE, prepare
from clients.python_sse import by_requests_sse
from clients.reading import SINCE, Encoding, Sink, Target
from harness.delivering import Delivering, delivering, metric, raw

from streamer.config import DeliverSettings
from streamer.deliver import encode, hub, outlet
from streamer.deliver.article_examples import EXAMPLES

EACH = pytest.mark.parametrize("name", [name for name in CLIENTS if name != "sseclient-py-http-1.0"])
WITHOUT_RETRY_AFTER = {"enterprise-go"}
"""Its error is the problem's text alone."""
SDKS = {"enterprise-python", "enterprise-go"}
GONE: tuple[dict[str, object], int] = ({"last_event_id": "00000000.0:1"}, 410)
BAD_START: tuple[dict[str, object], int] = ({"fields": ["nmae"]}, 422)
"""They know no ids."""
HEARTBEATS = 5


@asynccontextmanager
async def reading(name: str, target: Target) -> AsyncIterator[Sink]:
    """The client, until the server has let it go; then the sink is stopped."""
    sink = Sink()
    async with asyncio.TaskGroup() as group:
        read = CLIENTS[name][0]
        task = group.create_task(read(target, sink))
        try:
            yield sink
        finally:
            sink.stopped = True
            if read in IN_PROGRAMS:
                task.cancel()


async def until(sink: Sink, *, refused: int = 0, got: int = 0, **controls: int) -> None:
    async with asyncio.timeout(30):
        while (
            len(sink.refused) < refused
            or len(sink.got) < got
            or any(sink.controls[name] < count for name, count in controls.items())
        ):
            await asyncio.sleep(0.005)


@EACH
async def test_refusals(name: str, tmp_path: Path) -> None:
    """401, 410 (422) and 503 are told as such, the time to come back where the client shows headers; never as
    an article; and whoever was refused for a moment reads on afterwards.
    """
    prepare(name)
    settings = DeliverSettings(max_connections=1)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(delivering(tmp_path, deliver=settings))
        await server.write([1])
        async with reading(name, Target(server.url, key="wrs_nobody")) as sink:
            await until(sink, refused=1)
        assert sink.refused[0] == "401 -"
        start, status = BAD_START if name in SDKS else GONE
        async with reading(name, Target(server.url, start=start)) as sink:
            await until(sink, refused=1)
        assert sink.refused[0] == f"{status} -"
        async with raw(server) as (other, _):
            await other.readuntil(b":ok\n")
            read_on = await stack.enter_async_context(reading(name, Target(server.url)))
            await until(read_on, refused=1)
            assert read_on.refused[0] == ("503 -" if name in WITHOUT_RETRY_AFTER else "503 5")
            assert not read_on.got
        await until(read_on, got=1)
        server.runtime.draining.set()


@EACH
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_control_events(
    name: str, encoding: Encoding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`gap`, `cursor` and `bye` come by their names and no heartbeat comes as an event; NDJSON is articles
    alone.
    """
    prepare(name)
    monkeypatch.setattr(outlet, "CURSOR_S", 0.05)
    monkeypatch.setattr(hub, "CURSOR_S", 0.05)
    async with delivering(tmp_path, deliver=DeliverSettings(heartbeat_s=0.02)) as server:
        sse = name in SSE
        start = {"last_event_id": "00000000.0:1", "on_gap": "continue"} if sse else {"since": SINCE}
        await server.write([1])
        async with reading(name, Target(server.url, encoding, start=start)) as sink:
            await until(sink, got=1, **({"gap": 1} if sse else {}))
            await heartbeats()
            if sse:
                await server.write_silent([2])
                await until(sink, cursor=1)
                await heartbeats()
            await server.write([1])
            await until(sink, got=2)
            assert not sink.controls["bye"]
            sink.stopped = True  # at the end of this connection
            server.runtime.draining.set()
            if sse:
                await until(sink, bye=1)
        assert sink.got == [(1, 1), (1, 2)]
        assert dict(sink.controls) == ({"gap": 1, "cursor": 1, "bye": 1} if sse else {})
        assert (sink.empty, sink.torn) == (0, 0)


async def heartbeats() -> None:
    """Waits for some."""
    before = metric("streamer_deliver_bytes_total", partner="acme")
    async with asyncio.timeout(30):
        while metric("streamer_deliver_bytes_total", partner="acme") < before + HEARTBEATS * 4:
            await asyncio.sleep(0.005)


async def test_a_goodbye_does_not_move_a_client_past_what_broke_off() -> None:
    """requests-sse keeps the id of an event that was cut, and would go on behind it after an event without
    one: so `bye` says where the client is.
    """
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    preamble = encode.PREAMBLE.replace(b"3000", b"20")
    whole = f"id: first\ndata: {json.dumps(EXAMPLES['edit'])}\n\n".encode()
    answers = [preamble + whole + b'id: second\ndata: {"ident', preamble + encode.bye("drain", "first")]
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        asked.append(text.partition("last-event-id: ")[2].partition("\r\n")[0])
        body = answers[min(len(asked), 2) - 1]
        writer.write(head.encode() + b"%x\r\n%b\r\n" % (len(body), body))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        sink = Sink()
        reading = asyncio.create_task(by_requests_sse(Target(f"http://127.0.0.1:{port}/"), sink))
        async with asyncio.timeout(30):
            while len(asked) < 3:
                await asyncio.sleep(0.005)
        sink.stopped = True
        await reading
    assert asked[:3] == ["", "first", "first"]


async def lines_of_curl(server: Delivering, last: str, *more: str) -> list[str]:
    """Up to the line in which `last` stands."""
    lines: list[str] = []
    async with running(command(Target(server.url), *more)) as process, asyncio.timeout(30):
        assert process.stdout is not None
        while not lines or last not in lines[-1]:
            lines.append((await process.stdout.readline()).decode().rstrip("\r\n"))
    return lines


async def test_curl_by_hand(tmp_path: Path) -> None:
    """The line of the README; a Last-Event-ID to go on from; packed; a POST with a JSON body."""
    prepare("curl")
    async with delivering(tmp_path) as server:
        await server.write([1, 1, 1])
        first = await lines_of_curl(server, '"sequence":2', f"{server.url}?since={SINCE}")
        assert first[:2] == ["retry: 3000", ":ok"]
        assert [line[:4] for line in first[2:]] == ["id: ", "data", "", "id: ", "data"]
        last_id = ["-H", f"Last-Event-ID: {first[5].removeprefix('id: ')}"]
        packed = await lines_of_curl(server, '"sequence":3', "-i", "--compressed", *last_id, server.url)
        assert "Content-Encoding: gzip" in packed
        assert sum(line.startswith("data: ") for line in packed) == 1
        asked = '{"since": "2020-01-01T00:00:00Z", "fields": ["name", "event.*"]}'
        ndjson = ["-H", "Accept: application/x-ndjson", "-H", "Content-Type: application/json", "-d", asked]
        got = await lines_of_curl(server, '"sequence":3', *ndjson, server.url)
        assert len(got) == 3
        assert all('"name":"Page 1"' in line and "article_body" not in line for line in got)
