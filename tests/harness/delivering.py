"""The role `deliver` over a real log, in this process, with articles written by hand."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from msgspec.structs import replace

from harness.on_kafka import OnKafka
from streamer.config import DeliverSettings, LogSettings, Settings
from streamer.cutoffs import cutoff_record
from streamer.deliver.server import run_deliver
from streamer.log.base import Record, partition_of
from streamer.log.kafka import KafkaLog
from streamer.log.local import LocalLog
from streamer.metrics import REGISTRY
from streamer.model import (
    TICK_KEY,
    Article,
    Editor,
    Event,
    Hideable,
    Namespace,
    Project,
    Version,
    Visibility,
    article_headers,
    encode_value,
    identifier_of_event,
    page_key,
)
from streamer.partners import PartnersWatch, hash_key
from streamer.runtime import Runtime, article_spec, topic_specs

KEY = "wrs_test-key-of-acme"
OTHER_KEY = "wrs_test-key-of-globex"
PARTITIONS = 10
HEARTBEAT_S = 120.0
"""None helps out what ought to come by itself, and sets nothing to rights."""


def partners_toml(*, acme: str = KEY, limits: str = "") -> str:
    lists = 'lists = ["categories", "templates", "redirects"]'
    acme_table = f'[acme]\nkeys = ["{hash_key(acme)}"]\n{lists}\n{limits}'
    return f'{acme_table}\n[globex]\nkeys = ["{hash_key(OTHER_KEY)}"]\n'


def article_record(
    topic: str,
    page: int,
    revision: int,
    sequence: int,
    *,
    text: str = "",
    comment: str = "why",
    editor: str = "Somebody",
) -> Record:
    article = Article(
        name=f"Page {page}",
        identifier=page,
        url=f"https://en.example.org/wiki/Page_{page}",
        namespace=Namespace(0, ""),
        is_part_of=Project("enwiki"),
        event=Event(
            identifier_of_event(f"event-{sequence}"),
            "update",
            "edit",
            sequence,
            "2026-11-21T12:00:00.000Z",
            "2026-11-21T12:00:01.000Z",
        ),
        version=Version(revision, comment=comment, editor=Editor(1, editor)),
        article_body={"wikitext": text or f"text {sequence}"},  # type: ignore[arg-type] # shape is what counts
        visibility=Visibility(),
    )
    key = page_key("enwiki", page)
    headers = article_headers(article, key=key, server_name="en.example.org", edited_ms=1_763_726_400_000)
    return Record(topic, partition_of(key, PARTITIONS), key, encode_value(article), headers)


@dataclass
class Delivering:
    runtime: Runtime
    log: LocalLog | KafkaLog
    partners: PartnersWatch
    file: Path
    port: int = 0
    sequence: int = 0
    written: list[tuple[int, int]] = field(default_factory=list)
    """(partition, sequence) of every article, in the order of the log."""
    partner: str = "acme"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v2/articles"

    @property
    def topic(self) -> str:
        return self.runtime.topics.of_partner(self.partner)

    async def write(self, pages: Iterable[int], *, text: str = "") -> list[int]:
        """One article each, in one commit; their sequences."""
        records = []
        sequences = []
        for page in pages:
            self.sequence += 1
            sequences.append(self.sequence)
            records.append(article_record(self.topic, page, 1000 + self.sequence, self.sequence, text=text))
        await self.log.append(records)
        self.written.extend((r.partition, s) for r, s in zip(records, sequences, strict=True))
        return sequences

    async def write_silent(self, pages: Iterable[int]) -> None:
        """Tombstones and ticks: the position moves without an article."""
        records = []
        for page in pages:
            key = page_key("enwiki", page)
            partition = partition_of(key, PARTITIONS)
            records.append(Record(self.topic, partition, f"{key}/9", None))
            records.append(Record(self.topic, partition, TICK_KEY, b"{}", (("ce_type", b"wiki.tick"),)))
        await self.log.append(records)

    async def withdraw(self, page: int, hides: Sequence[Hideable] = ("text",), *, revision: int = 0) -> None:
        self.sequence += 1
        await self.log.append(
            [
                cutoff_record(
                    self.runtime.topics.withdrawals,
                    PARTITIONS,
                    wiki="enwiki",
                    page_id=page,
                    revision=revision,
                    sequence=self.sequence,
                    hides=tuple(hides),
                )
            ]
        )


@asynccontextmanager
async def delivering(
    folder: Path,
    *,
    limits: str = "",
    deliver: DeliverSettings | None = None,
    log_clock: Callable[[], int] | None = None,
    poll_s: float = 0.05,
    kafka: OnKafka | None = None,
) -> AsyncIterator[Delivering]:
    """On the embedded log, or on that cluster."""
    file = folder / "partners.toml"
    file.write_text(partners_toml(limits=limits))
    settings = Settings(
        log=LogSettings(path=str(folder / "log.db"), prefix=kafka.prefix if kafka else "wiki"),
        deliver=replace(deliver or DeliverSettings(heartbeat_s=HEARTBEAT_S), port=0),
    )
    opening: AbstractAsyncContextManager[LocalLog | KafkaLog]
    opening = kafka.open() if kafka else LocalLog(folder / "log.db", clock=log_clock)
    async with opening as log:
        await log.ensure_topics(topic_specs(settings))
        runtime = Runtime(settings, log)
        await log.ensure_topics([article_spec(settings, runtime.topics.of_partner("acme"))])
        partners = PartnersWatch(file, poll_s=poll_s)
        server = Delivering(runtime, log, partners, file)
        async with serving(server):
            yield server


@asynccontextmanager
async def serving(server: Delivering) -> AsyncIterator[None]:
    """Ends by cancelling, as a crash would, unless it was drained."""
    bound = asyncio.Event()

    def listening(port: int) -> None:
        server.port = port
        bound.set()

    async with asyncio.TaskGroup() as group:
        role = group.create_task(run_deliver(server.runtime, server.partners, on_listening=listening))
        watching = group.create_task(server.partners.run())
        try:
            async with asyncio.timeout(30):
                await bound.wait()
            yield
        finally:
            role.cancel()
            watching.cancel()


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def streams_open(count: int) -> None:
    """Waits until acme has so many SSE streams."""
    async with asyncio.timeout(30):
        while metric("streamer_deliver_connections", partner="acme", format="sse") != count:
            await asyncio.sleep(0.01)


def bearer(key: str = KEY, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", **more}


@asynccontextmanager
async def raw(
    server: Delivering,
    head: str = "",
    *,
    target: str = "/v2/articles",
    receive_buffer: int = 0,
    key: str = KEY,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A socket with a GET already sent, so that every byte can be looked at. `key` "": without one."""
    sock = socket.socket()
    sock.setblocking(False)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(
        sock=sock, limit=65_536, ssl=tls, server_hostname=None if tls is None else "localhost"
    )
    if key:
        head += f"Authorization: Bearer {key}\r\n"
    writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def problem(
    server: Delivering,
    status: int,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    params: dict[str, str] | None = None,
    data: bytes | None = None,
) -> dict[str, object]:
    """The problem that this request gets; asserts its shape."""
    headers = bearer() if headers is None else headers
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
        session.request(method, server.url, headers=headers, params=params, data=data) as answer,
    ):
        assert answer.status == status, (answer.status, await answer.text())
        assert answer.content_type == "application/problem+json"
        body: dict[str, object] = await answer.json(content_type=None)
        assert {"type", "title", "status", "detail", "message"} <= body.keys()
        assert body["status"] == status
        return body
