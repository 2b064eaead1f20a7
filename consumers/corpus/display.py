"""How following goes: a live table where there is a terminal, else a JSON line now and then."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from consumers.corpus.tally import Tally
from consumers.terminal import visible_line

if TYPE_CHECKING:
    from rich.table import Table

REDRAWN_S: Final = 0.5
RATE_S: Final = 10.0
"""Over which a rate is taken."""
WIKIS: Final = 12
"""That are shown, those with the most events."""
WIDTH: Final = 72
KIB: Final = 1024


@dataclass(slots=True)
class Rates:
    """Of a tally, over the last RATE_S."""

    _seen: deque[tuple[float, int, int]] = field(default_factory=deque)

    def of(self, tally: Tally, now_s: float) -> tuple[float, float]:
        """Events and bytes a second, since they were asked for last but some."""
        self._seen.append((now_s, tally.events, tally.received_bytes))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - RATE_S:
            self._seen.popleft()
        then_s, events, received = self._seen[0]
        took_s = now_s - then_s
        if took_s <= 0:
            return 0.0, 0.0
        return (tally.events - events) / took_s, (tally.received_bytes - received) / took_s


def line(tally: Tally, rates: Rates, now_s: float, **more: object) -> str:
    """One JSON object, for a service's log."""
    events_per_s, bytes_per_s = rates.of(tally, now_s)
    said = {
        "time": datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds"),
        "events": tally.events,
        "events_per_s": round(events_per_s, 1),
        "rows_changed": tally.changed,
        "gone": tally.gone,
        "received_bytes": tally.received_bytes,
        "bytes_per_s": round(bytes_per_s),
        "lag_s": None if tally.lag_s is None else round(tally.lag_s, 3),
        "bad_events": tally.bad,
        "commits": tally.commits,
        "wikis": dict(tally.wikis.most_common(WIKIS)),
    }
    return json.dumps(said | more)


async def lines(
    tally: Tally, say: Callable[[str], None], interval_s: float, clock: Callable[[], float] = time.time
) -> None:
    """One each interval, until cancelled."""
    rates = Rates()
    rates.of(tally, clock())
    while True:
        await asyncio.sleep(interval_s)
        say(line(tally, rates, clock()))


async def live(tally: Tally, what: str, clock: Callable[[], float] = time.time) -> None:
    """On the terminal, until cancelled; what it showed last stays."""
    from rich.live import Live  # noqa: PLC0415 - a service needs none of it

    rates, begun_s = Rates(), clock()
    with Live(auto_refresh=False, transient=False) as shown:
        try:
            while True:
                shown.update(table(tally, rates, clock(), begun_s, what), refresh=True)
                await asyncio.sleep(REDRAWN_S)
        finally:
            shown.update(table(tally, rates, clock(), begun_s, what), refresh=True)


def table(tally: Tally, rates: Rates, now_s: float, begun_s: float, what: str) -> "Table":
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    events_per_s, bytes_per_s = rates.of(tally, now_s)
    lag = "unknown" if tally.lag_s is None else f"{tally.lag_s:,.1f} s"
    shown = Table(
        title=escape(visible_line(f"{what} · {_span(now_s - begun_s)}")),
        caption=(
            f"behind the last edit {lag} · {events_per_s:,.0f} events/s · {_size(bytes_per_s)}/s"
            f" · {tally.bad:,} bad"
        ),
        min_width=WIDTH,
        title_justify="left",
        caption_justify="left",
    )
    shown.add_column("wiki")
    for name in ("events", "removals"):
        shown.add_column(name, justify="right")
    for wiki, events in tally.wikis.most_common(WIKIS):
        shown.add_row(escape(visible_line(wiki)), f"{events:,}", f"{tally.deletions[wiki]:,}")
    if len(tally.wikis) > WIKIS:
        shown.add_row(f"and {len(tally.wikis) - WIKIS} more", "", "")
    shown.add_section()
    shown.add_row("all", f"{tally.events:,}", f"{sum(tally.deletions.values()):,}")
    shown.add_row("rows changed", f"{tally.changed:,}", f"{tally.gone:,}")
    shown.add_row("received", _size(tally.received_bytes), "")
    return shown


def _size(count: float) -> str:
    unit = "B"
    for larger in ("kB", "MB", "GB"):
        if count >= KIB:
            count, unit = count / KIB, larger
    return f"{count:,.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"


def _span(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
