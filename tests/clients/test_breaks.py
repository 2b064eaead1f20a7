"""Each client reads the past, then live, over a line that breaks at any byte: nothing lost, nothing twice."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from clients import curl, ndjson, programs, python_sse
from clients.reading import Encoding, Read, Sink, Target
from harness.cutting import Hop
from harness.delivering import Delivering, delivering, metric, serving

from streamer.config import DeliverSettings
from streamer.deliver import outlet
from streamer.partners import PartnersWatch
from streamer.runtime import Runtime

CUTS = 8
PAGES = 12
PATIENCE_S = 20.0
LIVE_S = 1.0
"""From the commit to the client, though nothing follows that would push it out of a buffer."""
LARGE_BYTES = 300_000
ODD = 'line\u2028para\u2029next\u0085 \ufeff \r\n\t "quoted" \\ </script> 𝕏 עברית \x0b\x0c\x1c\x1e\x7f'
"""What splits lines that should not be split."""



def on_httpx(name: str) -> Read:
    """httpx-sse does not bring the httpx that it needs."""
    pytest.importorskip("httpx")
    from clients import on_httpx as module  # noqa: PLC0415 - for the same reason

    read: Read = getattr(module, name)
    return read


async def by_httpx_sse(target: Target, sink: Sink) -> None:
    await on_httpx("by_httpx_sse")(target, sink)


async def by_python_sdk(target: Target, sink: Sink) -> None:
    await on_httpx("by_python_sdk")(target, sink)


CLIENTS: dict[str, tuple[Read, tuple[Encoding, ...]]] = {
    "sseclient-py": (python_sse.by_sseclient, ("identity", "gzip")),
    "sseclient-py-http-1.0": (python_sse.by_sseclient_over_http_1_0, ("identity",)),
    "httpx-sse": (by_httpx_sse, ("identity", "gzip")),
    "requests-sse": (python_sse.by_requests_sse, ("identity", "gzip")),
    "aiohttp": (ndjson.by_aiohttp, ("identity", "gzip")),
    "curl": (curl.by_curl, ("identity", "gzip")),
    "eventsource": (programs.by_eventsource, ("identity", "gzip")),
    "enterprise-python": (by_python_sdk, ("identity", "gzip")),
    "enterprise-go": (programs.by_go_sdk, ("identity", "gzip")),
}
SSE = {"sseclient-py", "sseclient-py-http-1.0", "httpx-sse", "requests-sse", "curl", "eventsource"}


@dataclass(slots=True)
class Line:
    """A server behind a hop, and a client that reads through it."""

    server: Delivering
    hop: Hop
    sink: Sink
    rng: random.Random
    stack: AsyncExitStack

    async def write(self) -> None:
        """Some articles of some pages; a few of them of 10 kB."""
        for _ in range(self.rng.randrange(1, 4)):
            text = self.rng.randbytes(self.rng.choice((10, 200, 200, 5_000))).hex() + ODD
            await self.server.write([self.rng.randrange(PAGES)], text=text)

    async def until(self, true: Callable[[], bool], what: str, *, within_s: float = PATIENCE_S) -> None:
        try:
            async with asyncio.timeout(within_s):
                while not true():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            lacking = self.wanted - self.sink.sequences
            pytest.fail(f"{what} within {within_s} s; lacks {sorted(lacking)[:9]}; {self.sink.refused[-3:]}")

    @property
    def wanted(self) -> set[int]:
        return {sequence for _, sequence in self.server.written}

    async def all_there(self, *, within_s: float = PATIENCE_S) -> None:
        await self.until(lambda: self.wanted <= self.sink.sequences, "all articles", within_s=within_s)

    async def live(self) -> None:
        """One small article, behind which nothing comes."""
        await self.server.write([self.rng.randrange(PAGES)])
        await self.all_there(within_s=LIVE_S)

    async def cut(self) -> None:
        """At a byte that chance says, as if the answer were complete or by a reset."""
        done = self.hop.cuts + 1
        self.hop.cut_after(self.rng.randrange(8_000), abort=self.rng.random() < 0.5)
        async with asyncio.timeout(PATIENCE_S):
            while self.hop.cuts < done:
                await self.write()
                await asyncio.sleep(0.01)

    async def cut_inside(self, *, abort: bool) -> None:
        """In the middle of one article."""
        await self.all_there()
        self.hop.cut_after(LARGE_BYTES // 2, abort=abort)
        await self.server.write([0], text=self.rng.randbytes(LARGE_BYTES // 2).hex())
        await self.all_there()

    async def restart(self) -> None:
        """`bye` and a clean end, then another process on the same log."""
        await self.all_there()
        server = self.server
        server.runtime.draining.set()
        await self.until(lambda: not open_streams(), "an end to all streams")
        await self.write()
        server.runtime = Runtime(server.runtime.settings, server.log)
        server.partners = PartnersWatch(server.file, poll_s=0.05)
        await self.stack.enter_async_context(serving(server))
        self.hop.target = server.port


def open_streams() -> float:
    return sum(metric("streamer_deliver_connections", partner="acme", format=fmt) for fmt in ("sse", "ndjson"))


@asynccontextmanager
async def line(folder: Path, read: Read, encoding: Encoding, rng: random.Random) -> AsyncIterator[Line]:
    async with AsyncExitStack() as stack:
        settings = DeliverSettings(heartbeat_s=0.2)
        server = await stack.enter_async_context(delivering(folder, deliver=settings))
        hop = await stack.enter_async_context(Hop(server.port))
        sink = Sink()
        target = Target(f"http://127.0.0.1:{hop.port}/v2/articles", encoding)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        reading = group.create_task(read(target, sink))
        made = Line(server, hop, sink, rng, stack)
        try:
            for _ in range(10):
                await made.write()
            yield made
        finally:
            sink.stopped = True
            hop.close()
            if read in IN_PROCESSES:
                reading.cancel()


IN_PROCESSES = (curl.by_curl, programs.by_eventsource, programs.by_go_sdk)
"""They end when they are killed; the others, in threads, when their sink is stopped."""


def prepare(name: str) -> None:
    """Skips where a client can't be had."""
    if name in {"httpx-sse", "enterprise-python"}:
        pytest.importorskip("httpx", reason="httpx is not installed")
    elif name == "curl" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    elif name == "eventsource":
        programs.node()
    elif name == "enterprise-go":
        programs.go()


@pytest.mark.parametrize(
    ("name", "encoding"),
    [(name, encoding) for name, (_, encodings) in CLIENTS.items() for encoding in encodings],
)
async def test_a_client_over_a_line_that_breaks(
    name: str,
    encoding: Encoding,
    tmp_path: Path,
    rng: random.Random,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Past, then live within a second; cut in any place and restarted, it has each page's sequence as the
    log has it.
    """
    prepare(name)
    # clients that honour it would otherwise wait 3 s after each break
    monkeypatch.setattr(outlet, "PREAMBLE", outlet.PREAMBLE.replace(b"3000", b"20"))
    read, _ = CLIENTS[name]
    async with line(tmp_path, read, encoding, rng) as made:
        await made.all_there()
        await made.live()
        for n in range(CUTS):
            await made.cut()
            if n == CUTS // 2:
                await made.restart()
        await made.cut_inside(abort=False)
        await made.cut_inside(abort=True)
        await made.live()
    assert_exact(made)
    assert set(made.sink.encodings) <= {encoding}
    assert set(made.sink.refused) <= {"503 5", "503"}  # came while the server was draining
    assert not made.sink.empty
    if name in SSE:
        assert made.sink.controls["bye"]


def assert_exact(made: Line) -> None:
    """Each page's articles in the log's order, each once."""
    pages: dict[int, list[int]] = {}
    for page, sequence in made.sink.got:
        pages.setdefault(page, []).append(sequence)
    for page, got in pages.items():
        assert got == sorted(set(got)), f"page {page}"
    assert made.sink.sequences == made.wanted
