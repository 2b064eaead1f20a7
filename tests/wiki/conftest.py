"""The real wikis: made anew for each test that takes them, which costs two seconds."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harness.mediawiki import WikiFarm, absent


@pytest.fixture(scope="session")
def mediawiki() -> None:
    """Skips where there is none."""
    if reason := absent():
        pytest.skip(reason)


@pytest.fixture
async def farm(mediawiki: None, tmp_path: Path) -> AsyncIterator[WikiFarm]:  # noqa: ARG001 - its skip is what is wanted
    async with WikiFarm(tmp_path / "farm") as farm:
        yield farm
