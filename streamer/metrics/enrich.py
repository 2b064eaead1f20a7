"""What enrich makes of changes, what it waits for, and what it could not make."""

from typing import Final, get_args

from prometheus_client import Counter, Gauge, Histogram

from streamer.metrics.registry import PARTITIONS, REGISTRY, bounded
from streamer.model import KINDS, EventType

HTML_OUTCOMES: Final = (
    "fetched", "over_share", "paused", "not_allowed", "timeout", "refused", "missing", "limited", "too_large",
    "another", "failed", "cancelled",
)  # fmt: skip

ENRICH_OPEN: Final = Gauge(
    "streamer_enrich_open_changes",
    "Changes that enrich has read and not yet committed.",
    ["partition"],
    registry=REGISTRY,
)
bounded(ENRICH_OPEN, partition=PARTITIONS)
ENRICH_OLDEST_OPEN: Final = Gauge(
    "streamer_enrich_oldest_open_timestamp_seconds",
    "When the oldest change was admitted that enrich has read and not yet committed; 0 where none is open.",
    ["partition"],
    registry=REGISTRY,
)
bounded(ENRICH_OLDEST_OPEN, partition=PARTITIONS)
ENRICH_HELD_BYTES: Final = Gauge(
    "streamer_enrich_held_bytes",
    "Content that was fetched and waits for its commit.",
    registry=REGISTRY,
)
ENRICH_PUBLISHED: Final = Counter(
    "streamer_enrich_published",
    "Records committed to the articles topic by this process.",
    ["kind", "type"],
    registry=REGISTRY,
)
bounded(ENRICH_PUBLISHED, kind=KINDS, type=", ".join(get_args(EventType)))
ENRICH_LATE: Final = Counter(
    "streamer_enrich_late",
    "Edits published after a newer revision of their page.",
    registry=REGISTRY,
)
ENRICH_HINTED: Final = Counter(
    "streamer_enrich_hinted",
    "Creates and edits published, by whether what page_change tells of them was there in time.",
    ["hinted"],
    registry=REGISTRY,
)
bounded(ENRICH_HINTED, hinted=("yes", "no"))
ENRICH_SCORED: Final = Counter(
    "streamer_enrich_scored",
    "Edits of articles published, by whether they had a score (`version.scores`).",
    ["scored"],
    registry=REGISTRY,
)
bounded(ENRICH_SCORED, scored=("yes", "no"))
HINT_WAIT: Final = Histogram(
    "streamer_enrich_hint_wait_seconds",
    "How long an answered change waited for its hint, of those that did.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5),
    registry=REGISTRY,
)
SCORES: Final = Counter(
    "streamer_scores",
    "Revisions whose revert risk was asked for (scores.url), by outcome: scored, unscored (it has none), or"
    " why there is no answer.",
    ["outcome"],
    registry=REGISTRY,
)
bounded(
    SCORES,
    outcome="scored, unscored, failing, budget, timeout, closed, or how the request failed: a word of"
    " streamer_origin_requests_total",
)
ENRICH_CUTOFFS: Final = Counter(
    "streamer_enrich_cutoffs", "Withdrawals written.", ["scope"], registry=REGISTRY
)
bounded(ENRICH_CUTOFFS, scope=("page", "revision"))
ENRICH_RETRIES: Final = Counter(
    "streamer_enrich_retries", "Questions asked again, by reason.", ["reason"], registry=REGISTRY
)
bounded(ENRICH_RETRIES, reason=("missing", "stale", "unavailable"))
ENRICH_HTML: Final = Counter(
    "streamer_enrich_html",
    "Articles whose HTML was wanted, by outcome: fetched; over_share, paused or not_allowed, where"
    " nothing was asked; or how the request failed. Fetched, and too_large too: the record would have been.",
    ["outcome"],
    registry=REGISTRY,
)
bounded(ENRICH_HTML, outcome=HTML_OUTCOMES)
DEFERRED_WAITING: Final = Gauge(
    "streamer_deferred_waiting_letters",
    "Dead letters that replay by themselves once their wikis answer.",
    ["partition"],
    registry=REGISTRY,
)
bounded(DEFERRED_WAITING, partition=PARTITIONS)
RECONCILED_UNTIL: Final = Gauge(
    "streamer_reconciled_until_timestamp_seconds",
    "Up to when a partition's wikis were compared with their own lists: of the one that is furthest behind.",
    ["partition"],
    registry=REGISTRY,
)
bounded(RECONCILED_UNTIL, partition=PARTITIONS)
RECONCILE_LISTED: Final = Counter(
    "streamer_reconcile_listed_rows",
    "Edits and log entries that wikis listed, and that were compared.",
    registry=REGISTRY,
)
UNRESOLVED_REMOVALS: Final = Counter(
    "streamer_enrich_unresolved_removals",
    "Deletions and hidden revisions whose page could not be found out: a person has to look.",
    registry=REGISTRY,
)
TEXT_SECONDS: Final = Histogram(
    "streamer_enrich_text_seconds",
    "Plain text extraction, question to answer of a worker.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 2, 5),
    registry=REGISTRY,
)
TEXT_FAILURES: Final = Counter(
    "streamer_enrich_text_failures",
    "Articles published without text, by reason.",
    ["reason"],
    registry=REGISTRY,
)
bounded(
    TEXT_FAILURES, reason=("too_long", "slow_before", "no_worker", "timeout", "worker_died", "unparsable")
)
