"""What a person at a terminal sees while a recording runs through: one line, rewritten in place."""

import asyncio
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TextIO

from streamer.metrics import COMMITTED
from streamer.runtime import Runtime

REFRESH_S: Final = 0.5
CLEAR: Final = "\r\x1b[K"


def line(elapsed_s: float, source: Mapping[str, int], enrich: Mapping[str, int]) -> str:
    """`12 s  admitted 1,302  published 1,290 (107/s)  gone 4  deadletter 0  waiting 8`."""
    admitted = source.get("admitted", 0)
    finished = enrich.get("admitted", 0)
    published = enrich.get("published", 0)
    rate = published / elapsed_s if elapsed_s > 0 else 0.0
    rest = "".join(
        f"  {name} {enrich[name]:,}" for name in ("gone", "superseded", "deadletter") if enrich.get(name)
    )
    return (
        f"{elapsed_s:.0f} s  admitted {admitted:,}  published {published:,} ({rate:,.0f}/s){rest}"
        f"  waiting {max(0, admitted - finished):,}"
    )


async def show_progress(_: Runtime, out: TextIO = sys.stderr) -> None:
    """Until cancelled; writes only to a terminal. The clock stops when nothing waits any more."""
    if not out.isatty():
        return
    began_s = time.monotonic()
    elapsed_s = 0.0
    before: dict[str, int] = {}
    with _logs_above():
        try:
            while True:
                totals = COMMITTED.totals("enrich")
                if totals != before or not before:
                    elapsed_s, before = time.monotonic() - began_s, totals
                out.write(CLEAR + line(elapsed_s, COMMITTED.totals("source"), totals))
                out.flush()
                await asyncio.sleep(REFRESH_S)
        finally:
            out.write("\n")


class _Above(logging.Formatter):
    """Log lines take the place of the progress line, which is drawn anew below them."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return CLEAR + self._inner.format(record)


@contextmanager
def _logs_above() -> Iterator[None]:
    handlers = [(handler, handler.formatter) for handler in logging.getLogger().handlers]
    for handler, inner in handlers:
        handler.setFormatter(_Above(inner or logging.Formatter()))
    try:
        yield
    finally:
        for handler, inner in handlers:
            handler.setFormatter(inner)
