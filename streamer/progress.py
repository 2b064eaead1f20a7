"""What a person at a terminal sees while a recording runs through: one line, rewritten in place."""

import asyncio
import sys
import time
from collections.abc import Mapping
from typing import TextIO

from streamer.metrics import COMMITTED
from streamer.runtime import Runtime

REFRESH_S = 0.5


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
    """Until cancelled; writes only to a terminal."""
    if not out.isatty():
        return
    began_s = time.monotonic()
    while True:
        text = line(time.monotonic() - began_s, COMMITTED.totals("source"), COMMITTED.totals("enrich"))
        out.write(f"\r\x1b[K{text}")
        out.flush()
        await asyncio.sleep(REFRESH_S)
