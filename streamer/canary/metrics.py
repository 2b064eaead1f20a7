"""The canary's metrics: of its own process, which runs no role of the service."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streamer.canary.verdict import OUTCOMES
from streamer.metrics import FRESHNESS_BUCKETS_S, bounded

REGISTRY: Final = CollectorRegistry()

RUNS: Final = Counter(
    "streamer_canary_runs",
    "Runs by outcome: arrived (within the limit), late (after it), lost (not by the deadline, or not as"
    " it was written), failed (the wiki refused the edit, or the feed could not be read).",
    ["outcome"],
    registry=REGISTRY,
)
SECONDS: Final = Histogram(
    "streamer_canary_seconds",
    "From the edit to its arrival, of those that arrived or were late.",
    buckets=FRESHNESS_BUCKETS_S,
    registry=REGISTRY,
)
LAST_ARRIVAL: Final = Gauge(
    "streamer_canary_last_arrival_timestamp_seconds",
    "When an edit last arrived, late or not (Unix time); 0: never since the start.",
    registry=REGISTRY,
)

bounded(RUNS, outcome=tuple(OUTCOMES))
