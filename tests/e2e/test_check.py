"""`streamer check`: what is wrong before the start is told, all of it, within seconds, with exit code 2."""

import os
import socket
import sqlite3
import time
from pathlib import Path

import pytest
from harness.sandboxed import live_config, on_sandbox
from harness.service import Service
from recording_setup import write_partners

from streamer.check.network import network_of
from streamer.clock import Clock
from streamer.config import MediaWikiSettings, Settings, SourceSettings
from streamer.log.base import Record
from streamer.log.local import LocalLog
from streamer.runtime import topic_specs
from streamer.sandbox.faults import Fault
from streamer.sandbox.server import Sandbox, SandboxOptions

UNREACHABLE = """
[source]
url = "http://127.0.0.1:9/v2/stream"
[mediawiki]
endpoint = "http://127.0.0.1:9"
hosts = ["*.sandbox.example"]
[deliver]
port = 0
admin_port = 0
"""


async def checked(folder: Path, text: str, code: int) -> list[str]:
    """Its lines; asserts the exit code."""
    async with Service(folder, text, "check") as service:
        assert await service.wait() == code, (service.stdout, service.lines)
        assert service.lines == [], "all is told on standard output"
        return service.stdout.splitlines()


def told(lines: list[str], level: str, *words: str) -> bool:
    return any(line.startswith(level) and all(word in line for word in words) for line in lines)


async def test_all_is_well_on_the_sandbox(tmp_path: Path) -> None:
    """Every thing that was looked at has its line, among them the budget and what it comes from."""
    write_partners(tmp_path / "partners.toml")
    async with Sandbox(SandboxOptions(seed=3, edits_per_s=0)) as sandbox:
        lines = await checked(tmp_path, live_config(sandbox), 0)
        assert sandbox.requests["api"] == 1, "one cheap request to a wiki"
    assert told(lines, "ok", "budget: 6000 requests a minute, 3 at once", "(mediawiki.requests_per_minute)")
    assert told(lines, "ok", "answers, with all 5 streams")
    assert told(lines, "ok", "en.sandbox.example at 127.0.0.1", "answers")
    assert told(lines, "ok", "clock: within")
    assert told(lines, "ok", "partners.toml: 3 partners")
    assert told(lines, "ok", "GiB free in")
    assert told(lines, "ok", "is made at the start")
    assert told(lines, "ok", "deliver.port: any free one")
    assert not (tmp_path / "streamer.db").exists(), "looking makes nothing"


async def test_what_cannot_be_reached_is_named(tmp_path: Path) -> None:
    """Stream and wiki, each with its address; the rest is looked at all the same."""
    lines = await checked(tmp_path, UNREACHABLE, 2)
    assert told(lines, "PROBLEM", "source.url: 127.0.0.1:9 cannot be reached")
    assert told(lines, "PROBLEM", "mediawiki.endpoint: en.sandbox.example at 127.0.0.1:9: no connection")
    assert told(lines, "warning", "partners.toml: no such file")
    assert told(lines, "ok", "clock: not compared")


async def test_a_cluster_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    """What Kafka's client says of its many tries is left out: the finding says it once."""
    text = UNREACHABLE + '[log]\nkind = "kafka"\nbootstrap = ["127.0.0.1:9"]\n'
    lines = await checked(tmp_path, text, 2)
    assert told(lines, "PROBLEM", "log.bootstrap: 127.0.0.1:9 does not answer")


async def test_what_hangs_is_given_up(tmp_path: Path) -> None:
    """A stream and a wiki that take the request and never answer cost some seconds together."""
    faults = (Fault("silent"), Fault("silent", where="stream"))
    async with Sandbox(SandboxOptions(seed=3, edits_per_s=0, faults=faults)) as sandbox:
        began_s = time.monotonic()
        lines = await checked(tmp_path, live_config(sandbox), 2)
        assert time.monotonic() - began_s < 25, "less than the deadlines of a service, 30 s each"
    assert told(lines, "PROBLEM", "source.url", "TimeoutError")
    assert told(lines, "PROBLEM", "mediawiki.endpoint", "no answer within")


@pytest.mark.parametrize(
    ("fault", "level", "said"),
    [
        (Fault("status", status=403), "PROBLEM", "set source.contact"),
        (Fault("ratelimited"), "PROBLEM", "ratelimited"),
        (Fault("maxlag", seconds=9), "warning", "lag 9 s"),
        (Fault("html"), "PROBLEM", "not_json"),
        (Fault("broken_json"), "PROBLEM", "not MediaWiki's"),
    ],
)
async def test_what_a_wiki_refuses_is_told(fault: Fault, level: str, said: str) -> None:
    """By its reason, with what to do where something can be done."""
    async with Sandbox(SandboxOptions(seed=3, edits_per_s=0, faults=(fault,))) as sandbox:
        lines = [str(finding) for finding in await network_of(sandbox_settings(sandbox))]
    assert told(lines, level, "en.sandbox.example", said), lines


async def test_an_unknown_stream_is_named() -> None:
    """Of those configured the one that the server does not have, and no other."""
    async with Sandbox(SandboxOptions(seed=3, edits_per_s=0)) as sandbox:
        streams = ("recentchange", "mediawiki.page_multilingual_prediction_change.v1")
        found = await network_of(sandbox_settings(sandbox, streams=streams))
    (line,) = [str(finding) for finding in found if "source.streams" in finding.text]
    assert line.startswith("PROBLEM")
    assert line.endswith("does not know mediawiki.page_multilingual_prediction_change.v1")


@pytest.mark.parametrize(("off_s", "said"), [(90, "90 s behind"), (-90, "90 s ahead of")])
async def test_a_clock_that_is_wrong_is_told(off_s: int, said: str) -> None:
    """By how much, in which direction, and why it matters; the other clock is the wiki's."""
    clock = Clock(now_ms=lambda: (time.time_ns() // 1_000_000) + off_s * 1_000)
    async with Sandbox(SandboxOptions(seed=3, edits_per_s=0, clock=clock)) as sandbox:
        lines = [str(finding) for finding in await network_of(sandbox_settings(sandbox))]
    assert told(lines, "PROBLEM", "clock", said, "the wiki", "NTP"), lines


def sandbox_settings(sandbox: Sandbox, streams: tuple[str, ...] = SourceSettings().streams) -> Settings:
    return Settings(
        source=SourceSettings(url=sandbox.stream_url, streams=streams),
        mediawiki=MediaWikiSettings(endpoint=sandbox.endpoint, hosts=("*.sandbox.example",)),
    )


async def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Of the settings each with its key; of the partners one each."""
    text = "[deliver]\nprot = 1\nport = 99999\n[source]\nrewind_s = -1\n[extra]\n"
    lines = await checked(tmp_path, text, 2)
    for key in ("deliver.prot: unknown key", "deliver.port", "source.rewind_s", "extra: unknown key"):
        assert told(lines, "PROBLEM", key), (key, lines)
    (tmp_path / "partners.toml").write_text("[acme]\nwikies = []\n[globex]\nmax_size = 1\nmin_size = 2\n")
    lines = await checked(tmp_path, UNREACHABLE, 2)
    assert told(lines, "PROBLEM", "acme.wikies")
    assert told(lines, "PROBLEM", "globex.max_size")


async def test_beside_a_running_service(tmp_path: Path) -> None:
    """Ports and lock files that the service itself holds are no problem; who holds them is told, and the
    service goes on undisturbed.
    """
    async with on_sandbox(tmp_path) as (_, service):
        port, admin_port = await service.port(), await service.admin_port()
        text = service.config.read_text().replace("port = 0", f"port = {port}", 1)
        text = text.replace("admin_port = 0", f"admin_port = {admin_port}")
        lines = await checked(tmp_path, text, 0)
        for role in ("source", "enrich", "route"):
            assert told(lines, "ok", f"{role} (process {service.pid})")
        assert told(lines, "ok", f"deliver.port: {port}", "the service runs")
        assert await service.terminate() == 0
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        lines = await checked(tmp_path, UNREACHABLE.replace("port = 0", f"port = {port}", 1), 2)
        assert told(lines, "PROBLEM", f"deliver.port: {port} on 127.0.0.1 is in use")


async def test_a_log_that_is_too_small_or_too_new(tmp_path: Path) -> None:
    """The rate of the newest records against the history; a format of tomorrow; a folder that is none."""
    now_ms = 1_800_000_000_000

    def clock() -> int:
        nonlocal now_ms
        now_ms += 1_000
        return now_ms

    path = tmp_path / "data" / "streamer.db"
    async with LocalLog(path, clock=clock, clean_every_s=3_600) as log:
        await log.ensure_topics(topic_specs(Settings()))
        for _ in range(20):
            await log.append([Record("wiki.articles.v1", 0, "enwiki:1", os.urandom(100_000))])
    text = UNREACHABLE + "[log]\nretention_gb = 1.0\n"
    assert told(await checked(tmp_path, text, 2), "warning", "6 hours take 2", "that holds 2.")
    fits = UNREACHABLE + "[log]\nhistory_hours = 1.0\n"
    assert told(await checked(tmp_path, fits, 2), "ok", "1 hours take 0.")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert told(await checked(tmp_path, text, 2), "PROBLEM", "written by a newer version")
    (tmp_path / "file").write_text("")
    nowhere = UNREACHABLE + '[log]\npath = "file/streamer.db"\n'
    assert told(await checked(tmp_path, nowhere, 2), "PROBLEM", "file is not a folder that can be written")
