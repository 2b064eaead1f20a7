"""What a dashboard is: rows of panels, each with what a person needs who is woken by it.

A panel says what a bad value means and names the alerts that watch it; its legend names each series; a value
has its unit, and a limit where good ends somewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from grafana_foundation_sdk.models import units

COUNT: Final = units.Short
SHARE: Final = units.PercentUnit
SECONDS: Final = units.Seconds
BYTES: Final = units.BytesIEC
BYTES_PER_SECOND: Final = units.BytesPerSecondIEC
RECORDS_PER_SECOND: Final = units.RecordsPerSecond
EVENTS_PER_SECOND: Final = units.EventsPerSecond
REQUESTS_PER_SECOND: Final = units.RequestsPerSecond
REQUESTS_PER_MINUTE: Final = units.RequestsPerMinute
COUNTS_PER_SECOND: Final = units.CountsPerSecond
COLUMNS: Final = 24
"""Of Grafana's grid: the panels of a row fill them."""


@dataclass(frozen=True, slots=True)
class Line:
    """A query, and what its series are called: `{{label}}` is replaced by the label's value."""

    query: str
    name: str


@dataclass(frozen=True, slots=True)
class Limit:
    """Where good ends, and on which side bad begins."""

    value: float
    bad: Literal["above", "below"] = "above"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """`says`: what a bad value means. `alerts` watch what it shows, and their pages tell what to do.
    `empty`: what to say where there is no series, which is often the best there can be.
    """

    title: str
    says: str
    alerts: Sequence[str] = ()
    width: int = 8
    empty: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot(Panel):
    """Lines over time. `top`: the highest value that there can be. `of_partners`: each line is a partner's,
    and leads to its dashboard.
    """

    unit: str
    lines: Sequence[Line]
    limit: Limit | None = None
    stacked: bool = False
    top: float | None = None
    of_partners: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure(Panel):
    """The newest value of each series, large, on a sketch of how it came to be."""

    unit: str
    line: Line
    limit: Limit | None = None
    decimals: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Panel):
    """What is so now, a series a row: of its labels these, in this order. `pages`: the column that names
    alerts, each of which leads to its page.
    """

    line: Line
    columns: Sequence[str]
    pages: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """`repeat`: the variable for each of whose values there is such a row."""

    title: str
    panels: Sequence[Panel]
    repeat: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """`uid` is part of its address, and stays. `by_partner`: there is a variable for the partner."""

    uid: str
    title: str
    about: str
    rows: Sequence[Row]
    by_partner: bool = False
