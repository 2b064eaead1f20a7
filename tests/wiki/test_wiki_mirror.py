"""A partner that only applies what it receives ends up with the real wikis as they are."""

import asyncio
import random
from dataclasses import asdict
from pathlib import Path

import pytest
from harness.feed import Feed
from harness.mediawiki import DEEDS, Truth, WikiFarm
from harness.mediawiki.mirror import Mirror
from harness.service import Service
from recording_setup import KEYS, write_partners

TRIES = 5
"""A deed picks its pages at random, and some can't be done to what it picked."""
FIRST = ("create", "edit", "edit", "create", "edit", "create", "edit")
"""So that there is something to do the others to."""


@pytest.mark.timeout(600)
async def test_each_deed_once_and_the_mirror_is_the_wiki(
    farm: WikiFarm, tmp_path: Path, rng: random.Random
) -> None:
    """Every kind of deed, while the other wikis are edited: title, presence and text of each page are what a
    reader finds, and each admitted change has one outcome.
    """
    write_partners(tmp_path / "partners.toml")
    mirror = Mirror()
    async with Service(tmp_path, farm.config()) as service, asyncio.TaskGroup() as group:
        await service.event("connected to the stream")
        url = f"http://127.0.0.1:{await service.port()}/v2/articles"
        feed = Feed(url, KEYS["everything"], since="2020-01-01T00:00:00Z")
        following = group.create_task(mirror.follow(feed))
        for wiki in farm.wikis:
            for deed in FIRST:
                await farm.do(deed, wiki, rng)
        for deed in sorted(DEEDS, key=lambda deed: deed != "create_foreign"):  # while its few titles are free
            for _ in range(TRIES):
                if await farm.do(deed, "enproof", rng):
                    break
                await farm.do("create", "enproof", rng)
                await farm.do("edit", "enproof", rng)
        assert not DEEDS.keys() - farm.done.keys(), farm.refused
        truth = await farm.truth()
        wrong = await mirror.differs_from(truth, timeout_s=120)
        assert not wrong, f"{len(wrong)} of {len(truth)} pages differ: {_told(wrong, farm)}"
        outcomes = await service.committed("enrich")
        assert outcomes.pop("admitted") == sum(outcomes.values())
        assert not outcomes.get("deadletter")
        following.cancel()


def _told(wrong: dict[tuple[str, int], tuple[object, Truth]], farm: WikiFarm) -> str:
    lines = []
    for (wiki, page), (held, wanted) in list(wrong.items())[:6]:
        lines.append(f"{wiki}:{page} held {held}, is {asdict(wanted)}")
        lines += [
            f"    {told.stream} {told.event.get('page_change_kind') or told.event.get('log_action')}"
            for told in farm.relay.heard
            if told.wiki == wiki and _page_of(told.event) == page
        ]
    return "\n".join(lines)


def _page_of(event: dict[str, object]) -> object:
    page = event.get("page")
    return page.get("page_id") if isinstance(page, dict) else event.get("page_id")
