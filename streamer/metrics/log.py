"""What is appended and committed, by whom, and the room that there is for it."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from streamer.metrics.registry import CODES, PARTITIONS, REGISTRY, bounded

GROUPS: Final = ("source", "enrich", "deferred", "reconcile", "route", "budget")
"""Whose lanes commit."""
LANE_ROLES: Final = ("source", "enrich", "deferred", "reconcile", "route")

LOG_COMMIT_SECONDS: Final = Histogram(
    "streamer_log_commit_seconds",
    "A commit: a transaction of the local log with the wait for its turn, or one on Kafka.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5, 10),
    registry=REGISTRY,
)
LOG_APPENDED_RECORDS: Final = Counter(
    "streamer_log_appended_records", "Records appended by this process.", registry=REGISTRY
)
LOG_APPENDED_BYTES: Final = Counter(
    "streamer_log_appended_bytes", "Their keys, headers and values as stored.", registry=REGISTRY
)
LOG_FILE_BYTES: Final = Gauge("streamer_log_file_bytes", "Size of the local log's file.", registry=REGISTRY)
LOG_WAL_BYTES: Final = Gauge("streamer_log_wal_bytes", "Size of its write-ahead log.", registry=REGISTRY)
LOG_OVER_BUDGET: Final = Gauge(
    "streamer_log_over_budget",
    "1 while the local log is over its bound and all it holds is still to be read.",
    registry=REGISTRY,
)
LOG_DELETED: Final = Counter(
    "streamer_log_deleted_records",
    "Records removed by the cleaner, by reason.",
    ["reason"],
    registry=REGISTRY,
)
bounded(LOG_DELETED, reason=("age", "room", "compaction", "topic"))
LOG_COMMITS: Final = Counter(
    "streamer_log_commits",
    "Commits of lanes by outcome: committed, cancelled (it may have passed), or the code of the error that"
    " ended it (lane_lost, topic_refused, log_timeout, log_unavailable and so on).",
    ["group", "outcome"],
    registry=REGISTRY,
)
bounded(LOG_COMMITS, group=GROUPS, outcome="committed, cancelled, or a code of streamer/errors.py")
LOG_LANES: Final = Gauge(
    "streamer_log_lanes", "Lanes that this process runs; 0 where it stands by.", ["group"], registry=REGISTRY
)
bounded(LOG_LANES, group=GROUPS)
LOG_REBALANCES: Final = Counter(
    "streamer_log_rebalances",
    "Times that a group on Kafka told this process which lanes are its own.",
    ["group"],
    registry=REGISTRY,
)
bounded(LOG_REBALANCES, group=GROUPS)
LOG_CLIENTS_REPLACED: Final = Counter(
    "streamer_log_clients_replaced",
    "Clients of Kafka given up and made anew after a failure: questions, reader, member, append. A lane's"
    " producer goes with each restart of its lane.",
    ["client"],
    registry=REGISTRY,
)
bounded(LOG_CLIENTS_REPLACED, client=("questions", "reader", "member", "append"))
LOG_LANE_RESTARTS: Final = Counter(
    "streamer_log_lane_restarts", "Lanes started anew after an error.", ["group", "code"], registry=REGISTRY
)
bounded(LOG_LANE_RESTARTS, group=GROUPS, code=CODES)
LANE_STOPPED: Final = Gauge(
    "streamer_lane_stopped",
    "1 while a lane does nothing because its input is lost; /readyz says what and why.",
    ["role", "partition"],
    registry=REGISTRY,
)
bounded(LANE_STOPPED, role=LANE_ROLES, partition=PARTITIONS)
LANE_LOST_OFFSETS: Final = Counter(
    "streamer_lane_lost_offsets",
    "Offsets that a lane left out, as the operator wished (log.lost), because they were deleted unread.",
    ["role", "partition"],
    registry=REGISTRY,
)
bounded(LANE_LOST_OFFSETS, role=LANE_ROLES, partition=PARTITIONS)
