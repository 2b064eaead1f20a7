"""What the stream lost of real wikis is found in their own lists and repaired, and nothing else."""

import asyncio
import os
import random
import re
import sys
import time
from pathlib import Path

import pytest
from harness.feed import Feed
from harness.mediawiki import DEEDS, WikiFarm
from harness.mediawiki.mirror import Mirror
from harness.mediawiki.relay import Told
from harness.on_kafka import OnKafka
from harness.service import Service, free_port
from recording_setup import KEYS, write_partners

from deploy.kafka import Brokers

ROOT = Path(__file__).resolve().parents[2]
WIKI = "enproof"
UNLISTED = frozenset({"delete_suppressed", "undelete_suppressed", "show"})
"""What is suppressed, or shown again, is in no list that everybody may read: a revision's flags alone say
that it is hidden."""
FIRST = ("create", "edit", "create", "edit", "create", "create", "edit", "edit")
HINTS = ("mediawiki.revision-tags-change", "mediawiki.page_revert_risk_prediction_change.v1")


async def reconciled(service: Service, *arguments: str) -> tuple[int, str]:
    """How many repairs, and what was said."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streamer", "--config", str(service.config), "reconcile", *arguments),
        cwd=service.folder,
        env={**environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(120):
            out, error = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, error.decode()
    match = re.search(r"^found (\d+) in \d+ rows$", out.decode(), re.MULTILINE)
    assert match, out
    return int(match[1]), out.decode()


async def finished(service: Service) -> None:
    """All that the log was told of has an outcome, three looks in a row."""
    async with asyncio.timeout(90):
        calm = 0
        while calm < 3:
            source = (await service.committed("source")).get("admitted", 0)
            replayed = (await service.committed("replay")).get("admitted", 0)
            outcomes = await service.committed("enrich")
            calm = calm + 1 if source and outcomes.get("admitted", 0) == source + replayed else 0
            await asyncio.sleep(0.1)


def pages_of(dropped: list[Told]) -> set[int]:
    """The pages of which something was lost."""
    pages: set[int] = set()
    for told in dropped:
        event = told.event
        for entry in (event, event.get("page"), event.get("created_redirect_page")):
            page_id = entry.get("page_id") if isinstance(entry, dict) else None
            if isinstance(page_id, int):
                pages.add(page_id)
    return pages


async def _found_repaired_and_found_once(
    farm: WikiFarm, folder: Path, rng: random.Random, log: str = ""
) -> None:
    write_partners(folder / "partners.toml")
    port = free_port()
    config = farm.config().replace("\nport = 0\n", f"\nport = {port}\n")
    config += "[reconcile]\nlag_s = 0\nevery_hours = 0\n"
    if log:
        config = config.replace('path = "streamer.db"', log)
    mirror = Mirror()
    async with Service(folder, config) as service, asyncio.TaskGroup() as group:
        await service.event("connected to the stream")
        feed = Feed(f"http://127.0.0.1:{port}/v2/articles", KEYS["everything"], since="2020-01-01T00:00:00Z")
        following = group.create_task(mirror.follow(feed))
        for deed in FIRST:
            await farm.do(deed, WIKI, rng)
        await farm.settled()
        await finished(service)
        await reconciled(service, WIKI)
        await asyncio.sleep(1.1 - time.time() % 1)  # from the next second on it counts
        lost: set[int] = set()
        undone: list[str] = []
        story: list[str] = []
        """What was done, and what was lost of it: for a failure."""
        for deed in rng.sample(sorted(DEEDS), len(DEEDS)):
            is_lost = deed not in UNLISTED and rng.random() < 0.5
            if is_lost:
                await finished(service)
                await asyncio.sleep(1.1)  # what is out before the second of a deletion is from before it
            with farm.relay.drop(lambda told, is_lost=is_lost: is_lost and told.wiki == WIKI) as dropped:  # type: ignore[misc] # bound as a default: the loop's variable
                if not await farm.do(deed, WIKI, rng):
                    undone.append(deed)
                await farm.settled()
            unheard = [told for told in dropped if told.stream not in HINTS]
            lost |= pages_of(unheard)
            story.append(f"{deed} {sorted(pages_of(unheard))}" if is_lost else deed)
            if rng.random() < 0.3:
                await farm.do("edit", WIKI, rng)
        await farm.do("create", WIKI, rng)
        await farm.settled()
        await finished(service)
        number, said = await reconciled(service, WIKI)
        assert lost, undone
        assert number, said
        await finished(service)
        truth = await farm.truth()
        wrong = await mirror.differs_from(truth, timeout_s=30)
        assert not wrong, f"{len(wrong)} of {len(truth)} pages differ: {wrong} after {said}{'; '.join(story)}"
        refreshed = {
            page
            for (wiki, page), article in mirror.newest.items()
            if wiki == WIKI and article["event"]["kind"] == "refresh" and page not in lost
        }
        told = {page for page in refreshed if not _is_told(farm, page)}
        assert not told, f"restated without a loss or a word: {told}"
        number, said = await reconciled(service)
        assert not number, f"{said}after {'; '.join(story)}"
        outcomes = await service.committed("enrich")
        assert outcomes.pop("admitted") == sum(outcomes.values())
        following.cancel()


def _is_told(farm: WikiFarm, page: int) -> bool:
    """Whether a stream has given a reason to restate it: a protection, an import, an upload."""
    rows = farm.wikis[WIKI].rows(
        "SELECT count(*) FROM logging WHERE log_page = ? AND log_type != 'create'", page
    )
    return bool(rows[0][0])


@pytest.mark.timeout(600)
async def test_a_known_set_is_lost_on_the_local_log(
    farm: WikiFarm, tmp_path: Path, rng: random.Random
) -> None:
    """Each kind of deed, of which the stream loses a random half: a partner that lacked them has the wiki as
    it is, and a second look finds nothing.
    """
    await _found_repaired_and_found_once(farm, tmp_path, rng)


@pytest.mark.soak  # that a log is a log, the rest of the suite shows
@pytest.mark.xdist_group("kafka")
@pytest.mark.timeout(600)
async def test_a_known_set_is_lost_on_kafka(
    farm: WikiFarm, tmp_path: Path, rng: random.Random, brokers: Brokers
) -> None:
    """The same over a cluster."""
    await _found_repaired_and_found_once(farm, tmp_path, rng, OnKafka(brokers).settings)


async def test_nothing_is_found_where_all_was_told(
    farm: WikiFarm, tmp_path: Path, rng: random.Random
) -> None:
    """Each kind of deed, all told: what real wikis list is what their streams tell."""
    write_partners(tmp_path / "partners.toml")
    config = farm.config() + "[reconcile]\nlag_s = 0\nevery_hours = 0\n"
    async with Service(tmp_path, config) as service:
        await service.event("connected to the stream")
        for deed in FIRST:
            await farm.do(deed, WIKI, rng)
        await farm.settled()
        await finished(service)
        await reconciled(service)
        await asyncio.sleep(1.1 - time.time() % 1)
        for deed in rng.sample(sorted(DEEDS), len(DEEDS)):
            await farm.do(deed, WIKI, rng)
        await farm.do("create", WIKI, rng)
        await farm.settled()
        await finished(service)
        number, said = await reconciled(service)
        assert not number, (said, [line for line in service.lines if "lost" in line])
