"""Every metric of the partner's side, declared once: base units, bounded labels, never a title or a key."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY: Final = CollectorRegistry()

FRESHNESS_BUCKETS_S: Final = (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3_600, 21_600, 86_400)
COMMIT_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)

EVENTS: Final = Counter(
    "corpus_events", "Events that were committed, known ones too.", ["feed"], registry=REGISTRY
)
ROWS_CHANGED: Final = Counter("corpus_rows_changed", "Events that altered a row.", registry=REGISTRY)
GONE: Final = Counter("corpus_gone", "Rows that lost their text.", registry=REGISTRY)
RECEIVED_BYTES: Final = Counter("corpus_received_bytes", "Of events, as JSON.", ["feed"], registry=REGISTRY)
BAD_EVENTS: Final = Counter(
    "corpus_bad_events", "What came and is no article: it was passed over.", ["feed"], registry=REGISTRY
)
FEED_ERRORS: Final = Counter(
    "corpus_feed_errors", "Errors that ended the reading of a feed.", ["code"], registry=REGISTRY
)
LAG_S: Final = Gauge(
    "corpus_lag_seconds", "From an edit to its commit here, of the last one committed.", registry=REGISTRY
)
FRESHNESS_S: Final = Histogram(
    "corpus_freshness_seconds",
    "From an edit to its commit here.",
    buckets=FRESHNESS_BUCKETS_S,
    registry=REGISTRY,
)
COMMITS: Final = Counter("corpus_commits", "Of rows with positions.", registry=REGISTRY)
COMMIT_S: Final = Histogram(
    "corpus_commit_seconds",
    "Of one: texts made, rows and positions written.",
    buckets=COMMIT_BUCKETS_S,
    registry=REGISTRY,
)
LABELS: Final = {
    "corpus_events": {"feed": "those named on the command line"},
    "corpus_received_bytes": {"feed": "those named on the command line"},
    "corpus_bad_events": {"feed": "those named on the command line"},
    "corpus_feed_errors": {"code": "codes of consumers/errors.py"},
}
"""What bounds them, by metric."""
WAITING_BATCHES: Final = Gauge(
    "corpus_waiting_batches",
    "Received and not yet committed; where they are many, feeds wait.",
    registry=REGISTRY,
)
