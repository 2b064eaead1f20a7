"""Our own service on one engine, in a thread of its own: tests see a URL and a key, as everybody does.

`prepared` feeds are partners of that service, each with a topic and limits of its own, that a test fills,
harms and looks at from behind. Tests of a foreign URL have nothing of this module.
"""

import asyncio
import dataclasses
import itertools
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from msgspec.structs import replace

from streamer.config import DeliverSettings
from streamer.log.base import Bounds, Record, TopicPartition, TopicSpec, partition_of
from streamer.log.local import LocalLog
from streamer.model import Hideable, article_headers, encode_value, page_key
from streamer.partners import hash_key
from streamer.runtime import Runtime, article_spec
from tests.conformance.endpoint.articles import Varied
from tests.conformance.endpoint.wire import Endpoint, Key
from tests.harness.delivering import PARTITIONS, Delivering, delivering, serving
from tests.harness.on_kafka import OnKafka

T = TypeVar("T")
HEARTBEAT_S = 0.3
SOME_ARTICLES = 120
"""In the feed that the black-box tests are given."""
TRICKLE_S = 0.2
"""And one more every so often: live tests have something to wait for."""
TTL_OF_NOTHING_MS = 1
KEY_OF_EVERYBODY = Key("wrs_conformance-key-of-everybody")


@dataclass
class Service:
    """`start` it and `stop` it from the tests' thread; `do` runs something of ours beside it."""

    folder: Path
    kafka: OnKafka | None = None
    key: Key = KEY_OF_EVERYBODY
    """Of the feed that black-box tests are given."""
    _keys: dict[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    _numbers: Iterable[int] = field(default_factory=itertools.count)

    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self.loop.run_forever, name="service", daemon=True)
        self._thread.start()
        started: asyncio.Future[None] = asyncio.run_coroutine_threadsafe(self._started(), self.loop)  # type: ignore[assignment] # both wait
        started.result(60)

    async def _started(self) -> None:
        up: asyncio.Future[None] = self.loop.create_future()
        self._running = self.loop.create_task(self._run(up))
        await asyncio.wait({self._running, up}, return_when=asyncio.FIRST_COMPLETED)
        if self._running.done():
            self._running.result()

    async def _run(self, up: asyncio.Future[None]) -> None:
        settings = DeliverSettings(heartbeat_s=HEARTBEAT_S)
        async with delivering(self.folder, deliver=settings, kafka=self.kafka) as self.server:
            everybody = await self._made("everybody", self.key, "limits = { requests_per_minute = 6000 }")
            await everybody.write(Varied.some(SOME_ARTICLES))
            up.set_result(None)
            trickle = itertools.cycle(Varied.some(SOME_ARTICLES))
            while not self._stop.is_set():
                await everybody.write([next(trickle)])
                with suppress(TimeoutError):
                    async with asyncio.timeout(TRICKLE_S):
                        await self._stop.wait()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        asyncio.run_coroutine_threadsafe(asyncio.wait({self._running}), self.loop).result(60)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self._running.result()
        self.loop.close()

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.server.url, self.key)

    # ── in the service's own loop ──────────────────────────────────────────────────────────────

    async def _made(self, name: str, key: str, table: str) -> "Behind":
        await self._said(name, key, table)
        behind = Behind(self.server.runtime, self.server, name, page=1_000_000 * (1 + next(self._numbers)))  # type: ignore[call-overload] # a count
        await self.server.log.ensure_topics([behind.spec])
        return behind

    async def _said(self, name: str, key: str, table: str) -> None:
        self._keys[name] = key, table
        await self._written()

    async def _written(self) -> None:
        generation = self.server.partners.generation
        lines = [
            f'[{name}]\nkeys = ["{hash_key(k)}"]\nlists = ["categories"]\n{table}'
            for name, (k, table) in self._keys.items()
        ]
        self.server.file.write_text("\n".join(lines))
        async with asyncio.timeout(30):
            await self.server.partners.changed(generation)

    async def revoke(self, name: str) -> None:
        del self._keys[name]
        await self._written()

    # ── for tests ──────────────────────────────────────────────────────────────────────────────

    async def prepared(self, table: str = "limits = { requests_per_minute = 0 }") -> "Prepared":
        """A feed of its own, empty, whose partner's table holds this."""
        number = next(self._numbers)  # type: ignore[call-overload] # a count
        name, key = f"p{number}", Key(f"wrs_conformance-key-{number}-of-nobody-else")
        return Prepared(self, name, key, await self.do(self._made(name, key, table)))


class Behind:
    """A partner's topic, from the side of the log. Its pages are no other feed's: cut-offs go by page."""

    def __init__(self, runtime: Runtime, server: Delivering, name: str, *, page: int) -> None:
        self.server = Delivering(runtime, server.log, server.partners, server.file, partner=name)
        self.log = server.log
        self.page = page
        self.spec = article_spec(runtime.settings, self.server.topic)

    async def write(self, articles: Iterable[Varied]) -> None:
        records = []
        for article in articles:
            self.server.sequence += 1
            made = article.made(self.page, self.server.sequence)
            key = f"{article.wiki}:{made.identifier}"
            headers = article_headers(made, key=key, server_name="x.example", edited_ms=1_763_726_400_000)
            records.append(
                Record(self.server.topic, partition_of(key, PARTITIONS), key, encode_value(made), headers)
            )
        await self.log.append(records)

    async def bounds(self) -> list[Bounds]:
        return await self.log.all_bounds(self.server.topic)

    async def epoch(self) -> str:
        info = await self.log.topic(self.server.topic)
        assert info is not None
        return info.epoch

    async def expire(self) -> None:
        """All that is there goes, as retention takes it."""
        if isinstance(self.log, LocalLog):
            await self.log.ensure_topics([_with_retention(self.spec, TTL_OF_NOTHING_MS)])
            async with asyncio.timeout(60):
                while await self._holds_any():  # the newest is older than nothing a moment later
                    await self.log.clean()
                    await asyncio.sleep(0.005)
            await self.log.ensure_topics([self.spec])
        else:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.log._access.bootstrap)
            await admin.start()
            try:
                places = {
                    KafkaPartition(self.server.topic, p): RecordsToDelete(before_offset=bounds.end)
                    for p, bounds in enumerate(await self.bounds())
                    if bounds.end > bounds.earliest
                }
                await admin.delete_records(places)
            finally:
                await admin.close()
            async with asyncio.timeout(60):
                while await self._holds_any():
                    await asyncio.sleep(0.02)

    async def _holds_any(self) -> bool:
        return any(bounds.earliest < bounds.end for bounds in await self.bounds())

    async def recreate(self) -> None:
        await self.log.delete_topic(self.server.topic)
        await self.log.ensure_topics([self.spec])


@dataclass
class Prepared:
    """A feed that a test may do anything to."""

    service: Service
    name: str
    key: Key = field(repr=False)
    behind: Behind

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.service.server.url, self.key)

    @property
    def engine(self) -> str:
        return "kafka" if self.service.kafka else "local"

    @property
    def topic(self) -> str:
        return self.behind.server.topic

    def page(self, number: int) -> int:
        """The page id that articles of this page have here."""
        return self.behind.page + number

    def page_in_each_partition(self) -> list[int]:
        """By partition, an article's page (of the wiki that is meant where none is said)."""
        found: dict[int, int] = {}
        for page in itertools.count(500):
            found.setdefault(partition_of(page_key("enwiki", self.page(page)), PARTITIONS), page)
            if len(found) == PARTITIONS:
                break
        return [found[partition] for partition in range(PARTITIONS)]

    async def write(self, articles: Iterable[Varied]) -> None:
        """In one append."""
        await self.service.do(self.behind.write(articles))

    async def write_silent(self, pages: Iterable[int]) -> None:
        """The position moves without an article."""
        await self.service.do(self.behind.server.write_silent(pages))

    async def withdraw(self, page: int, hides: Sequence[Hideable] = ("text",)) -> None:
        """Everything of that page so far."""
        await self.service.do(self.behind.server.withdraw(self.page(page), hides))

    async def bounds(self) -> list[Bounds]:
        return await self.service.do(self.behind.bounds())

    async def epoch(self) -> str:
        return await self.service.do(self.behind.epoch())

    async def time_of(self, partition: int, offset: int) -> int:
        """When that record was appended (Unix, ms)."""
        return await self.service.do(self._time_of(partition, offset))

    async def _time_of(self, partition: int, offset: int) -> int:
        async with self.behind.log.reader({TopicPartition(self.topic, partition): offset}) as reader:
            return (await reader.read(max_records=1, wait_s=5))[0].timestamp_ms

    async def expire(self) -> None:
        await self.service.do(self.behind.expire())

    async def recreate(self) -> None:
        await self.service.do(self.behind.recreate())

    async def remove_topic(self) -> None:
        await self.service.do(self.behind.log.delete_topic(self.topic))

    async def revoke(self) -> None:
        """The partner and its key are gone from the file."""
        await self.service.do(self.service.revoke(self.name))

    @asynccontextmanager
    async def another_server(self, settings: DeliverSettings) -> AsyncIterator["AnotherServer"]:
        """With settings of its own, on the same log and with the same partners."""
        service = self.service
        loop = service.loop
        up, stop = loop.create_future(), asyncio.Event()

        async def run() -> None:
            runtime = Runtime(
                replace(service.server.runtime.settings, deliver=replace(settings, port=0)),
                service.server.log,
            )
            server = Delivering(runtime, service.server.log, service.server.partners, service.server.file)
            async with serving(server):
                up.set_result(server)
                await stop.wait()

        running = asyncio.run_coroutine_threadsafe(run(), loop)
        try:

            async def bound() -> Delivering:
                async with asyncio.timeout(60):
                    return await up

            server = await service.do(bound())
            yield AnotherServer(Endpoint(server.url, self.key), server, loop)
        finally:
            loop.call_soon_threadsafe(stop.set)
            await asyncio.wrap_future(running)


@dataclass
class AnotherServer:
    endpoint: Endpoint
    _server: Delivering
    _loop: asyncio.AbstractEventLoop

    def drain(self) -> None:
        self._loop.call_soon_threadsafe(self._server.runtime.draining.set)


def _with_retention(spec: TopicSpec, retention_ms: int) -> TopicSpec:
    return dataclasses.replace(spec, retention_ms=retention_ms)
