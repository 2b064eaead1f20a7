"""What `streamer canary` sees, which goes the whole way from outside."""

from typing import Final

from deploy.grafana.panels import (
    COUNT,
    SECONDS,
    Limit,
    Line,
    Plot,
    Row,
)
from deploy.grafana.promises import (
    FRESH_WITHIN_S,
)

CANARY: Final = Row(
    "The canary, which looks from outside",
    [
        Plot(
            title="Its runs in half an hour, by outcome",
            says="It edits, and waits for the article as a partner does. lost, late: partners see the"
            " same, whatever all else here says. failed: it could not even try.",
            alerts=["CanaryFails"],
            unit=COUNT,
            lines=[Line("sum by (outcome) (increase(streamer_canary_runs_total[30m]))", "{{outcome}}")],
            empty="No canary runs: `streamer canary`.",
        ),
        Plot(
            title="From its edit to its article",
            says="The whole way, as a partner sees it, network and proxy included.",
            alerts=["CanaryFails", "FreshnessBudgetBurn"],
            unit=SECONDS,
            lines=[
                Line(
                    "histogram_quantile(0.5, sum by (le) (rate(streamer_canary_seconds_bucket[30m])))",
                    "p50",
                ),
                Line(
                    "histogram_quantile(0.99, sum by (le) (rate(streamer_canary_seconds_bucket[30m])))",
                    "p99",
                ),
            ],
            limit=Limit(FRESH_WITHIN_S),
            empty="No canary runs: `streamer canary`.",
        ),
        Plot(
            title="Its last arrival: how long ago",
            says="More than some minutes: nothing arrives any more.",
            alerts=["CanaryFails"],
            unit=SECONDS,
            lines=[Line("time() - max(streamer_canary_last_arrival_timestamp_seconds)", "last arrival")],
            empty="No canary runs: `streamer canary`.",
        ),
    ],
)
