"""The EventStreams client and its resume, against a server on loopback that behaves like upstream."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from streamer.config import Settings, SourceSettings
from streamer.log.base import TopicPartition
from streamer.log.local import LocalLog
from streamer.metrics import COMMITTED, REGISTRY
from streamer.model import Topics, identifier_of_revision
from streamer.runtime import Runtime, topic_specs
from streamer.source.stage import run_source

CHANGES = Topics().changes
TOPIC = "eqiad.mediawiki.recentchange"
BASE_MS = 1_767_225_600_000
DEADLINE_S = 30.0


def edit(revision: int, at_ms: int, topic: str = TOPIC) -> dict[str, object]:
    seconds, ms = divmod(at_ms - BASE_MS, 1_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return {
        "$schema": "/mediawiki/recentchange/1.0.0",
        "meta": {
            "id": f"00000000-0000-0000-0000-{revision:012}",
            "dt": f"2026-01-01T{hours:02}:{minutes:02}:{seconds:02}.{ms:03}Z",
            "domain": "x.example.org",
            "stream": "mediawiki.recentchange",
            "topic": topic,
            "partition": 0,
        },
        "type": "edit",
        "namespace": 0,
        "title": "Page",
        "timestamp": at_ms // 1_000,
        "user": "Somebody",
        "revision": {"old": revision - 1, "new": revision},
        "server_name": "x.example.org",
        "wiki": f"w{revision % 5}wiki",
    }


class Upstream:
    """Like EventStreams: coarse ids (time + 1 ms), look-up by time, live from now without an id."""

    def __init__(self) -> None:
        self.events: list[tuple[int, dict[str, object]]] = []
        self.asked: list[str] = []
        self.agents: list[str] = []
        self.cut_after: list[int] = []
        """How many events each connection gets before it is cut; then for ever."""
        self.answers: list[web.Response] = []
        self.lost_before_ms = 0
        self.pieces: list[bytes] = []
        """Sent instead of events, then the connection stays open."""
        self.connections = 0
        self._more = asyncio.Event()
        self.url = ""

    def tell(self, *events: tuple[int, dict[str, object]]) -> None:
        self.events.extend(events)
        self._more.set()

    def frame(self, index: int) -> bytes:
        """Each entry is the time of the last event of its topic, which steps back as upstream's do."""
        topics: dict[str, int] = {}
        for at_ms, event in self.events[: index + 1]:
            topics[event["meta"]["topic"]] = at_ms + 1  # type: ignore[index]
        entries: list[dict[str, object]] = [
            {"topic": topic, "partition": 0, "timestamp": topics[topic]}
            if topic in topics
            else {"topic": topic, "partition": 0, "offset": -1}
            for topic in (TOPIC, TOPIC.replace("eqiad", "codfw"))
        ]
        data = msgspec.json.encode(self.events[index][1])
        return b"event: message\nid: " + msgspec.json.encode(entries) + b"\ndata: " + data + b"\n\n"

    def first_after(self, last_id: str) -> dict[str, int]:
        """Per topic the index of the first event at or after the time that was asked for."""
        starts: dict[str, int] = {}
        for entry in msgspec.json.decode(last_id):
            starts[entry["topic"]] = next(
                (
                    i
                    for i, (at_ms, event) in enumerate(self.events)
                    if event["meta"]["topic"] == entry["topic"]  # type: ignore[index]
                    and at_ms >= max(entry["timestamp"], self.lost_before_ms)
                ),
                len(self.events),
            )
        return starts

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.connections += 1
        self.agents.append(request.headers["User-Agent"])
        if self.answers:
            return self.answers.pop(0)
        last_id = request.headers.get("Last-Event-ID", "")
        self.asked.append(last_id)
        starts = self.first_after(last_id) if last_id else {TOPIC: len(self.events)}
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        await response.write(b":ok\nretry: 10\n\n")
        for piece in self.pieces:
            await response.write(piece)
        left = self.cut_after.pop(0) if self.cut_after else 1_000_000
        at = min(starts.values())
        while left:
            if at == len(self.events):
                self._more.clear()
                await self._more.wait()
                continue
            topic = self.events[at][1]["meta"]["topic"]  # type: ignore[index]
            if at >= starts.get(topic, 0):
                await response.write(self.frame(at))
                left -= 1
            at += 1
        assert request.transport
        request.transport.abort()
        return response


@asynccontextmanager
async def serving() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    app = web.Application()
    app.router.add_get("/v2/stream/{streams}", upstream.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    upstream.url = f"http://127.0.0.1:{port}/v2/stream"
    try:
        yield upstream
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(path: Path, upstream: Upstream, **source: object) -> AsyncIterator[Runtime]:
    """The source runs within; drained at the end."""
    settings = Settings(
        source=SourceSettings(url=upstream.url, streams=("recentchange",), contact="me@example.org", **source)  # type: ignore[arg-type]
    )
    async with LocalLog(path) as log:
        await log.ensure_topics(topic_specs(settings))
        runtime = Runtime(settings, log)
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(run_source(runtime))
            yield runtime
            runtime.draining.set()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)


def admitted() -> int:
    return COMMITTED.totals("source").get("admitted", 0)


async def identifiers(path: Path) -> list[str]:
    async with LocalLog(path) as log:
        tps = [TopicPartition(CHANGES, partition) for partition in range(10)]
        ends = {tp: (await log.bounds(tp)).end for tp in tps}
        found: list[str] = []
        async with log.reader(dict.fromkeys(tps, 0)) as reader:
            while any(reader.position(tp) < end for tp, end in ends.items()):
                found += [stored.header("ce_id") for stored in await reader.read()]
        return found


def expected(*revisions: int) -> list[str]:
    return sorted(identifier_of_revision(f"w{n % 5}wiki", n) for n in revisions)


async def test_live_from_now_with_a_proper_user_agent(tmp_path: Path) -> None:
    """The first start asks for no past, and says who asks."""
    async with serving() as upstream:
        upstream.tell((BASE_MS, edit(1, BASE_MS)))
        async with running(tmp_path / "log.db", upstream) as runtime:
            await until(lambda: upstream.connections == 1 and not runtime.health.problems())
            upstream.tell((BASE_MS + 5, edit(2, BASE_MS + 5)))
            await until(lambda: admitted() == 1)
        assert upstream.asked == [""]
        assert "me@example.org" in upstream.agents[0]
    assert await identifiers(tmp_path / "log.db") == expected(2)


async def test_an_empty_log_begins_where_it_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With `since` the first start asks for the past, over cuts, and each event comes once; a log that holds
    something goes on from there, whatever `since` says; and that upstream doesn't reach back so far is a gap.
    """
    path, since = tmp_path / "log.db", datetime.fromtimestamp(BASE_MS / 1_000 + 60, UTC)
    gaps = REGISTRY.get_sample_value("streamer_source_gaps_total") or 0
    async with serving() as upstream:
        times = [BASE_MS + n * 1_000 for n in range(700)]
        upstream.tell(*((at_ms, edit(n + 1, at_ms)) for n, at_ms in enumerate(times)))
        upstream.cut_after = [200, 300]
        async with running(path, upstream, since=since):
            await until(lambda: admitted() == 650)  # the rewind is 10 s
        asked = msgspec.json.decode(upstream.asked[0])
        assert {entry["timestamp"] for entry in asked} == {BASE_MS + 50_000}
        async with running(path, upstream, since=since - timedelta(days=7)):
            upstream.tell((times[-1] + 1, edit(701, times[-1] + 1)))
            await until(lambda: admitted() == 651)
        assert sorted(await identifiers(path)) == expected(*range(51, 702))
        assert REGISTRY.get_sample_value("streamer_source_gaps_total") == gaps

        with caplog.at_level(logging.ERROR):
            async with running(tmp_path / "2.db", upstream, since=since - timedelta(days=7)):
                await until(lambda: admitted() == 701)
        assert REGISTRY.get_sample_value("streamer_source_gaps_total") == gaps + 1
        assert "does not reach back to source.since" in caplog.text


async def test_cuts_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """Cut after every few events, with ids that repeat, skip events of the same instant and step back by
    15 s, each event is told once; and each resume asks for both data centres by time.
    """
    async with serving() as upstream:
        upstream.cut_after = [7] * 300  # the first ones of a connection are mostly repetitions
        async with running(tmp_path / "log.db", upstream, rewind_s=2.0) as runtime:
            await until(lambda: upstream.connections == 1 and not runtime.health.problems())
            upstream.cut_after = [9, 40, 60, 80, 100, 120, 150, 200]
            times = [BASE_MS + 20_000 + (n // 6) * 1_000 - (9_000 if n % 11 == 3 else 0) for n in range(90)]
            upstream.tell(*((at_ms, edit(n + 1, at_ms)) for n, at_ms in enumerate(times)))
            await until(lambda: admitted() == 90)
        asked = msgspec.json.decode(upstream.asked[-1])
        assert len(upstream.asked) > 2
        assert {entry["topic"] for entry in asked} == {TOPIC, TOPIC.replace("eqiad", "codfw")}
        assert all("timestamp" in entry for entry in asked)
    found = await identifiers(tmp_path / "log.db")
    assert sorted(found) == expected(*range(1, 91))


async def test_a_restart_resumes_where_it_was(tmp_path: Path) -> None:
    """What came while it was down is told; what it had told, even of the same millisecond, is not told
    again: the identifiers are read back.
    """
    path = tmp_path / "log.db"
    async with serving() as upstream:
        async with running(path, upstream) as runtime:
            await until(lambda: upstream.connections == 1 and not runtime.health.problems())
            upstream.tell(*((BASE_MS, edit(n, BASE_MS)) for n in range(1, 11)))
            await until(lambda: admitted() == 10)
        upstream.tell(*((BASE_MS, edit(n, BASE_MS)) for n in range(11, 16)))
        upstream.tell(*((BASE_MS + n, edit(n, BASE_MS + n)) for n in range(16, 21)))
        async with running(path, upstream):
            await until(lambda: admitted() == 20)
    assert sorted(await identifiers(path)) == expected(*range(1, 21))


async def test_a_switch_of_data_centres_loses_nothing(tmp_path: Path) -> None:
    """What the other data centre produced between two connections comes, though nothing was ever read of
    its topic.
    """
    path = tmp_path / "log.db"
    codfw = TOPIC.replace("eqiad", "codfw")
    now_ms = 1_767_225_600_000 + 3_600_000
    async with serving() as upstream:
        async with running(path, upstream) as runtime:
            await until(lambda: upstream.connections == 1 and not runtime.health.problems())
            upstream.tell((now_ms, edit(1, now_ms)))
            await until(lambda: admitted() == 1)
        # the feed began at this machine's now, which lies after the invented times
        later_ms = 4_000_000_000_000
        upstream.tell((later_ms, edit(2, now_ms + 10, codfw)))
        async with running(path, upstream):
            await until(lambda: admitted() == 2)


async def test_a_gap_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When upstream no longer has what it must send again after a rewind, an alarm says so."""
    path = tmp_path / "log.db"
    async with serving() as upstream:
        async with running(path, upstream) as runtime:
            await until(lambda: upstream.connections == 1 and not runtime.health.problems())
            upstream.tell((BASE_MS, edit(1, BASE_MS)))
            await until(lambda: admitted() == 1)
        gaps = REGISTRY.get_sample_value("streamer_source_gaps_total") or 0
        upstream.lost_before_ms = BASE_MS + 60_000
        upstream.tell((BASE_MS + 90_000, edit(2, BASE_MS + 90_000)))
        with caplog.at_level(logging.ERROR):
            async with running(path, upstream):
                await until(lambda: admitted() == 2)
        assert REGISTRY.get_sample_value("streamer_source_gaps_total") == gaps + 1
        assert "a gap" in caplog.text


async def test_refusals_are_waited_out_and_said(tmp_path: Path) -> None:
    """429 with Retry-After: not ready, with the reason, and another try after that time."""
    async with serving() as upstream:
        upstream.answers = [web.Response(status=429, headers={"Retry-After": "1"})]
        async with running(tmp_path / "log.db", upstream) as runtime:
            await until(lambda: upstream.connections == 1)
            await until(lambda: "429" in runtime.health.problems().get("source", ""))
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            await until(lambda: upstream.connections == 2)
            assert loop.time() - began_s >= 0.5
            await until(lambda: not runtime.health.problems())


async def test_a_retry_after_of_nonsense_is_waited_out_too(tmp_path: Path) -> None:
    """A date that no clock reaches ends the wait for it, not the source."""
    async with serving() as upstream:
        nonsense = "Sat, 21 Nov 99999999999999999999 11:00:00 GMT"
        upstream.answers = [web.Response(status=503, headers={"Retry-After": nonsense})]
        async with running(tmp_path / "log.db", upstream) as runtime:
            await until(lambda: upstream.connections == 2)
            await until(lambda: not runtime.health.problems())


async def test_a_broken_connection_is_told_without_its_bytes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """HTTP that breaks off inside an event: neither the log nor `/readyz` repeats what stood there."""

    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"no size: Somebody\r\n"
        )
        await writer.drain()
        writer.close()

    upstream = Upstream()
    async with await asyncio.start_server(breaks, "127.0.0.1", 0) as server:
        upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v2/stream"
        with caplog.at_level(logging.INFO):
            async with running(tmp_path / "log.db", upstream) as runtime:
                await until(lambda: "can't be read" in runtime.health.problems().get("source", ""))
                told = runtime.health.problems()["source"]
    assert any(record.getMessage() == "the connection to the stream broke" for record in caplog.records)
    assert "Somebody" not in told + "".join(str(vars(record)) for record in caplog.records)


async def test_a_silent_connection_is_given_up(tmp_path: Path) -> None:
    """No byte for `silence_s`: it is dropped and a new one opened."""
    async with serving() as upstream, running(tmp_path / "log.db", upstream, silence_s=0.2):
        await until(lambda: upstream.connections >= 2)


async def test_an_oversized_event_and_noise_cost_nothing_else(tmp_path: Path) -> None:
    """A frame beyond the bound is skipped while it arrives; the next event is told."""
    async with serving() as upstream:
        upstream.pieces = [b"data: ", *[b"x" * 50_000] * 20, b"\n\n", b"data: \xff\n\n"]
        before = (
            REGISTRY.get_sample_value("streamer_source_dropped_total", {"reason": "frame_too_large"}) or 0
        )
        async with running(tmp_path / "log.db", upstream, max_event_bytes=65_536) as runtime:
            await until(lambda: upstream.connections == 1 and not runtime.health.problems())
            upstream.tell((BASE_MS, edit(1, BASE_MS)))
            await until(lambda: admitted() == 1)
        after = REGISTRY.get_sample_value("streamer_source_dropped_total", {"reason": "frame_too_large"})
        assert after == before + 1


async def test_a_drain_commits_what_was_read(tmp_path: Path) -> None:
    """Drained, the source commits what it holds and returns."""
    path = tmp_path / "log.db"
    async with serving() as upstream, running(path, upstream) as runtime:
        await until(lambda: upstream.connections == 1 and not runtime.health.problems())
        upstream.tell(*((BASE_MS + n, edit(n + 1, BASE_MS + n)) for n in range(2_000)))
        await until(lambda: admitted() >= 1)
    assert len(await identifiers(path)) == admitted()
