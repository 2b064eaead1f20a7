"""What every process tells, whatever its roles."""

import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from streamer.metrics.registry import CODES, FRESHNESS_BUCKETS_S, PARTNERS, REGISTRY, bounded

QUEUES: Final = (
    "source_inbox (events), enrich_finished_ and a partition (changes), text_pool (articles that wait for a"
    " worker), origin (questions to the wikis), origin_html (articles that wait for a permit), scores"
    " (revisions), log_writer (commits), deliver_turns (streams that wait for their partner's bytes per"
    " second)"
)


def _version() -> str:
    try:
        return version("streamer")
    except PackageNotFoundError:  # run from a tree that was never installed
        return "unknown"


BUILD_INFO: Final = Gauge(
    "streamer_build_info", "1, with the version that this process runs.", ["version"], registry=REGISTRY
)
bounded(BUILD_INFO, version="the one that runs")
BUILD_INFO.labels(_version()).set(1)
PROCESS_START: Final = Gauge(
    "streamer_process_start_timestamp_seconds", "When this process began.", registry=REGISTRY
)
PROCESS_START.set(time.time())
COMPONENT_READY: Final = Gauge(
    "streamer_component_ready",
    "1 while a component is ready, 0 while `/readyz` says why it isn't; none where this process has no such"
    " component.",
    ["component"],
    registry=REGISTRY,
)
bounded(COMPONENT_READY, component="roles and what they depend on, as `/readyz` names them")
ERRORS: Final = Counter(
    "streamer_errors", "Errors by stage and code (streamer.errors).", ["stage", "code"], registry=REGISTRY
)
bounded(ERRORS, stage=("source", "enrich", "deferred", "reconcile", "route", "deliver", "log"), code=CODES)
WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "source": ("id_unknown",),
    "enrich": ("hint_unreadable", "letters_expired", "deferred_full"),
    "route": ("signal_invalid", "reverts_forgotten", "reverts_unknown", "record_invalid"),
    "deliver": ("internal", "observer", "partitions_raised", "value_invalid"),
    "log": ("timeout",),
}
"""Codes that no exception has."""
for _stage, _words in WORDS.items():
    for _word in _words:
        ERRORS.labels(_stage, _word)
QUEUE_DEPTH: Final = Gauge("streamer_queue_depth", "Items in a bounded queue.", ["queue"], registry=REGISTRY)
LOOP_LAG: Final = Histogram(
    "streamer_event_loop_lag_seconds",
    "How late a timer fired.",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
    registry=REGISTRY,
)
EDIT_TO_PUBLISH: Final = Histogram(
    "streamer_edit_to_publish_seconds",
    "From the edit to its commit in the articles topic: of live edits alone. What was put off or lost, and"
    " comes later as a replay or a repair, is none of these.",
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
bounded(EDIT_TO_DELIVERY, partner=PARTNERS)

TRACING_EXPORTED: Final = Counter(
    "streamer_tracing_exported_spans", "Spans that the collector took.", registry=REGISTRY
)
TRACING_DROPPED: Final = Counter(
    "streamer_tracing_dropped_spans",
    "Spans that no collector got, by reason: full (too many waited), refused (it did not take them),"
    " closed (the process ended).",
    ["reason"],
    registry=REGISTRY,
)
bounded(TRACING_DROPPED, reason=("full", "refused", "closed"))

CONFIG_RELOAD_FAILED: Final = Gauge(
    "streamer_config_reload_failed",
    "1 while streamer.toml is wrong and the settings before it stay in force.",
    registry=REGISTRY,
)
CONFIG_LOADED: Final = Gauge(
    "streamer_config_loaded_timestamp_seconds",
    "When streamer.toml was last read without a mistake.",
    registry=REGISTRY,
)
CONFIG_RESTART_NEEDED: Final = Gauge(
    "streamer_config_restart_needed_settings",
    "Settings that differ from those in force and wait for a restart.",
    registry=REGISTRY,
)
bounded(QUEUE_DEPTH, queue=QUEUES)
