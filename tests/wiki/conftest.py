"""The real wikis: made anew for each test that takes them, which costs a second."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harness.mediawiki import WikiFarm, absent


@pytest.fixture(scope="session")
def mediawiki() -> None:
    """Skips where there is none."""
    if reason := absent():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def origin(mediawiki: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001 - its skip is what is wanted
    """What all farms are copies of."""
    return tmp_path_factory.mktemp("mediawiki")


@pytest.fixture
async def farm(origin: Path, tmp_path: Path) -> AsyncIterator[WikiFarm]:
    async with WikiFarm(tmp_path / "farm", origin=origin) as farm:
        yield farm
