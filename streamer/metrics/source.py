"""What the source reads from upstream, and what becomes of it."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from streamer.metrics.registry import REGISTRY, bounded
from streamer.metrics.stages import REASONS
from streamer.model import KINDS

FAMILIES: Final = ("recentchange", "page_change", "visibility", "tags", "prediction", "unknown")

SOURCE_EVENTS: Final = Counter(
    "streamer_source_events", "Events read from upstream, canaries too.", ["family"], registry=REGISTRY
)
bounded(SOURCE_EVENTS, family=FAMILIES)
SOURCE_DROPPED: Final = Counter(
    "streamer_source_dropped",
    "Events (of `duplicate`: records) that became nothing, by reason.",
    ["reason"],
    registry=REGISTRY,
)
bounded(SOURCE_DROPPED, reason=tuple(reason for reason in REASONS["source"] if reason != "read_again"))
SOURCE_RECORDS: Final = Counter(
    "streamer_source_records", "Records appended: changes by kind, and hints.", ["kind"], registry=REGISTRY
)
bounded(SOURCE_RECORDS, kind=(*KINDS, "hint"))
SOURCE_CONNECTIONS: Final = Counter(
    "streamer_source_connections", "How connections to the stream ended.", ["outcome"], registry=REGISTRY
)
bounded(SOURCE_CONNECTIONS, outcome="ended, broken, silent, or status_ and one of HTTP's")
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
