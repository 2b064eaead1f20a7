"""What the suite runs against: a foreign URL, or our own service on each engine.

`endpoint` is a URL and a key, and all that the tests in `anywhere` know. `prepared` feeds can be written
to: against a foreign URL the tests that need one skip.
"""

import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.endpoint.service import Prepared, Service
from tests.conformance.endpoint.wire import Endpoint, Key
from tests.harness.on_kafka import OnKafka

OWN = ("local", pytest.param("kafka", marks=pytest.mark.xdist_group("kafka")))
NEEDS_OURS = "needs a feed that the test can write to: only on our own engines"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance of the endpoint")
    group.addoption("--url", help="of /v2/articles, in place of our own service")
    group.addoption("--key-file", help="that holds the key for it; or $STREAMER_CONFORMANCE_KEY")


def foreign(config: pytest.Config) -> str:
    return config.getoption("--url", default=None) or ""


def key_of(config: pytest.Config) -> Key:
    file = config.getoption("--key-file", default=None)
    text = Path(file).read_text() if file else os.environ.get("STREAMER_CONFORMANCE_KEY", "")
    if not text.strip():
        raise pytest.UsageError("--url needs a key: --key-file PATH, or $STREAMER_CONFORMANCE_KEY")
    return Key(text.strip())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "service" in metafunc.fixturenames:
        engines = ("url",) if foreign(metafunc.config) else OWN
        metafunc.parametrize("service", engines, indirect=True, scope="package")


@pytest.fixture(scope="package")
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service | None]:
    """None: there is a URL instead. Gone when the next test is none of this folder: what its thread draws
    from `random` would be an error to Hypothesis.
    """
    if request.param == "url":
        yield None
        return
    kafka = OnKafka(request.getfixturevalue("brokers")) if request.param == "kafka" else None
    running = Service(tmp_path_factory.mktemp("service"), kafka)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def endpoint(request: pytest.FixtureRequest, service: Service | None) -> Endpoint:
    """A feed with some articles in it, that gets more now and then."""
    if service is None:
        return Endpoint(foreign(request.config), key_of(request.config))
    return service.endpoint


@pytest.fixture
def prepare(service: Service | None) -> Callable[..., Awaitable[Prepared]]:
    """Makes feeds, each with a partner's table of its own."""
    if service is None:
        pytest.skip(NEEDS_OURS)
    return service.prepared


@pytest.fixture
async def prepared(prepare: Callable[..., Awaitable[Prepared]]) -> Prepared:
    """An empty feed whose requests are not limited."""
    return await prepare()
