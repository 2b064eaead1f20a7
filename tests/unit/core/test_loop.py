"""How a process runs (streamer.loop)."""

import asyncio
import gc
import sys
from collections.abc import Iterator

import pytest

from streamer.loop import GARBAGE, run


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The other tests' process is not this one."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


async def seen() -> tuple[tuple[int, int, int], int, str]:
    return gc.get_threshold(), gc.get_freeze_count(), type(asyncio.get_running_loop()).__module__


def test_a_process_looks_seldom_for_garbage_and_never_at_what_was_imported() -> None:
    thresholds, frozen, _ = run(seen())
    assert thresholds == GARBAGE
    assert frozen > 1_000


def test_it_runs_on_uvloop_where_there_is_one() -> None:
    pytest.importorskip("uvloop")
    assert run(seen())[2].startswith("uvloop")


def test_without_uvloop_it_runs_on_the_loop_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run(seen())[2].startswith("asyncio")
