"""Every engine keeps the contract."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conformance.log.checks import CHECKS, Check
from tests.conformance.log.engine import Engine, LocalEngine
from tests.conformance.log.kafka_engine import KafkaEngine


@pytest.fixture(params=["local", pytest.param("kafka", marks=pytest.mark.xdist_group("kafka"))])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    if request.param == "local":
        yield LocalEngine(tmp_path / "log.db")
        return
    kafka = KafkaEngine(request.getfixturevalue("brokers"))
    yield kafka
    await kafka.clear()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_engine_keeps_the_contract(engine: Engine, check: Check) -> None:
    """The engine passes this check; its docstring says what that means."""
    await check(engine)
