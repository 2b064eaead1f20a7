"""What all tests share: where the recordings lie, and the seed of random tests."""

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from harness.brokers import standing
from xdist.scheduler import LoadGroupScheduling

from deploy.kafka import Brokers

ROOT = Path(__file__).resolve().parent.parent
# hundreds of processes of the service are started, and where Python may keep nothing each compiles all of it
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# a shell's background jobs ignore Ctrl-C, and so would all that they start
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
USUAL_SEED = 20_261_129
"""So that a change is judged by what it does; `make soak`, which is to find what is new, says `random`."""
WISHED = os.environ.get("STREAMER_TEST_SEED", "")
SEED = random.SystemRandom().randrange(1_000_000) if WISHED == "random" else int(WISHED or USUAL_SEED)
hypothesis.settings.register_profile("usual", derandomize=True)
if not WISHED:
    hypothesis.settings.load_profile("usual")


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


@pytest.fixture(scope="session")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    """One real broker for all tests that don't harm it; skips where there is no Java and no Maven.

    Tests that use it belong to the xdist group `kafka`, so that there is one of it.
    """
    with standing(tmp_path_factory.mktemp("kafka")) as running:
        yield running


BY_MODULE = (
    "tests/browser/",
    "tests/wiki/",
    "tests/integration/test_provision.py",
)
ON_THE_BROKER = (
    "tests/e2e/test_fleet_budget.py",
    "tests/e2e/test_raised_partitions.py",
    "tests/integration/deliver/test_deliver_bad_topics.py",
    "tests/unit/enrich/test_enrich_hides.py",
    "tests/unit/route/test_route_narrowed.py",
    "tests/unit/route/test_route_since_withdrawn.py",
)
"""And whatever says `kafka` in its name."""
BESIDE_IT = (
    "tests/e2e/test_alerts_on_kafka.py",
    "tests/e2e/test_drain_on_kafka.py",
    "tests/e2e/test_on_kafka.py::test_service_waits_for_its_cluster",
    "tests/integration/log/test_kafka_outages.py",
    "tests/integration/test_provision.py",
    "tests/prove/",
)
"""With brokers of their own."""


class _ByModule(LoadGroupScheduling):
    """Each of these modules goes to one worker as a whole: the wikis or browser that its tests look at are
    made once. So do all that are on the one broker, first of all, since they are the most: a broker takes a
    tenth of a core though nobody asks it anything. (The mark `xdist_group` would say so, and has no effect
    with pytest 9.2: xdist 3.8 writes it into a node's id, which that no longer reads.)
    """

    def _split_scope(self, nodeid: str) -> str:
        on_the_broker = nodeid.startswith(ON_THE_BROKER) or "kafka" in nodeid
        if on_the_broker and not nodeid.startswith(BESIDE_IT):
            return "kafka"
        if nodeid.startswith(BY_MODULE):
            return nodeid.partition("::")[0]
        scope: str = super()._split_scope(nodeid)
        return scope


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadGroupScheduling | None:
    return _ByModule(config, log) if config.getvalue("dist") == "loadgroup" else None
