"""One Chromium for a module; each test has a profile of its own."""

from collections.abc import AsyncIterator

import pytest_asyncio
from harness.browsing import chromium
from playwright.async_api import Browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running
