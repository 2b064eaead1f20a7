"""Brokers that stand for a whole session or module, whatever loops its tests run in."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.kafka import Brokers, Unavailable


@contextmanager
def standing(folder: Path, *, secure: bool = False) -> Iterator[Brokers]:
    """Skips where there is no Java and no Maven."""
    running = Brokers(folder, secure=secure)
    # in a thread of its own: fixtures are also asked for from within a test's loop
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="brokers", daemon=True)
    thread.start()
    try:
        try:
            asyncio.run_coroutine_threadsafe(running.__aenter__(), loop).result()
        except Unavailable as error:
            pytest.skip(str(error))
        yield running
        asyncio.run_coroutine_threadsafe(running.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
