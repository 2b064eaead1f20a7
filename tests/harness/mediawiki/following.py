"""The service on a farm, and a partner that applies what it receives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from recording_setup import KEYS, write_partners

from harness.feed import Feed
from harness.mediawiki.farm import WikiFarm
from harness.mediawiki.mirror import Mirror
from harness.service import Service


@asynccontextmanager
async def followed(
    farm: WikiFarm, folder: Path, *, missing_retry_s: float = 0.5, silence_s: float = 60.0
) -> AsyncIterator[tuple[Service, Mirror]]:
    write_partners(folder / "partners.toml")
    mirror = Mirror()
    config = farm.config(missing_retry_s=missing_retry_s, silence_s=silence_s)
    async with Service(folder, config) as service, asyncio.TaskGroup() as group:
        await service.event("connected to the stream")
        url = f"http://127.0.0.1:{await service.port()}/v2/articles"
        feed = Feed(url, KEYS["everything"], since="2020-01-01T00:00:00Z")
        following = group.create_task(mirror.follow(feed))
        yield service, mirror
        following.cancel()
