"""The load client: how it is called, what it says, and what it lets pass. Compiled and run here."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.bench.fanout.articles import NUMBER_BASE, values, write_records
from tests.bench.fanout.deliveries import inflated
from tests.bench.fanout.load import Client, Load, Result, compiled, compiler_missing, parsed
from tests.bench.fanout.process import Cores, Failed
from tests.bench.fanout.servers import Server, naive

GOOD = Result(
    clients=2,
    events=10,
    deliveries=20,
    wall_s=2.0,
    server_cpu_s=0.0001,
    client_cpu_s=1.0,
    body_bytes=1_000,
    p50_ms=1.0,
    p99_ms=2.0,
    max_ms=3.0,
    stalled_open=0,
    replayed=0,
    replayed_bytes=0,
    is_exact=True,
)
SAID = json.dumps({name: getattr(GOOD, name) for name in Result.__struct_fields__})
needs_compiler = pytest.mark.skipif(bool(compiler_missing()), reason=compiler_missing() or "never")


def test_what_it_says_is_read() -> None:
    result = parsed(SAID)
    assert result == GOOD
    assert result.us_per_delivery == pytest.approx(5.0)
    assert result.us_per_event == pytest.approx(10.0)
    assert result.client_busy == 0.5
    assert result.void == ""


@pytest.mark.parametrize("said", ["", "nonsense", "{}", SAID.replace('"events": 10', '"events": "ten"')])
def test_what_it_would_not_say_is_refused(said: str) -> None:
    with pytest.raises(Failed, match="the load client said"):
        parsed(said)


def test_a_run_without_a_delivery_or_without_the_servers_cpu_measures_nothing() -> None:
    for name in ("deliveries", "server_cpu_s"):
        with pytest.raises(Failed, match="nothing was measured"):
            parsed(json.dumps(json.loads(SAID) | {name: 0}))


def test_a_client_that_is_busy_or_inexact_makes_a_run_void() -> None:
    busy = parsed(json.dumps(json.loads(SAID) | {"client_cpu_s": 1.9}))
    assert busy.void == "client 95% busy"
    inexact = parsed(json.dumps(json.loads(SAID) | {"is_exact": False}))
    assert inexact.void


def test_what_is_not_asked_for_is_not_said() -> None:
    server = Server("ours", (7, 8), 80, 81, "/v2/articles", headers=("Authorization: Bearer x",), lanes=10)
    arguments = Load(5, events=9, gzip=True).arguments(server, Path("r"))
    assert "--pid=7" in arguments
    assert "--pid=8" in arguments
    assert "--header=Authorization: Bearer x" in arguments
    assert "--gzip" in arguments
    assert not [argument for argument in arguments if argument.startswith(("--post", "--rate", "--replay"))]


# ── run ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(compiled(tmp_path_factory.mktemp("build")), Cores.of_this_machine().load)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records") / "records"
    write_records(path, values(1_024, variants=4))
    return path


@needs_compiler
def test_a_second_against_the_naive_server(client: Client, records: Path, tmp_path: Path) -> None:
    """Bursts, a rate, and gzip, of which one stream is inflated."""
    with naive(tmp_path, Cores.of_this_machine().server) as server:
        bursts = client.run(server, Load(20, events=64, warmup=16, burst=8, stalled=2), records)
        assert (bursts.events, bursts.deliveries) == (64, 1_280)
        assert bursts.is_exact
        assert bursts.server_cpu_s > 0
        assert bursts.stalled_open == 2
        assert bursts.body_bytes > 1_280 * 1_024
    with naive(tmp_path, Cores.of_this_machine().server) as server:
        paced = client.run(server, Load(20, events=50, rate=200.0), records)
        assert paced.deliveries == 1_000
        assert 0 < paced.p50_ms <= paced.p99_ms <= paced.max_ms
    with naive(tmp_path, Cores.of_this_machine().server) as server:
        kept = tmp_path / "kept.gz"
        packed = client.run(server, Load(5, events=20, warmup=3, gzip=True, keep=kept), records)
        assert packed.is_exact
        inflated(kept, 23)
        with pytest.raises(Failed, match="of 24 articles 23 came"):
            inflated(kept, 24)


@dataclass(frozen=True)
class Script:
    """A server that sends what it is told to, cut where it is told to."""

    body: bytes
    chunk_bytes: int = 1_000
    write_bytes: int = 1_000
    end: bytes = b""

    def written(self) -> list[bytes]:
        cut = [self.body[at : at + self.chunk_bytes] for at in range(0, len(self.body), self.chunk_bytes)]
        whole = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in cut) + self.end
        return [whole[at : at + self.write_bytes] for at in range(0, len(whole), self.write_bytes)]


def events(*numbers: int, named: str = "") -> bytes:
    head = f"event: {named}\n" if named else ""
    return b"".join(
        f'{head}id: e1.0:{n}\ndata: {{"name":"Page {NUMBER_BASE + n}","x":1}}\n\n'.encode() for n in numbers
    )


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def against(script: Script, client: Client, records: Path, load: Load) -> Result:
    """What the load makes of it. Whatever is published starts the script."""
    published = asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await published.wait()
        for piece in script.written():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()
        writer.transport.abort()

    async def ingest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1_000_000):
            published.set()
        writer.transport.abort()

    def quietly(serve: Serve) -> Serve:
        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await serve(reader, writer)
            except ConnectionError:  # the load leaves by a reset
                writer.transport.abort()

        return served

    async with (
        await asyncio.start_server(quietly(stream), "127.0.0.1", 0) as streams,
        await asyncio.start_server(quietly(ingest), "127.0.0.1", 0) as ingests,
    ):
        ports = [server.sockets[0].getsockname()[1] for server in (streams, ingests)]
        server = Server("script", (os.getpid(),), *ports)
        return await asyncio.to_thread(client.run, server, load, records)


ONE_BURST = Load(1, events=6, burst=6, timeout_s=20.0)


@needs_compiler
@pytest.mark.parametrize(("chunk_bytes", "write_bytes"), [(1_000, 1_000), (1, 1_000), (7, 3), (64, 1)])
async def test_events_are_counted_wherever_chunks_and_reads_end(
    client: Client, records: Path, chunk_bytes: int, write_bytes: int
) -> None:
    body = b"retry: 3000\n:ok\n" + events(0, 1) + b":hb\n" + events(9, named="cursor") + events(2, 3, 4, 5)
    script = Script(body, chunk_bytes, write_bytes)
    result = await against(script, client, records, ONE_BURST)
    assert result.deliveries == 6
    assert result.body_bytes == len(body)


@needs_compiler
@pytest.mark.parametrize(
    "numbers", [(0, 1, 3, 4, 5, 6), (0, 1, 1, 2, 3, 4), (1, 0, 2, 3, 4, 5)], ids=["lost", "twice", "order"]
)
async def test_speed_is_not_bought_with_loss(client: Client, records: Path, numbers: tuple[int, ...]) -> None:
    with pytest.raises(Failed, match="lost, repeated or out of order"):
        await against(Script(events(*numbers)), client, records, ONE_BURST)


@needs_compiler
async def test_a_chunk_that_says_another_size_is_an_error(client: Client, records: Path) -> None:
    script = Script(events(0), end=b"3\r\nabcdef\r\n")
    with pytest.raises(Failed, match="a chunk is longer than it says"):
        await against(script, client, records, ONE_BURST)


@needs_compiler
async def test_a_run_ends_in_bounded_time(client: Client, records: Path) -> None:
    with pytest.raises(Failed, match="given up: 3 of 6 deliveries within 1 s"):
        await against(Script(events(0, 1, 2)), client, records, replace(ONE_BURST, timeout_s=1.0))
