"""An event loop that never waits: where nothing is ready its clock jumps to the next timer.

What runs on it alone (tasks, timers, locks, futures) behaves as it would in real time, to the order of
its steps, and an hour of waiting takes as long as its work. What it can't know of must not be waited for:
threads and other processes are refused, and sockets are not for it, since their bytes come at no virtual
instant.
"""

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, NoReturn, TypeVar

from streamer.clock import Clock

BEGAN_MS: Final = 1_790_000_000_000
"""What the wall's clock says when a loop begins: some day in September 2026."""

T = TypeVar("T")


class Stuck(RuntimeError):
    """Everything waits, and there is no timer that would end it."""


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    def run_in_executor(self, *_: Any) -> NoReturn:
        raise RuntimeError("a thread ends at no virtual instant")

    async def subprocess_exec(self, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("a process answers at no virtual instant")

    async def subprocess_shell(self, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("a process answers at no virtual instant")


class _Jumping(selectors.BaseSelector):
    """A selector in which waiting is to set the clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready:
            return ready
        if timeout is None:
            raise Stuck("everything waits, and no timer will end it")
        self.now_s += max(0.0, timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


def run(main: Callable[[], Coroutine[Any, Any, T]], *, seed: int = 0) -> T:
    """As `asyncio.run`, in virtual time. The `random` module is seeded: retries are spread by it."""
    before = random.getstate()
    random.seed(seed)
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(main())
    finally:
        random.setstate(before)


def clock() -> Clock:
    """What the running loop says, as the project's clock."""
    loop = asyncio.get_running_loop()
    return Clock(
        now_ms=lambda: BEGAN_MS + int(loop.time() * 1_000),
        now_us=lambda: BEGAN_MS * 1_000 + int(loop.time() * 1_000_000),
        monotonic_s=loop.time,
    )
