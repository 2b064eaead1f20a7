"""How a process is told to stop, and that it does.

    SIGTERM, SIGINT   once: drain, for `drain_s` at most; once more: stop now
    SIGHUP            reload; a drain where there is nothing to reload (a terminal that was closed)

A second signal gives up the drain, not the order: roles are cancelled, the log is closed. Nothing is lost by
that, every role continues from its committed positions, so it is no failure either and the exit code is 0.
What no cancellation reaches (a disk or a name server that hangs in a thread) is ended by a timer, with 1.
"""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

MARGIN_S: Final = 1.0
"""Beyond `drain_s`, for closing what is open; then the process ends whatever it is doing."""
NUMBERS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

logger = logging.getLogger(__name__)


class Wishes:
    """Made in the running loop; `heard` frames what is to be stopped."""

    def __init__(self, drain_s: float, *, can_reload: bool) -> None:
        self.draining = asyncio.Event()
        self.hurry = asyncio.Event()
        self.reload = asyncio.Event()
        self.drain_s = drain_s
        self._can_reload = can_reload
        self._is_over = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in NUMBERS}
        for number in NUMBERS:
            loop.add_signal_handler(number, self._hear, number)
        try:
            yield
        finally:
            self._is_over = True
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                with suppress(TypeError):  # one that Python did not set
                    signal.signal(number, handler)

    def _hear(self, number: signal.Signals) -> None:
        if number == signal.SIGHUP and self._can_reload:
            self.reload.set()
        elif not self.draining.is_set():
            self.draining.set()
            timer = threading.Timer(self.drain_s + MARGIN_S, self._end)
            timer.daemon = True
            timer.start()
        elif number != signal.SIGHUP:
            self.hurry.set()

    def _end(self) -> None:
        """In a thread of its own: the loop may be what hangs."""
        if not self._is_over:
            logger.critical("stopped the hard way: something could not be closed in time")
        os._exit(0 if self._is_over else 1)
