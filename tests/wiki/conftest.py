"""The real wikis: made anew for each test that takes them, which costs a second."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from harness.mediawiki import WikiFarm, absent
from harness.mediawiki.races import Race, Stage


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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """One farm and one service for all races of a module."""
    async with Stage(tmp_path_factory.mktemp("races"), origin) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def race(stage: Stage) -> AsyncIterator[Race]:
    async with stage.race() as race:
        yield race
