"""The service on the real wikis."""

import asyncio
import random
from pathlib import Path

from harness.feed import Feed
from harness.mediawiki import WikiFarm
from harness.service import Service
from recording_setup import KEYS, write_partners


async def test_an_edit_of_a_real_wiki_reaches_a_partner(
    farm: WikiFarm, tmp_path: Path, rng: random.Random
) -> None:
    """With its text, and with that wiki's own licence."""
    write_partners(tmp_path / "partners.toml")
    async with Service(tmp_path, farm.config()) as service:
        await service.event("connected to the stream")
        url = f"http://127.0.0.1:{await service.port()}/v2/articles"
        feed = Feed(url, KEYS["everything"], since="2020-01-01T00:00:00Z")
        for wiki in farm.wikis:
            assert await farm.do("create", wiki, rng)
        wanted = {name for name, _ in await farm.truth()}
        truth = await farm.truth()
        async with asyncio.timeout(30):
            async for event in feed.events():
                if event.name != "message":
                    continue
                article = event.article
                project, licences = article["is_part_of"], article["license"]
                assert isinstance(project, dict)
                assert isinstance(licences, list)
                wiki = farm.wikis[project["identifier"]]
                told = truth[wiki.name, int(str(article["identifier"]))]
                assert article["name"] == told.title
                assert project["in_language"]["identifier"] == wiki.language
                assert [licence["url"] for licence in licences] == [wiki.licence_url]
                wanted.discard(wiki.name)
                if not wanted:
                    break
    assert set(farm.gate.requests) == set(farm.wikis)
