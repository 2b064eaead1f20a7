"""Each client reads the past, then live, over a line that breaks at any byte: nothing lost, nothing twice."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from clients.matrix import CLIENTS, IN_PROGRAMS, SSE, prepare
from clients.reading import Encoding, Read, Sink, Target
from harness.cutting import Hop
from harness.delivering import Delivering, delivering, metric, serving

from streamer.config import DeliverSettings
from streamer.deliver import outlet
from streamer.partners import PartnersWatch
from streamer.runtime import Runtime

CUTS = 10
PAGES = 12
PATIENCE_S = 60.0
LIVE_S = 1.0
"""From the commit to the client, though nothing follows that would push it out of a buffer."""
LARGE_BYTES = 300_000
CJK = [chr(point) for point in range(0x4E00, 0x9FA6)]
"""Three bytes each, so that most cuts are inside a character."""
ODD = 'line\u2028para\u2029next\u0085 \ufeff \r\n\t "quoted" \\ </script> 𝕏 עברית \x0b\x0c\x1c\x1e\x7f'
"""What splits lines that should not be split."""


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
            await self.server.write([self.rng.randrange(1, PAGES)], text=text)

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
        await self.server.write([self.rng.randrange(1, PAGES)])
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
        done = self.hop.cuts
        self.hop.cut_after(LARGE_BYTES // 2, abort=abort)
        await self.server.write([1], text="".join(self.rng.choices(CJK, k=LARGE_BYTES // 3)))
        await self.all_there()
        assert self.hop.cuts == done + 1

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
    formats = ("sse", "ndjson")
    return sum(metric("streamer_deliver_connections", partner="acme", format=fmt) for fmt in formats)


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
            if read in IN_PROGRAMS:
                reading.cancel()


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
    assert set(made.sink.encodings) == {encoding}
    assert set(made.sink.refused) <= {"503 5", "503 -"}  # came while the server was draining
    assert not made.sink.empty
    # what the client itself gives out twice, or torn, its reader must know
    assert bool(made.sink.torn) == (name == "sseclient-py-http-1.0")
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
