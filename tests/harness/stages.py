"""What each stage of a service has received, sent and discarded, as its metrics tell it."""

from collections.abc import Mapping
from typing import Final

STAGES: Final = ("source", "enrich", "route", "deliver")


def by_stage(told: Mapping[str, float], name: str, stage: str, more: str = "") -> float:
    """The sum of a stage's series, of those with `more` in their labels."""
    begin = f"streamer_{name}_records_total{{"
    return sum(
        value
        for series, value in told.items()
        if series.startswith(begin) and f'stage="{stage}"' in series and more in series
    )


def in_hand(told: Mapping[str, float], stage: str) -> float:
    """What it has received, and neither sent nor discarded."""
    return (
        by_stage(told, "received", stage) - by_stage(told, "sent", stage) - by_stage(told, "discarded", stage)
    )
