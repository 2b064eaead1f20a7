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

# ── origin ─────────────────────────────────────────────────────────────────────────────────────

# ── enrich ─────────────────────────────────────────────────────────────────────────────────────

# ── log ────────────────────────────────────────────────────────────────────────────────────────

# ── route ──────────────────────────────────────────────────────────────────────────────────────

PARTNERS_FILE_INVALID: Final = Gauge(
    "streamer_partners_file_invalid",
    "1 while partners.toml is wrong and the rules before it stay in force.",
    registry=REGISTRY,
)
PARTNERS_RELOADS: Final = Counter(
    "streamer_partners_reloads", "Changes of partners.toml, by result.", ["result"], registry=REGISTRY
)
ROUTE_PARKED: Final = Gauge(
    "streamer_route_parked",
    "1 while a partner's topic takes nothing and its routing waits.",
    ["partner"],
    registry=REGISTRY,
)
ROUTE_BEHIND: Final = Gauge(
    "streamer_route_behind_offsets",
    "How far a partner is behind the partner that is furthest ahead in the same partition.",
    ["partner", "partition"],
    registry=REGISTRY,
)
ROUTE_PASS: Final = Histogram(
    "streamer_route_pass_seconds",
    "From what was read to its commit, for all partners of a pass.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
    registry=REGISTRY,
)

# ── deliver ────────────────────────────────────────────────────────────────────────────────────

DELIVER_CONNECTIONS: Final = Gauge(
    "streamer_deliver_connections", "Open streams.", ["partner", "format"], registry=REGISTRY
)
DELIVER_EVENTS: Final = Counter(
    "streamer_deliver_events",
    "Articles written to clients.",
    ["partner", "format"],
    registry=REGISTRY,
)
DELIVER_BYTES: Final = Counter(
    "streamer_deliver_bytes", "Bytes of streams, before HTTP framing.", ["partner"], registry=REGISTRY
)
DELIVER_ENDED: Final = Counter(
    "streamer_deliver_ended_streams",
    "Streams that ended: client (it left), slow, stalled, drain, expired, failed.",
    ["partner", "reason"],
    registry=REGISTRY,
)
DELIVER_REFUSED: Final = Counter(
    "streamer_deliver_refused_requests", "Requests answered with a problem.", ["code"], registry=REGISTRY
)
DELIVER_WITHHELD: Final = Counter(
    "streamer_deliver_withheld_records",
    "Records that were not written because their text was withdrawn, or because they are broken.",
    ["partner", "reason"],
    registry=REGISTRY,
)
DELIVER_RETAINED_BYTES: Final = Gauge(
    "streamer_deliver_retained_bytes", "Frames kept for slow readers, all feeds.", registry=REGISTRY
)
