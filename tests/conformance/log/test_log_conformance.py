"""Every engine keeps the contract."""

from pathlib import Path

import pytest

from tests.conformance.log.checks import CHECKS, Check
from tests.conformance.log.engine import Engine, LocalEngine


@pytest.fixture(params=["local"])
def engine(tmp_path: Path) -> Engine:
    return LocalEngine(tmp_path / "log.db")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_engine_keeps_the_contract(engine: Engine, check: Check) -> None:
    """The engine passes this check; its docstring says what that means."""
    await check(engine)
