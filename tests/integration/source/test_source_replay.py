"""A recording becomes records of the changes topic, each once, across kills."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import zstandard

from streamer.config import Settings, SourceSettings
from streamer.errors import ConfigError, SourceError
from streamer.log.base import Stored, TopicPartition
from streamer.log.local import LocalLog
from streamer.metrics import COMMITTED, REGISTRY, SOURCE_EXHAUSTED
from streamer.model import Change, Topics, decode_change, identifier_of_revision
from streamer.runtime import Runtime, topic_specs
from streamer.source.stage import run_source

CHANGES = Topics().changes
DEADLINE_S = 30.0


def edit(revision: int, *, wiki: str = "xwiki", dt: str = "2026-01-01T00:00:00Z", **more: object) -> bytes:
    """An invented recentchange event."""
    event = {
        "$schema": "/mediawiki/recentchange/1.0.0",
        "meta": {
            "id": f"00000000-0000-0000-0000-{revision:012}",
            "dt": dt,
            "domain": "x.example.org",
            "stream": "mediawiki.recentchange",
            "topic": "eqiad.mediawiki.recentchange",
            "partition": 0,
        },
        "type": "edit",
        "namespace": 0,
        "title": "Ä page",
        "comment": "secret words",
        "timestamp": 1767225600,
        "user": "Somebody",
        "bot": False,
        "minor": False,
        "length": {"old": 1, "new": 2},
        "revision": {"old": revision - 1, "new": revision},
        "server_name": "x.example.org",
        "wiki": wiki,
    } | more
    return msgspec.json.encode(event)


def sse(*events: bytes) -> bytes:
    return b":ok\n\n" + b"".join(b"event: message\nid: []\ndata: " + event + b"\n\n" for event in events)


def settings_for(path: Path, **source: object) -> Settings:
    return Settings(source=SourceSettings(url=f"file:{path}", streams=("recentchange",), **source))  # type: ignore[arg-type]


@asynccontextmanager
async def opened(path: Path, settings: Settings) -> AsyncIterator[Runtime]:
    async with LocalLog(path) as log:
        await log.ensure_topics(topic_specs(settings))
        yield Runtime(settings, log)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)


async def run_until(runtime: Runtime, condition: Callable[[], bool]) -> None:
    """Runs the source, drains it once the condition holds, and waits for its end."""
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(run_source(runtime))
        await until(condition)
        runtime.draining.set()


def is_exhausted() -> bool:
    return REGISTRY.get_sample_value("streamer_source_exhausted") == 1


async def stored_changes(runtime: Runtime) -> list[Stored]:
    partitions = runtime.settings.log.partitions
    tps = [TopicPartition(CHANGES, partition) for partition in range(partitions)]
    ends = {tp: (await runtime.log.bounds(tp)).end for tp in tps}
    found: list[Stored] = []
    async with runtime.log.reader(dict.fromkeys(tps, 0)) as reader:
        while any(reader.position(tp) < end for tp, end in ends.items()):
            found += await reader.read()
    return found


async def replayed(tmp_path: Path, name: str, content: bytes) -> list[Stored]:
    file = tmp_path / name
    file.write_bytes(content)
    async with opened(tmp_path / "log.db", settings_for(file)) as runtime:
        SOURCE_EXHAUSTED.set(0)
        await run_until(runtime, is_exhausted)
        return await stored_changes(runtime)


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", [".sse", ".jsonl"])
async def test_every_format_gives_the_same(tmp_path: Path, kind: str, packing: str) -> None:
    """SSE or JSON lines, plain or packed: the same records."""
    events = [edit(n) for n in range(1, 6)]
    content = sse(*events) if kind == ".sse" else b"\n".join(events)
    content = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[packing](content)
    stored = await replayed(tmp_path, f"events{kind}{packing}", content)
    assert [record.header("ce_id") for record in stored] == [
        identifier_of_revision("xwiki", n) for n in range(1, 6)
    ]


async def test_a_record_is_what_was_agreed(tmp_path: Path) -> None:
    """Keyed by wiki, typed, traceable, and without comment or name."""
    (record,) = await replayed(tmp_path, "one.jsonl", edit(7))
    change = decode_change(record.value or b"")
    assert isinstance(change, Change)
    assert (change.wiki, change.title, change.revision, change.parent) == ("xwiki", "Ä page", 7, 6)
    assert (record.key, record.header("kind")) == ("xwiki", "edit")
    assert record.header("ce_type") == "wiki.change.edit"
    assert change.traceparent == record.header("traceparent") != ""
    assert b"secret" not in (record.value or b"")
    assert b"Somebody" not in (record.value or b"")


async def test_bad_events_are_counted_and_cost_nothing_else(tmp_path: Path) -> None:
    """Broken JSON, bad UTF-8, a foreign schema, a huge frame: their neighbours all arrive."""
    bad = [
        b'{"a":',
        edit(50).replace(b"secret", b"\xff\xfe"),
        edit(51).replace(b"change/1.", b"change/2."),
        edit(52, type="142"),
        edit(53).replace(b"secret", b"x" * 70_000),
    ]
    events = [one for n, event in enumerate(bad) for one in (edit(n + 1), event)]
    file = tmp_path / "bad.sse"
    file.write_bytes(sse(*events, edit(9)))
    settings = settings_for(file, max_event_bytes=65_536)
    reasons = ("not_json", "not_utf8", "schema_major", "type_unknown", "frame_too_large")
    before = [REGISTRY.get_sample_value("streamer_source_dropped_total", {"reason": r}) or 0 for r in reasons]
    async with opened(tmp_path / "log.db", settings) as runtime:
        SOURCE_EXHAUSTED.set(0)
        await run_until(runtime, is_exhausted)
        assert len(await stored_changes(runtime)) == 6
    after = [REGISTRY.get_sample_value("streamer_source_dropped_total", {"reason": r}) or 0 for r in reasons]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1] * 5


async def test_killed_and_restarted_it_misses_and_repeats_nothing(tmp_path: Path) -> None:
    """Cancelled again and again between any two commits, each event comes out once and in order, and the
    committed count says so.
    """
    file = tmp_path / "events.jsonl"
    events = [edit(n, wiki=f"w{n % 7}wiki") for n in range(1, 3_001)]
    file.write_bytes(b"\n".join(events) + b"\n" + events[-1])
    settings = settings_for(file)
    SOURCE_EXHAUSTED.set(0)
    for _ in range(100):
        async with opened(tmp_path / "log.db", settings) as runtime:
            running = asyncio.ensure_future(run_source(runtime))
            start = COMMITTED.totals("source").get("admitted", 0)
            await until(
                lambda at=start: is_exhausted() or COMMITTED.totals("source").get("admitted", 0) > at  # type: ignore[misc]
            )
            if is_exhausted():
                runtime.draining.set()
            else:
                running.cancel()
            await asyncio.wait([running])
            if is_exhausted():
                break
    async with opened(tmp_path / "log.db", settings) as runtime:
        stored = await stored_changes(runtime)
        position = (await runtime.log.committed("source"))[TopicPartition(CHANGES, 0)]
    assert sorted(int(r.header("ce_id") != "") for r in stored) == [1] * 3_000
    assert {r.header("ce_id") for r in stored} == {
        identifier_of_revision(f"w{n % 7}wiki", n) for n in range(1, 3_001)
    }
    assert position.state["counts"] == {"admitted": 3_000}
    assert position.next == 3_001


async def test_recorded_pace(tmp_path: Path) -> None:
    """At recorded speed as much time passes as had between the events."""
    file = tmp_path / "paced.jsonl"
    times = ["00.000", "00.150", "00.100", "00.300"]
    file.write_bytes(
        b"\n".join(edit(n + 1, dt=f"2026-01-01T00:00:{t}Z") for n, t in enumerate(times)) + b"\n"
    )
    async with opened(tmp_path / "log.db", settings_for(file, speed="recorded")) as runtime:
        SOURCE_EXHAUSTED.set(0)
        began_ms = runtime.clock.now_ms()
        await run_until(runtime, is_exhausted)
        stamps = [record.timestamp_ms - began_ms for record in await stored_changes(runtime)]
        assert stamps[1] >= 150
        assert stamps[-1] >= 300


@pytest.mark.parametrize("packing", [".gz", ".zst"])
async def test_a_damaged_file_gives_what_it_has_and_says_so(tmp_path: Path, packing: str) -> None:
    """A torn file: what can be read is committed, then a named error."""
    file = tmp_path / f"torn.jsonl{packing}"
    compress = {".gz": gzip.compress, ".zst": zstandard.compress}[packing]
    whole = compress(b"\n".join(edit(n) for n in range(1, 2_000)))
    file.write_bytes(whole[: len(whole) // 2])
    async with opened(tmp_path / "log.db", settings_for(file)) as runtime:
        with pytest.raises(SourceError, match="damaged after"):
            await run_source(runtime)


@pytest.mark.parametrize("url", ["file:nowhere.sse", "file:x.csv"])
async def test_a_source_that_cannot_be_is_refused_by_name(tmp_path: Path, url: str) -> None:
    """ConfigError naming the setting."""
    settings = Settings(source=SourceSettings(url=url))
    async with opened(tmp_path / "log.db", settings) as runtime:
        with pytest.raises(ConfigError, match=r"source\.url"):
            await run_source(runtime)


class TightLog(LocalLog):
    """A log whose budget the test holds in hand."""

    is_tight = False

    @property
    def is_over_budget(self) -> bool:
        return self.is_tight


async def test_a_log_over_its_budget_is_waited_for(tmp_path: Path) -> None:
    """Nothing is appended and an alarm says so, until there is room; a drain meanwhile loses nothing, and
    leaves no alarm.
    """
    file = tmp_path / "one.jsonl"
    file.write_bytes(edit(1))
    settings = settings_for(file)
    async with TightLog(tmp_path / "log.db") as log:
        await log.ensure_topics(topic_specs(settings))
        log.is_tight = True
        SOURCE_EXHAUSTED.set(0)
        drained = Runtime(settings, log)
        await run_until(drained, lambda: "over its budget" in drained.health.problems().get("source_log", ""))
        assert await stored_changes(drained) == []
        assert REGISTRY.get_sample_value("streamer_source_held") == 0
        runtime = Runtime(settings, log)
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(run_source(runtime))
            await until(lambda: REGISTRY.get_sample_value("streamer_source_held") == 1)
            log.is_tight = False
            await until(lambda: COMMITTED.totals("source").get("admitted") == 1)
            assert not runtime.health.problems()
            runtime.draining.set()


async def test_an_event_that_would_make_a_huge_record(tmp_path: Path) -> None:
    """Tags by the hundred thousand: dropped and counted, and the next event is told."""
    tags = {
        "$schema": "/mediawiki/revision/tags-change/1.0.0",
        "meta": {"id": "i", "dt": "2026-01-01T00:00:00Z", "stream": "mediawiki.revision-tags-change"},
        "database": "xwiki",
        "page_id": 1,
        "page_namespace": 0,
        "rev_id": 1,
        "tags": ["tag"] * 100_000,
    }
    stored = await replayed(tmp_path, "huge.jsonl", msgspec.json.encode(tags) + b"\n" + edit(2))
    assert [record.header("kind") for record in stored] == ["edit"]


async def test_the_2021_recording_whole(tmp_path: Path, shared_data: Path) -> None:
    """All its edits and creations, by identifier, as the file itself says."""
    file = shared_data / "recentchange-2021.sse"
    expected = set()
    for line in file.read_bytes().split(b"\n"):
        if line.startswith(b"data: "):
            event = msgspec.json.decode(line[6:])
            if event["type"] in ("edit", "new"):
                expected.add(identifier_of_revision(event["wiki"], event["revision"]["new"]))
    async with opened(tmp_path / "log.db", settings_for(file)) as runtime:
        SOURCE_EXHAUSTED.set(0)
        await run_until(runtime, is_exhausted)
        stored = await stored_changes(runtime)
    got = [record.header("ce_id") for record in stored if record.header("kind") in ("edit", "create")]
    assert expected <= set(got)
    assert len(got) == len(set(got)) == len(expected) + 2  # the two redirects that moves have left
    assert COMMITTED.totals("source") == {"admitted": len(stored)}
