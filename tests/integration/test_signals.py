"""What is known of edits beside their text, from the sandbox's streams to what partners get."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from harness.delivering import metric

from streamer.config import LogSettings, MediaWikiSettings, PartnersSettings, Settings, SourceSettings
from streamer.enrich.stage import run_enrich
from streamer.log.base import Log, TopicPartition
from streamer.log.open import open_log
from streamer.model import is_tick
from streamer.origin.mediawiki import Origin
from streamer.partners import PartnersWatch
from streamer.plan import planning
from streamer.route.stage import run_route
from streamer.runtime import Runtime, topic_specs
from streamer.sandbox.server import Sandbox, SandboxOptions
from streamer.source.stage import run_source

PICKY = """
[everything]
[picky]
min_size_change = 50
without_tags = ["mw-rollback"]
"""
CAREFUL = """
[everything]
[careful]
max_revert_risk = 0.0
"""
TITLE = "A page of ours"


@asynccontextmanager
async def running(sandbox: Sandbox, folder: Path, tables: str) -> AsyncIterator[Log]:
    (folder / "partners.toml").write_text(tables)
    settings = Settings(
        source=SourceSettings(url=sandbox.stream_url),
        mediawiki=MediaWikiSettings(
            endpoint=sandbox.endpoint, hosts=("*.sandbox.example",), requests_per_minute=6_000
        ),
        log=LogSettings(path=str(folder / "log.db")),
        partners=PartnersSettings(file=str(folder / "partners.toml")),
    )
    async with open_log(settings) as log, Origin(settings) as origin:
        runtime = Runtime(settings, log)
        await log.ensure_topics(topic_specs(settings))
        partners = PartnersWatch(folder / "partners.toml")
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            tasks = [group.create_task(run_route(runtime, partners))]
            tasks.append(group.create_task(run_enrich(runtime, origin, planning(lambda: partners.current))))
            for role in ("route", "enrich"):
                while len(await log.committed(role)) < settings.log.partitions:
                    await asyncio.sleep(0.02)
            tasks.append(group.create_task(run_source(runtime)))
            while runtime.health.components().get("source") != "ready":  # what comes before is not told
                await asyncio.sleep(0.02)
            yield log
            for task in tasks:
                task.cancel()


async def act(sandbox: Sandbox, action: str, text: str | None = None) -> int:
    """The page's newest revision after it."""
    asked = {"wiki": "ensandbox", "title": TITLE, "action": action, "text": text}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sandbox.endpoint}/sandbox/edit", json=asked) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return int((await answer.json())["revision"])


async def versions(log: Log, topic: str, until: int) -> list[dict[str, Any]]:
    """What a topic says of the page, in order, once it has told of the revision `until`."""
    bounds = await log.all_bounds(topic)
    told: list[dict[str, Any]] = []
    async with log.reader({TopicPartition(topic, p): b.earliest for p, b in enumerate(bounds)}) as reader:
        while not told or told[-1]["identifier"] != until:
            for record in await reader.read():
                if record.value is None or is_tick(record):
                    continue
                article = msgspec.json.decode(record.value, type=dict[str, Any])
                if article["name"] == TITLE:
                    told.append(article["version"])
    return told


async def test_what_edits_change_and_revert_reaches_partners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every edit with its hint, be the origin as quick as it is; who filters gets what is worth it, and the
    revert of what it may have had.
    """
    monkeypatch.setattr("streamer.enrich.ask.WAIT_S", 20.0)  # on a machine however busy
    missed = metric("streamer_enrich_hinted_total", hinted="no")
    text = "Some words that are enough. " * 20
    async with (
        Sandbox(SandboxOptions(seed=3, edits_per_s=0.0)) as sandbox,
        running(sandbox, tmp_path, PICKY) as log,
    ):
        revisions = [await act(sandbox, "create", text)]
        told = await versions(log, "wiki.articles.v1", revisions[0])
        longer = text + "x" * 60
        for action, content in (("edit", longer), ("edit", longer + "bad"), ("rollback", None)):
            revisions.append(await act(sandbox, action, content))
            told = await versions(log, "wiki.articles.v1", revisions[-1])
        everything = await versions(log, "wiki.articles.v1.everything", revisions[-1])
        picky = await versions(log, "wiki.articles.v1.picky", revisions[-1])
    assert [version["identifier"] for version in everything] == revisions
    assert [version["size_change"] for version in told] == [len(text), 60, 3, -3]
    _, good, bad, revert = told
    assert revert["reverts"] == {
        "oldest_identifier": bad["identifier"],
        "newest_identifier": bad["identifier"],
        "restored_identifier": good["identifier"],
    }
    assert "mw-rollback" in revert["tags"]
    assert "reverts" not in bad
    assert metric("streamer_enrich_hinted_total", hinted="no") == missed
    # the first two are large enough; the last one reverts
    assert [version["identifier"] for version in picky] == [revisions[0], revisions[1], revisions[3]]


async def test_what_is_likely_reverted_does_not_reach_the_careful(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the edits whose score came in time; the others reach them, and a revert does, whatever its score."""
    for module in ("ask", "scorer"):  # once one score has come, each edit waits for its own
        monkeypatch.setattr(f"streamer.enrich.{module}.WAIT_S", 20.0)
    before = text = "Some words that are enough. " * 20
    async with (
        Sandbox(SandboxOptions(seed=3, edits_per_s=0.0)) as sandbox,
        running(sandbox, tmp_path, CAREFUL) as log,
    ):
        told = await versions(log, "wiki.articles.v1", await act(sandbox, "create", text))
        while len(told) < 2 or "scores" not in told[-1]:
            before = text
            text += "x"
            told = await versions(log, "wiki.articles.v1", await act(sandbox, "edit", text))
        revert = await act(sandbox, "edit", before)
        everything = await versions(log, "wiki.articles.v1.everything", revert)
        careful = await versions(log, "wiki.articles.v1.careful", revert)
    assert everything[-1]["reverts"]["newest_identifier"] == told[-1]["identifier"]
    assert "scores" in everything[-1]
    risky = [version["identifier"] for version in everything[:-1] if "scores" in version]
    assert told[-1]["identifier"] in risky
    reached = [version["identifier"] for version in everything if version["identifier"] not in risky]
    assert [version["identifier"] for version in careful] == reached
