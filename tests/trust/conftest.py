"""The stage of each proof: real wikis, and the service on one log or the other."""

import random
from collections.abc import Collection
from pathlib import Path

import pytest
from harness.mediawiki import absent
from harness.mediawiki.taken import Taken
from harness.mediawiki.withdrawals import OnALog, Withdrawals


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all farms are copies of."""
    if reason := absent():
        pytest.skip(reason)
    return tmp_path_factory.mktemp("mediawiki")


@pytest.fixture(params=["local", pytest.param("kafka", marks=pytest.mark.xdist_group("kafka"))])
def on(request: pytest.FixtureRequest, tmp_path: Path, origin: Path, rng: random.Random) -> OnALog:
    """To be entered, on the one log and on the other."""
    brokers = request.getfixturevalue("brokers") if request.param == "kafka" else None

    def stage(taken: Collection[Taken], *, history_s: float = 3600.0) -> Withdrawals:
        return Withdrawals(tmp_path, origin, rng, brokers, taken=taken, history_s=history_s)

    return stage
