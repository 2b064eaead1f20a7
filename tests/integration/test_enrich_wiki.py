"""source, origin and enrich against the sandbox wiki: what is published is what the wiki then shows."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from harness.schema import checked_whole

from streamer.config import STREAMS, LogSettings, MediaWikiSettings, Settings, SourceSettings
from streamer.cutoffs import Cutoffs
from streamer.enrich.stage import run_enrich
from streamer.log.base import Log, Stored, TopicPartition
from streamer.log.local import LocalLog
from streamer.origin.mediawiki import Origin
from streamer.plan import Plan
from streamer.runtime import Runtime, topic_specs
from streamer.sandbox.server import Sandbox, SandboxOptions
from streamer.source.stage import run_source

WIKI = "ensandbox"
PAGES = 6


def story(number: int) -> list[dict[str, Any]]:
    """One page's life; the words in "secret" are hidden or deleted in its course."""
    page, moved = f"Story {number}", f"Told {number}"
    steps: list[dict[str, Any]] = [
        {"action": "create", "title": page, "text": f"First words {number}."},
        {"title": page, "text": f"A secret {number} is told."},
        {"title": page, "text": f"No more of it {number}."},
        {"action": "move", "title": page, "to": moved},
        {"title": moved, "text": f"Later words {number}."},
        {"action": "protect", "title": moved},
    ]
    match number % 3:
        case 0:
            steps += [{"action": "delete", "title": moved}]
        case 1:
            steps += [{"action": "delete", "title": moved}, {"action": "restore", "title": moved}]
        case 2:
            steps += [{"action": "hide", "title": moved}]
    return steps


async def everything(log: Log, topic: str) -> list[Stored]:
    records: list[Stored] = []
    for partition in range(10):
        tp = TopicPartition(topic, partition)
        end = (await log.bounds(tp)).end
        async with log.reader({tp: 0}) as reader:
            while reader.position(tp) < end:
                records += await reader.read(wait_s=0.01)
    return records


async def total(log: Log, group: str) -> dict[str, int]:
    totals: dict[str, int] = {}
    for position in (await log.committed(group)).values():
        for name, count in msgspec.convert(position.state.get("counts", {}), dict[str, int]).items():
            totals[name] = totals.get(name, 0) + count
    return totals


def what_is_out(records: list[Stored]) -> dict[str, tuple[bool, str, int, bool]]:
    """Page key → (deleted, title, revision, whether it has text), by the newest record of each page."""
    newest: dict[str, tuple[bool, str, int, bool]] = {}
    for record in sorted(records, key=lambda r: int(r.header("ce_sequence") or 0)):
        if record.value is not None and "/" not in record.key:
            article = checked_whole(msgspec.json.decode(record.value, type=dict[str, Any]))
            deleted = article["event"]["type"] == "delete"
            revision = 0 if deleted else article["version"]["identifier"]
            newest[record.key] = (deleted, article["name"], revision, "article_body" in article)
    return newest


@pytest.mark.parametrize("streams", [STREAMS, ("recentchange",)], ids=["all streams", "recentchange alone"])
async def test_what_is_published_is_what_the_wiki_shows(tmp_path: Path, streams: tuple[str, ...]) -> None:
    """Pages are created, edited, moved, protected, deleted, restored and hidden: the newest record of each
    page is the page, every change is accounted for, and withdrawn words are served by nobody.
    """
    async with Sandbox(SandboxOptions(seed=3, edits_per_s=0, pages_per_wiki=5, late_share=0)) as sandbox:
        settings = Settings(
            log=LogSettings(path=str(tmp_path / "log.db")),
            source=SourceSettings(url=sandbox.stream_url, streams=streams),
            mediawiki=MediaWikiSettings(
                endpoint=sandbox.endpoint,
                hosts=("*.sandbox.example",),
                requests_per_minute=6_000,
                missing_retry_s=0.2,
            ),
        )
        async with LocalLog(settings.log.path) as log:
            await log.ensure_topics(topic_specs(settings))
            runtime = Runtime(settings, log)
            async with Origin(settings, runtime.clock) as origin, asyncio.TaskGroup() as tasks:
                tasks.create_task(run_source(runtime))
                tasks.create_task(run_enrich(runtime, origin, lambda: Plan(text=False)))
                async with asyncio.timeout(60):
                    while not sandbox.state()["connections"]:
                        await asyncio.sleep(0.01)
                    await _live(sandbox)
                    wanted = _what_is_there(sandbox)
                    while True:
                        records = await everything(log, runtime.topics.articles)
                        counts = await total(log, "enrich")
                        admitted = (await total(log, "source")).get("admitted", 0)
                        out = what_is_out(records)
                        if admitted == counts.get("admitted") and wanted == {
                            key: out.get(key) for key in wanted
                        }:
                            break
                        await asyncio.sleep(0.05)
                runtime.draining.set()
            counts = await total(log, "enrich")
            assert counts["admitted"] == sum(n for name, n in counts.items() if name != "admitted")
            assert counts["deadletter"] == 0
            identifiers = [r.header("ce_id") for r in records if r.value is not None]
            assert len(identifiers) == len(set(identifiers))
            cutoffs = Cutoffs()
            for record in await everything(log, runtime.topics.withdrawals):
                cutoffs.apply(record)
            for record in records:
                gone = record.key.partition("/")[0] in {key for key, state in wanted.items() if state[0]}
                if gone and record.value and b'"article_body"' in record.value:
                    hidden = cutoffs.hidden(
                        record.key, int(record.header("rev")), int(record.header("ce_sequence"))
                    )
                    assert "text" in hidden


async def _live(sandbox: Sandbox) -> None:
    """The stories of all pages, one step of each in turn, as fast as they go."""
    async with aiohttp.ClientSession(sandbox.endpoint) as session:
        stories = [story(number) for number in range(PAGES)]
        for turn in range(max(map(len, stories))):
            for steps in stories:
                if turn < len(steps):
                    async with session.post("/sandbox/edit", json={"wiki": WIKI, **steps[turn]}) as answer:
                        assert answer.status == 200, await answer.text()


def _what_is_there(sandbox: Sandbox) -> dict[str, tuple[bool, str, int, bool] | None]:
    wikis = msgspec.convert(sandbox.state()["wikis"], dict[str, dict[str, Any]])
    there: dict[str, tuple[bool, str, int, bool] | None] = {}
    for page_id, page in wikis[WIKI]["pages"].items():
        if not page["title"].startswith(("Story ", "Told ")):
            continue
        hidden = int(page["hidden"].get(str(page["revision"]), 0)) & 1
        shown = not page["deleted"] and not hidden
        revision = 0 if page["deleted"] else page["revision"]
        there[f"{WIKI}:{page_id}"] = (page["deleted"], page["title"], revision, shown)
    return there
