"""Every metric, declared once: base units, bounded labels, never a title, a user or an address.

`COMMITTED` exports the counts that stand in the committed positions, so that a restart neither loses
nor repeats any; everything else counts what this process did.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

REGISTRY: Final = CollectorRegistry()

FRESHNESS_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600)


class CommittedTotals(Collector):
    """`streamer_committed_changes_total{role, scope, outcome}`; `scope` is a partner's name, else ""."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], dict[str, int]] = {}

    def set(self, role: str, scope: str, partition: int, counts: Mapping[str, int]) -> None:
        """After each commit, and once at the start from the committed position."""
        self._counts[role, scope, partition] = dict(counts)

    def forget(self, role: str, scope: str) -> None:
        for key in [key for key in self._counts if key[:2] == (role, scope)]:
            del self._counts[key]

    def totals(self, role: str, scope: str = "") -> dict[str, int]:
        totals: dict[str, int] = {}
        for (its_role, its_scope, _), counts in self._counts.items():
            if (its_role, its_scope) == (role, scope):
                for outcome, count in counts.items():
                    totals[outcome] = totals.get(outcome, 0) + count
        return totals

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(
            "streamer_committed_changes",
            "Changes by outcome, as the committed positions hold them.",
            labels=["role", "scope", "outcome"],
        )
        for role, scope in sorted({key[:2] for key in self._counts}):
            for outcome, count in sorted(self.totals(role, scope).items()):
                family.add_metric([role, scope, outcome], count)
        yield family


COMMITTED: Final = CommittedTotals()
REGISTRY.register(COMMITTED)

ERRORS: Final = Counter(
    "streamer_errors", "Errors by stage and code (streamer.errors).", ["stage", "code"], registry=REGISTRY
)
QUEUE_DEPTH: Final = Gauge("streamer_queue_depth", "Items in a bounded queue.", ["queue"], registry=REGISTRY)
LOOP_LAG: Final = Histogram(
    "streamer_event_loop_lag_seconds",
    "How late a timer fired.",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
    registry=REGISTRY,
)
EDIT_TO_PUBLISH: Final = Histogram(
    "streamer_edit_to_publish_seconds",
    "From the edit to its commit in the articles topic.",
    buckets=FRESHNESS_BUCKETS_S,
    registry=REGISTRY,
)
EDIT_TO_DELIVERY: Final = Histogram(
    "streamer_edit_to_delivery_seconds",
    "From the edit to its first write to a live client of the partner.",
    ["partner"],
    buckets=FRESHNESS_BUCKETS_S,
    registry=REGISTRY,
)

# ── source ─────────────────────────────────────────────────────────────────────────────────────

SOURCE_EVENTS: Final = Counter(
    "streamer_source_events", "Events read from upstream, canaries too.", ["family"], registry=REGISTRY
)
SOURCE_DROPPED: Final = Counter(
    "streamer_source_dropped",
    "Events (of `duplicate`: records) that became nothing, by reason.",
    ["reason"],
    registry=REGISTRY,
)
SOURCE_RECORDS: Final = Counter(
    "streamer_source_records", "Records appended: changes by kind, and hints.", ["kind"], registry=REGISTRY
)
SOURCE_CONNECTIONS: Final = Counter(
    "streamer_source_connections", "How connections to the stream ended.", ["outcome"], registry=REGISTRY
)
SOURCE_GAPS: Final = Counter(
    "streamer_source_gaps",
    "Resumes at which upstream no longer had what followed; reconcile repairs it.",
    registry=REGISTRY,
)
SOURCE_COMMIT_EVENTS: Final = Histogram(
    "streamer_source_commit_events",
    "Events per commit.",
    buckets=(0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
    registry=REGISTRY,
)
SOURCE_NEWEST: Final = Gauge(
    "streamer_source_newest_event_timestamp_seconds",
    "Upstream's time of the newest event that was committed.",
    registry=REGISTRY,
)
SOURCE_EXHAUSTED: Final = Gauge(
    "streamer_source_exhausted", "1 when the end of a recording has been reached.", registry=REGISTRY
)
SOURCE_HELD: Final = Gauge(
    "streamer_source_held",
    "1 while the source waits because the log is over its budget.",
    registry=REGISTRY,
)

# ── origin ─────────────────────────────────────────────────────────────────────────────────────

# ── enrich ─────────────────────────────────────────────────────────────────────────────────────

# ── log ────────────────────────────────────────────────────────────────────────────────────────

# ── route ──────────────────────────────────────────────────────────────────────────────────────

# ── deliver ────────────────────────────────────────────────────────────────────────────────────
