"""Many clients of both formats, cut anywhere, resume by what they have and see the same sequence."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from harness.delivering import PARTITIONS, Delivering, bearer, delivering
from harness.schema import checked

from streamer.config import DeliverSettings

CLIENTS_OF_EACH: Final = 10
BATCHES: Final = 60
UNLIMITED: Final = "limits = { requests_per_minute = 0 }"
HOUR_MS: Final = 3_600_000
QUIET_S: Final = 2.0
"""Nothing for so long, from a server that has answered: there is no more. On a busy machine half a second was
at times over before a client had got anything at all.
"""


@dataclass
class Client:
    """Takes what arrived whole, breaks off after a random number of bytes, and comes back."""

    server: Delivering
    rng: random.Random
    got: list[tuple[int, int, int, int]] = field(default_factory=list)
    """(partition, offset, page, sequence), in the order of arrival."""
    breaks: int = 0

    def ask(self) -> tuple[dict[str, str], dict[str, str]]:
        """Headers and parameters of the next request."""
        raise NotImplementedError

    def take(self, line: bytes) -> None:
        """One whole line."""
        raise NotImplementedError

    def note(self, data: bytes) -> None:
        article = checked(json.loads(data))
        about = article["event"]
        self.got.append((about["partition"], about["offset"], article["identifier"], about["sequence"]))

    async def follow(self, done: asyncio.Event) -> None:
        """Until it has been given nothing new for a while after the end of all writing."""
        while True:
            finished, before = done.is_set(), len(self.got)
            budget = self.rng.choice([0, 300, 3_000, 30_000, 10_000_000])
            try:
                if finished:
                    await self.connection(10_000_000, quiet_s=QUIET_S)
                else:
                    async with asyncio.timeout(self.rng.uniform(0.02, 3)):
                        await self.connection(budget)
            except (TimeoutError, aiohttp.ClientError, ConnectionError):
                pass
            self.breaks += 1
            if finished and len(self.got) == before:
                return

    async def connection(self, budget: int, *, quiet_s: float | None = None) -> None:
        """Until it has taken so many bytes, or nothing came for `quiet_s` once it was answered."""
        headers, params = self.ask()
        now_s = asyncio.get_running_loop().time
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.server.url, headers=headers, params=params) as answer,
        ):
            assert answer.status == 200, await answer.text()
            rest = b""
            async with asyncio.timeout(quiet_s) as quiet:
                while budget >= 0 and (
                    chunk := await answer.content.read(self.rng.choice([7, 1_000, 50_000]))
                ):
                    if quiet_s is not None:
                        quiet.reschedule(now_s() + quiet_s)
                    chunk = chunk[: budget + 1]
                    budget -= len(chunk)
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        self.take(line)
                    if self.rng.random() < 0.02:
                        await asyncio.sleep(0.05)  # a slow one


@dataclass
class SseClient(Client):
    last_id: str = ""
    _id: str = ""
    _data: bytes = b""

    def ask(self) -> tuple[dict[str, str], dict[str, str]]:
        self._id, self._data = "", b""
        if self.last_id:
            return bearer(**{"Last-Event-ID": self.last_id}), {}
        return bearer(), {"since": "2020-01-01T00:00:00Z"}

    def take(self, line: bytes) -> None:
        if line.startswith(b"id: "):
            self._id = line[4:].decode()
        elif line.startswith(b"event: "):
            assert line in (b"event: cursor", b"event: bye"), line
        elif line.startswith(b"data: {") and not line.startswith((b'data: {"position"', b'data: {"reason"')):
            self._data = line[6:]
        elif not line:
            if self._data:
                self.note(self._data)
            self.last_id = self._id or self.last_id
            self._id, self._data = "", b""


@dataclass
class NdjsonClient(Client):
    next: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(PARTITIONS), 0))

    def ask(self) -> tuple[dict[str, str], dict[str, str]]:
        offsets = {str(partition): offset for partition, offset in self.next.items()}
        return bearer(Accept="application/x-ndjson"), {"offsets": json.dumps(offsets)}

    def take(self, line: bytes) -> None:
        self.note(line)
        partition, offset, *_ = self.got[-1]
        self.next[partition] = offset + 1


@asynccontextmanager
async def fanned_out(
    server: Delivering, rng: random.Random, done: asyncio.Event
) -> AsyncIterator[list[Client]]:
    clients: list[Client] = []
    for _ in range(CLIENTS_OF_EACH):
        clients += [
            SseClient(server, random.Random(rng.random())),
            NdjsonClient(server, random.Random(rng.random())),
        ]
    async with asyncio.timeout(50), asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.follow(done))
        yield clients
        done.set()


def by_partition(client: Client) -> Iterator[list[int]]:
    """Each partition's sequences; the offsets behind them only grow: no double, no other order."""
    for partition in range(PARTITIONS):
        rows = [row for row in client.got if row[0] == partition]
        offsets = [offset for _, offset, _, _ in rows]
        assert offsets == sorted(set(offsets))
        yield [sequence for _, _, _, sequence in rows]


@pytest.mark.usefixtures("costly_way")
async def test_all_clients_see_the_same_sequence(tmp_path: Path, rng: random.Random) -> None:
    """Whatever the format, wherever the cut, however slow: every record once, in its partition's order."""
    settings = DeliverSettings(retained_mb=0.02)  # some are cut for being slow
    async with delivering(tmp_path, limits=UNLIMITED, deliver=settings) as server:
        async with fanned_out(server, rng, asyncio.Event()) as clients:
            for batch in range(BATCHES):
                text = "x" * rng.choice([10, 10, 5_000])
                await server.write([rng.randrange(1, 60) for _ in range(rng.randrange(1, 10))], text=text)
                if batch % 7 == 0:
                    await server.write_silent([rng.randrange(1, 60)])
                await asyncio.sleep(rng.random() * 0.05)
        wanted = [[s for p, s in server.written if p == partition] for partition in range(PARTITIONS)]
        for client in clients:
            assert list(by_partition(client)) == wanted
        assert sum(client.breaks for client in clients) > 3 * len(clients)


@pytest.mark.usefixtures("costly_way")
async def test_compaction_and_withdrawal_under_all_clients(tmp_path: Path, rng: random.Random) -> None:
    """What is compacted or withdrawn meanwhile may be missing, and nothing else: of each page the newest
    state arrives, unless it is withdrawn; nothing comes twice, nothing out of order.
    """
    now_ms = [1_795_000_000_000]
    async with delivering(tmp_path, limits=UNLIMITED, log_clock=lambda: now_ms[0]) as server:
        newest: dict[int, int] = {}
        async with fanned_out(server, rng, asyncio.Event()) as clients:
            for batch in range(BATCHES):
                pages = [rng.randrange(1, 25) for _ in range(rng.randrange(1, 8))]
                newest.update(zip(pages, await server.write(pages), strict=True))
                if batch % 9 == 4:
                    withdrawn = rng.choice(pages)
                    del newest[withdrawn]
                    await server.withdraw(withdrawn)
                if batch % 13 == 6:
                    now_ms[0] += 5 * HOUR_MS
                    await server.log.clean()
                await asyncio.sleep(rng.random() * 0.05)
        written = {s for _, s in server.written}
        for client in clients:
            seen = {sequence for rows in by_partition(client) for sequence in rows}
            assert seen <= written
            last = {page: sequence for _, _, page, sequence in client.got}
            for page, sequence in newest.items():
                assert last[page] == sequence
