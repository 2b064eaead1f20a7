"""The stage of each proof: real wikis, and the service on one log or the other."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from harness.mediawiki import absent
from harness.mediawiki.withdrawals import Taken, Withdrawals
from harness.on_kafka import OnKafka

from deploy.kafka import Brokers

Stage = Callable[..., AbstractAsyncContextManager[Withdrawals]]


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all farms are copies of."""
    if reason := absent():
        pytest.skip(reason)
    return tmp_path_factory.mktemp("mediawiki")


@pytest.fixture(params=["local", pytest.param("kafka", marks=pytest.mark.xdist_group("kafka"))])
def on(request: pytest.FixtureRequest, tmp_path: Path, origin: Path, rng: random.Random) -> Stage:
    """To be entered, with the pages and the history that the proof wants."""
    brokers: Brokers | None = request.getfixturevalue("brokers") if request.param == "kafka" else None

    @asynccontextmanager
    async def stage(taken: list[Taken], *, history_s: float = 3600.0) -> AsyncIterator[Withdrawals]:
        kafka = OnKafka(brokers) if brokers else None
        async with Withdrawals(tmp_path, origin, rng, kafka, taken=taken, history_s=history_s) as withdrawals:
            yield withdrawals

    return stage
