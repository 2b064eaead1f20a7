"""Streams: who has one, what goes out, and how they end."""

from typing import Final

from prometheus_client import Counter, Gauge

from streamer.metrics.process import EDIT_TO_DELIVERY
from streamer.metrics.registry import PARTNERS, REGISTRY, bounded

FORMATS: Final = ("sse", "ndjson")
END_REASONS: Final = ("client", "slow", "stalled", "drain", "expired", "failed", "withdrawn")
WITHHELD_REASONS: Final = ("withdrawn", "invalid")

DELIVER_CONNECTIONS: Final = Gauge(
    "streamer_deliver_connections", "Open streams.", ["partner", "format"], registry=REGISTRY
)
bounded(DELIVER_CONNECTIONS, partner=PARTNERS, format=FORMATS)
DELIVER_CONNECTS: Final = Counter(
    "streamer_deliver_connects",
    "Requests for a stream: accepted (it began); refused (4xx: the client's fault, or its limits); later (503"
    " draining or not_ready: it is to come again, to another process or once its feed is made); failed (any"
    " other 5xx: ours). Who left before the answer is in none.",
    ["outcome"],
    registry=REGISTRY,
)
bounded(DELIVER_CONNECTS, outcome=("accepted", "refused", "later", "failed"))
PARTNER_BEHIND: Final = Gauge(
    "streamer_partner_behind_seconds",
    "How old the oldest record is that the partner's slowest reader has still to be sent, 0 where it has all;"
    " no sample where nobody reads. Reader: stream (those open on this process), or group (on Kafka, the"
    " committed positions of the partner's own groups, if they have members or still commit).",
    ["partner", "reader"],
    registry=REGISTRY,
)
bounded(PARTNER_BEHIND, partner=PARTNERS, reader=("stream", "group"))
PARTNER_RETAINED: Final = Gauge(
    "streamer_partner_retained_seconds",
    "How far behind a reader of the partner's topic may be and lose nothing: log.history_hours, after which"
    " compaction takes older versions, or how old the oldest record is where retention has left less.",
    ["partner"],
    registry=REGISTRY,
)
bounded(PARTNER_RETAINED, partner=PARTNERS)
DELIVER_EVENTS: Final = Counter(
    "streamer_deliver_events",
    "Articles written to clients.",
    ["partner", "format"],
    registry=REGISTRY,
)
bounded(DELIVER_EVENTS, partner=PARTNERS, format=FORMATS)
DELIVER_BYTES: Final = Counter(
    "streamer_deliver_bytes",
    "Bytes of streams that clients were sent, before HTTP framing.",
    ["partner"],
    registry=REGISTRY,
)
bounded(DELIVER_BYTES, partner=PARTNERS)
DELIVER_CHANNELS: Final = Gauge(
    "streamer_deliver_channels",
    "Distinct feeds: combinations of partner, filters, fields, parts, format and encoding that are followed.",
    registry=REGISTRY,
)
DELIVER_ENDED: Final = Counter(
    "streamer_deliver_ended_streams",
    "Streams that ended: client (it left), slow, stalled, drain, expired, failed, withdrawn (amid a frame).",
    ["partner", "reason"],
    registry=REGISTRY,
)
bounded(DELIVER_ENDED, partner=PARTNERS, reason=END_REASONS)
DELIVER_REFUSED: Final = Counter(
    "streamer_deliver_refused_requests", "Requests answered with a problem.", ["code"], registry=REGISTRY
)
DELIVER_WITHHELD: Final = Counter(
    "streamer_deliver_withheld_records",
    "Records that were not written because their text was withdrawn, or because they are broken.",
    ["partner", "reason"],
    registry=REGISTRY,
)
bounded(DELIVER_WITHHELD, partner=PARTNERS, reason=WITHHELD_REASONS)
DELIVER_RETAINED_BYTES: Final = Gauge(
    "streamer_deliver_retained_bytes", "Frames kept for slow readers, all feeds.", registry=REGISTRY
)
DELIVER_CERTIFICATE_EXPIRY: Final = Gauge(
    "streamer_deliver_certificate_expiry_timestamp_seconds",
    "When the certificate in force expires (Unix time); 0 without TLS in this process.",
    registry=REGISTRY,
)


def forget_partner(partner: str) -> None:
    """It is no more, and has no streams."""
    for fmt in FORMATS:
        DELIVER_CONNECTIONS.remove(partner, fmt)
        DELIVER_EVENTS.remove(partner, fmt)
    for reason in END_REASONS:
        DELIVER_ENDED.remove(partner, reason)
    for reason in WITHHELD_REASONS:
        DELIVER_WITHHELD.remove(partner, reason)
    DELIVER_BYTES.remove(partner)
    EDIT_TO_DELIVERY.remove(partner)
