"""What all tests share: where the recordings lie, and the seed of random tests."""

import os
import random
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SEED = int(os.environ.get("STREAMER_TEST_SEED") or random.SystemRandom().randrange(1_000_000))


def pytest_report_header() -> str:
    return f"random tests: STREAMER_TEST_SEED={SEED}"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings; skips where it is absent (they are not the project's to ship)."""
    folder = Path(os.environ.get("STREAMER_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}; set STREAMER_SHARED_DATA to a folder that holds them")
    return folder


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Random, but the same for the same seed and test."""
    return random.Random(f"{SEED}:{request.node.nodeid}")
