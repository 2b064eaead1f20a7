"""SIGTERM: the process is gone within `drain_s` and a second, with 0, whatever hangs; nothing is lost."""

import asyncio
import resource
import signal
import socket
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from harness.feed import Feed
from harness.sandboxed import live_config
from harness.service import Service
from recording_setup import KEYS, write_partners
from test_bad_input import accounted, articles, write

from streamer.sandbox.faults import Fault
from streamer.sandbox.server import Sandbox, SandboxOptions

DRAIN_S = 1.0
MARGIN_S = 1.0
"""What `drain_s` may be exceeded by."""
SLACK_S = 15.0
"""For a machine that has other things to do than to end a process and to tell us."""
PATIENT_S = 60.0
"""A drain_s that nobody is seen to wait for."""
AT_ONCE_S = 20.0
LONG = 4
"""Pages of a megabyte: a client that stops reading at the second has two in no buffer."""
EVENTS = 'streamer_source_events_total{family="recentchange"}'
ADMITTED = 'streamer_committed_changes_total{outcome="admitted",role="source",scope=""}'


@asynccontextmanager
async def running(
    folder: Path, *roles: str, faults: tuple[Fault, ...] = (), drain_s: float = DRAIN_S
) -> AsyncIterator[tuple[Sandbox, Service]]:
    write_partners(folder / "partners.toml")
    command = ["run", *(f"--role={role}" for role in roles)]
    async with Sandbox(SandboxOptions(seed=3, edits_per_s=0, faults=faults)) as sandbox:
        text = live_config(sandbox).replace("heartbeat_s = 1", f"heartbeat_s = 1\ndrain_s = {drain_s}")
        text = text.replace("timeout_s = 1.0", "timeout_s = 30.0")
        async with Service(folder, text, *command) as service:
            await service.event("admin listening")
            yield sandbox, service


async def gone(
    service: Service, *signals: signal.Signals, most_s: float = DRAIN_S + MARGIN_S + SLACK_S
) -> float:
    """How long it took; asserts that it ended in time, with 0, and without a defect."""
    began_s = time.monotonic()
    for number in signals or (signal.SIGTERM,):
        service.signal(number)
        await asyncio.sleep(0.1 if len(signals) > 1 else 0)
    assert await service.wait() == 0, service.lines[-5:]
    took_s = time.monotonic() - began_s
    assert took_s < most_s, (took_s, service.lines[-10:])
    assert not [line for line in service.lines if "defect" in line or "Traceback" in line]
    return took_s


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_idle_it_goes_at_once(tmp_path: Path, number: signal.Signals) -> None:
    """Nothing is waited for where nothing is in flight: neither drain_s nor a deadline."""
    async with running(tmp_path, drain_s=PATIENT_S) as (_, service):
        await service.event("connected to the stream")
        await gone(service, number, most_s=AT_ONCE_S)


async def test_clients_of_every_kind(tmp_path: Path) -> None:
    """One that reads live gets `bye` with its reason on an event border; one that stopped reading in the
    middle of a long catch-up is reset in time; and who resumes after the restart has all, once.
    """
    async with running(tmp_path) as (sandbox, service):
        await service.event("connected to the stream")
        for number in range(LONG):
            await write(
                sandbox, f"Long {number}", f"{number}" * 1_020_000
            )  # too long for plain text, so quick
        await accounted(service, LONG)
        url = f"http://127.0.0.1:{await service.port()}/v2/articles"
        live = Feed(url, KEYS["everything"])

        async def read() -> list[tuple[str, str]]:
            return [(event.name, event.data) async for event in live.events()]

        async with asyncio.TaskGroup() as group, stalled(url) as reader:
            reading = group.create_task(read())
            await reader.readuntil(b"\n\n")  # the first article; the rest fills every buffer
            await service.until(lambda m: sum(v for k, v in m.items() if "deliver_connections{" in k) == 2)
            await gone(service)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1 << 30)
        assert [data for name, data in reading.result() if name == "bye"] == ['{"reason":"drain"}']
        assert reading.result()[-1][0] == "bye"
        await service.start()
        assert len(await articles(service, LONG)) == LONG
        assert await accounted(service, LONG) == {"admitted": LONG, "published": LONG}
        await gone(service)


@asynccontextmanager
async def stalled(url: str) -> AsyncIterator[asyncio.StreamReader]:
    """A client that asks for everything and whose buffers are small."""
    host, port = url.split("/")[2].split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.connect((host, int(port)))
    reader, writer = await asyncio.open_connection(sock=sock, limit=4_194_304)
    writer.write(
        b"GET /v2/articles?since=2020-01-01T00:00:00Z HTTP/1.1\r\nHost: x\r\n"
        b"Authorization: Bearer " + KEYS["everything"].encode() + b"\r\n\r\n"
    )
    try:
        yield reader
    finally:
        writer.transport.abort()


async def test_a_stream_that_never_answers(tmp_path: Path) -> None:
    """The connection is given up, not waited for."""
    async with running(tmp_path, faults=(Fault("silent", where="stream"),), drain_s=PATIENT_S) as (
        sandbox,
        service,
    ):
        async with asyncio.timeout(60):
            while not sandbox.requests["fault:silent"]:
                await asyncio.sleep(0.02)
        await gone(service, most_s=AT_ONCE_S)


async def test_a_wiki_that_never_answers_and_a_second_signal(tmp_path: Path) -> None:
    """The drain ends in time all the same; a second signal ends it at once, with 0 too. What was asked is
    asked again after each restart, and published once.
    """
    async with running(tmp_path, faults=(Fault("silent"),)) as (sandbox, service):
        await service.event("connected to the stream")
        for number in range(3):
            await write(sandbox, f"Page {number}", "x")
        await service.until(lambda m: still_open(m) == 3)
        took_s = await gone(service)
        assert took_s > DRAIN_S / 2, "the answers were not waited for"
        patient = service.config.read_text().replace(f"drain_s = {DRAIN_S}", f"drain_s = {PATIENT_S}")
        service.config.write_text(patient)
        await service.start()
        await service.until(lambda m: still_open(m) == 3)
        await gone(service, signal.SIGTERM, signal.SIGINT, most_s=AT_ONCE_S)
        sandbox.faults.clear()
        await service.start()
        assert await accounted(service, 3) == {"admitted": 3, "published": 3}
        assert len(await articles(service, 3)) == 3
        await gone(service)


def still_open(metrics: dict[str, float]) -> float:
    return sum(value for name, value in metrics.items() if "enrich_open_changes{" in name)


async def test_a_full_disk(tmp_path: Path) -> None:
    """What could not be committed is read and done again after the restart."""
    async with running(tmp_path) as (sandbox, service):
        await service.event("connected to the stream")
        await write(sandbox, "Before", "x")
        await accounted(service, 1)
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        await write(sandbox, "After", "x")
        await service.event("lane restarts")
        await gone(service)
        await service.start()
        assert await accounted(service, 2) == {"admitted": 2, "published": 2}
        await gone(service)


async def test_what_no_cancellation_reaches_is_ended(tmp_path: Path) -> None:
    """Another process holds the file's lock, so that a commit waits in its thread: the timer ends the
    process, with 1, since this was no drain, and says so. What was not committed comes after the restart.
    """
    async with running(tmp_path, "source") as (sandbox, service):
        await service.event("connected to the stream")
        with sqlite3.connect(tmp_path / "streamer.db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            await write(sandbox, "Held", "x")
            await service.until(lambda m: m.get(EVENTS, 0) == 1)
            began_s = time.monotonic()
            service.signal(signal.SIGTERM)
            assert await service.wait() == 1
            assert time.monotonic() - began_s < DRAIN_S + MARGIN_S + SLACK_S
        other.close()
        assert any("stopped the hard way" in line for line in service.lines)
        await service.start()
        await service.until(lambda m: m.get(ADMITTED, 0) == 1)
        await gone(service)
