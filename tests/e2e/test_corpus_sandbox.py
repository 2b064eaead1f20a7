"""A corpus that follows the service on the invented wikis, killed often: it is what they say at the end."""

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Final

import pytest
from harness.sandboxed import on_sandbox
from recording_setup import KEYS

from consumers.corpus.state import State
from streamer.sandbox.world import World

ROOT: Final = Path(__file__).resolve().parents[2]
LIVE_S: Final = 6.0
EDITS_PER_S: Final = 30.0
TEXT_HIDDEN: Final = 1


async def follow(path: Path, port: int, *more: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from consumers.cli import main; main()", "--corpus", str(path), "follow"),
        *(
            "--url",
            f"http://127.0.0.1:{port}",
            "--since",
            "2020-01-01T00:00:00Z",
            "--connections",
            "3",
            *more,
        ),
        env={**os.environ, "PYTHONPATH": str(ROOT), "CORPUS_KEY": KEYS["everything"]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def kill_often(path: Path, port: int, rng: random.Random) -> int:
    """For LIVE_S; how often."""
    kills, until = 0, asyncio.get_running_loop().time() + LIVE_S
    while asyncio.get_running_loop().time() < until:
        process = await follow(path, port)
        try:
            async with asyncio.timeout(rng.uniform(0.5, 2.5)):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            kills += 1
    return kills


async def nothing_more_happens(world: World) -> None:
    """Editors leave; what they did is told to its end."""
    world._due = [due for due in world._due if "_deliver" in due[2].__qualname__]
    while world.next_due_ms is not None:
        await asyncio.sleep(0.05)


def compared(path: Path, world: World, began_ms: int) -> tuple[int, int]:
    """Pages and tombstones that the corpus holds. Each is as its wiki says; none that changed is missing."""
    live = gone = 0
    with State(path) as state:
        for name, wiki in world.wikis.items():
            pages = {page.page: page for page in state.pages(name)}
            for identifier, page in pages.items():
                found = wiki.page(identifier)
                assert found is not None, (name, identifier, page.title)
                assert not found.current.hidden & TEXT_HIDDEN, (name, identifier)
                said = (page.revision, page.title, page.wikitext)
                assert said == (found.current.identifier, found.title, found.current.text)
            for change in wiki.changes:
                found = wiki.page(change.page_id) if change.page_id else None
                if found and change.time_ms >= began_ms and not found.current.hidden & TEXT_HIDDEN:
                    assert found.identifier in pages, (name, found.title)
            live += len(pages)
        gone = sum(total.gone for total in state.totals().values())
        assert live == sum(total.live for total in state.totals().values())
    return live, gone


@pytest.mark.timeout(240)
async def test_a_corpus_that_is_killed_often_is_what_the_wikis_say(
    tmp_path: Path, rng: random.Random
) -> None:
    """Edits, moves, deletions, restores and hidden revisions while three connections are followed, by a
    process that is killed again and again; the last one runs until nothing comes.
    """
    path = tmp_path / "corpus.db"
    async with on_sandbox(tmp_path, edits_per_s=EDITS_PER_S) as (sandbox, service):
        world = sandbox.world
        assert world is not None
        port = await service.port()
        began_ms = int(time.time() * 1_000)
        kills = await kill_often(path, port, rng)
        await nothing_more_happens(world)
        process = await follow(path, port, "--until-idle", "6")
        out, err = await process.communicate()
        assert process.returncode == 0, err
        last = json.loads(out.splitlines()[-1])
        live, gone = compared(path, world, began_ms)
    print(f"\n{kills} kills, {live} pages, {gone} tombstones; the last one: {last}")
    assert live > 20
