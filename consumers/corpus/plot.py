"""How fresh a corpus is, as a picture: the distribution of ages, from the edit to its row, and their course
over time.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from consumers.corpus.freshness import LEAST_S, Fresh, percentile
from consumers.corpus.whole import replaced
from consumers.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES: Final = (".png", ".svg")
SHARES: Final = ((0.5, "half", "#2166ac"), (0.9, "90 %", "#67a9cf"), (0.99, "99 %", "#b2182b"))
"""Of the events, that were no older; how it is called, and its colour."""
INCHES: Final = (9.0, 7.5)
DPI: Final = 130
SETTINGS: Final[Any] = {  # its type is of each of its 300 names
    "axes.axisbelow": True, "date.converter": "concise", "font.size": 10, "svg.hashsalt": "corpus",
    "text.parse_math": False, "timezone": "UTC",
}  # fmt: skip
POINTS: Final = 200
"""On the axis of time: minutes are put together to no more."""
TICKS_S: Final = {
    0.001: "1 ms", 0.01: "10 ms", 0.1: "100 ms", 1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min",
    3_600: "1 h", 21_600: "6 h", 86_400: "1 day", 604_800: "1 week",
    2_592_000: "30 days", 31_536_000: "1 year",
}  # fmt: skip
"""Where a logarithmic axis of ages is labelled."""


ROOM: Final = 1.5
"""On a logarithmic axis, beyond what is shown."""
LEAST_SHOWN: Final = timedelta(minutes=10)


class Point(NamedTuple):
    at: datetime
    """When its minutes began."""
    width: timedelta
    """Of how many they are."""
    ages_s: tuple[float, ...]
    """That of each of SHARES."""


def course(counts: Sequence[Fresh], points: int = POINTS) -> list[Point]:
    """By time; stretches without events are left out."""
    if not counts:
        return []
    first, last = min(count.minute for count in counts), max(count.minute for count in counts)
    width_s = 60 * -(-((last - first) // 60 + 1) // points)
    stretches: dict[int, list[Fresh]] = {}
    for count in counts:
        stretches.setdefault((count.minute - first) // width_s, []).append(count)
    return [
        Point(
            datetime.fromtimestamp(first + number * width_s, UTC),
            timedelta(seconds=width_s),
            tuple(percentile(stretch, share) or LEAST_S for share, _, _ in SHARES),
        )
        for number, stretch in sorted(stretches.items())
    ]


def plot(counts: Sequence[Fresh], path: Path, source: str, now: datetime) -> None:
    """To `path`, PNG or SVG by its name; what stood there is replaced. `source` is named in the title.

    Raises UsageError of another name and where there is nothing to show, SinkError where it can't be written.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: a picture is a {' or a '.join(SUFFIXES)}")
    if not counts:
        raise UsageError(f"{source} has applied no event of a feed in that time: there is nothing to show")
    import matplotlib as mpl  # noqa: PLC0415 - half a second, for pictures only
    from matplotlib.figure import Figure  # noqa: PLC0415 - draws by Agg, needs no display and no state

    events = sum(count.events for count in counts)
    with mpl.rc_context(SETTINGS):
        figure = Figure(INCHES, dpi=DPI, layout="constrained")
        above, below = figure.subplots(2, 1, height_ratios=(1, 1))
        figure.suptitle(f"Freshness of {source} as of {now:%Y-%m-%d %H:%M} UTC (events: {events:,})")
        _distribution(above, counts)
        _over_time(below, counts)
        with replaced(path) as place:
            metadata = {"Date": None} if path.suffix == ".svg" else {}
            figure.savefig(place, format=path.suffix[1:], metadata=metadata)


def _distribution(axes: "Axes", counts: Sequence[Fresh]) -> None:
    total = sum(count.events for count in counts)
    by_age: dict[float, int] = {}
    for count in counts:
        by_age[count.age_s] = by_age.get(count.age_s, 0) + count.events
    ages, shares, so_far = [min(by_age)], [0.0], 0
    for age_s in sorted(by_age):
        so_far += by_age[age_s]
        ages.append(age_s)
        shares.append(100 * so_far / total)
    ages.append(max(by_age) * ROOM)
    shares.append(100.0)
    axes.step(ages, shares, where="post", color="#333333", linewidth=1.6)
    for share, name, colour in SHARES:
        age_s = percentile(counts, share) or LEAST_S
        axes.axvline(
            age_s, color=colour, linestyle="--", linewidth=1.2, label=f"{name} within {_said(age_s)}"
        )
    axes.set(
        title="From the edit on the wiki to the row in the corpus",
        xlabel="age when it was applied (log scale)",
        ylabel="share of events (%)",
        ylim=(0, 102),
    )
    axes.set_xscale("log")
    _label(axes, min(by_age), max(by_age), "x")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="lower right")


def _over_time(axes: "Axes", counts: Sequence[Fresh]) -> None:
    points = course(counts)
    width = points[0].width
    for number, (_, name, colour) in enumerate(SHARES):
        times: list[Any] = []  # of dates, which its types don't know
        ages: list[float] = []
        for point in points:
            if times and point.at - times[-1] > width:  # nothing was applied: no line
                times.append(times[-1] + width)
                ages.append(math.nan)
            times.append(point.at)
            ages.append(point.ages_s[number])
        axes.plot(times, ages, color=colour, linewidth=1.4, marker=".", markersize=3, label=name)
    every = [age_s for point in points for age_s in point.ages_s]
    axes.set(
        title=f"Over time, in steps of {_said(width.total_seconds())}",
        xlabel="when it was applied (UTC)",
        ylabel="age that this share did not exceed (log scale)",
    )
    axes.set_yscale("log")
    _label(axes, min(every), max(every), "y")
    ends: list[Any] = [points[0].at - width, points[-1].at + max(width, LEAST_SHOWN)]
    axes.set_xlim(*ends)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(SHARES), frameon=False)


def _label(axes: "Axes", least_s: float, most_s: float, which: str) -> None:
    """In units that people count in, over all that is shown and some room, and two labels at the least."""
    low, high = least_s / ROOM, most_s * ROOM
    ticks = [tick for tick in TICKS_S if low <= tick <= high]
    if len(ticks) < 2:
        known = list(TICKS_S)
        low = max((tick for tick in known if tick <= low), default=low)
        high = min((tick for tick in known if tick >= high), default=high)
        ticks = [tick for tick in known if low <= tick <= high]
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(ticks, [TICKS_S[tick] for tick in ticks])
    axis.set_ticks([], minor=True)
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)


def _said(age_s: float) -> str:
    for unit_s, unit in ((86_400, "days"), (3_600, "h"), (60, "min"), (1, "s")):
        if age_s >= 2 * unit_s or unit_s == 1 <= age_s:
            return f"{age_s / unit_s:.3g} {unit}"
    return f"{age_s * 1_000:.3g} ms"
