"""How a process runs: on uvloop where there is one, and seldom looking for garbage that refers to itself."""

import asyncio
import gc
from collections.abc import Coroutine
from typing import Final, TypeVar

GARBAGE: Final = (50_000, 20, 10)
"""How many objects more than before make Python look for cycles. A change leaves none behind, but it is made
of some hundred objects: at Python's own figure (700) a fifth of all the time went into looking at those that
are still needed.
"""

T = TypeVar("T")


def run(main: Coroutine[object, object, T]) -> T:
    """To its end, as `asyncio.run`: for the process whose only work this is."""
    _collect_seldom()
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 - absent on platforms that it does not support
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


def _collect_seldom() -> None:
    gc.freeze()  # what was imported stays: it needs no looking at
    gc.set_threshold(*GARBAGE)
