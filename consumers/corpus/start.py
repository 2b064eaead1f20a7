"""A start of feeds that were never read: which, and where they begin.

Each feed has its first position as soon as its server answers, so some may have one and some none when a
process is ended. Those that have none begin where they were to.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from consumers.corpus.state import State

START: Final = "start"
"""The fact: the last one, as JSON."""
SKEW: Final = timedelta(minutes=5)
"""So much earlier than now by our clock: a server's may be behind. What is read twice does no harm."""


class Start(Struct, frozen=True):
    feeds: list[str]
    since: datetime


def started(state: State, feeds: Collection[str], since: datetime | None) -> None:
    """Before they are read. None: they begin now."""
    if feeds:
        start = Start(sorted(feeds), since or datetime.now(UTC) - SKEW)
        state.commit(facts={START: msgspec.json.encode(start).decode()})


def since_of(state: State, feeds: Collection[str]) -> datetime | None:
    """Where they were to begin, when they were started together; None: they were not."""
    text = state.fact(START)
    start = msgspec.json.decode(text, type=Start) if text else None
    return start.since if start and start.feeds and set(feeds) <= set(start.feeds) else None
