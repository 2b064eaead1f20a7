"""The same four things of each stage: what it received, sent and discarded; its errors are in ERRORS.

What is one record, and where it is counted, differs by stage; METRICS.md says it, and which sum holds:

    received = sent + discarded + what is in hand

In hand is what waits in a stage's buffers; of a lane that ends with something in hand that is discarded as
`read_again`, since the lane that follows receives it anew.
"""

from collections.abc import Mapping
from typing import Final, Literal

from prometheus_client import Counter

from streamer.metrics.registry import LABELS, REGISTRY, bounded

Stage = Literal["source", "enrich", "route", "deliver"]

RECEIVED: Final = Counter(
    "streamer_received_records", "Records that a stage took in.", ["stage"], registry=REGISTRY
)
SENT: Final = Counter(
    "streamer_sent_records",
    "Records that a stage handed on: appended to the log, or given to clients.",
    ["stage"],
    registry=REGISTRY,
)
DISCARDED: Final = Counter(
    "streamer_discarded_records",
    "Records that a stage received and did not hand on: intentional by rule or design; else lost to a fault"
    " that has to be looked at.",
    ["stage", "reason", "intentional"],
    registry=REGISTRY,
)

REASONS: Final[Mapping[Stage, Mapping[str, bool]]] = {
    "source": {
        "canary": True,
        "categorize": True,
        "external": True,
        "type_unknown": True,
        "log_ignored": True,
        "log_unknown": True,
        "special_page": True,
        "other_owner": True,
        "no_signal": True,
        "not_admitted": True,
        "duplicate": True,
        "read_again": True,
        "not_json": False,
        "not_utf8": False,
        "schema_major": False,
        "stream_unknown": False,
        "shape": False,
        "missing_field": False,
        "out_of_range": False,
        "frame_too_large": False,
    },
    "enrich": {
        "gone": True,
        "superseded": True,
        "deferred": True,
        "read_again": True,
        "deadletter": False,
        "expired": False,
    },
    "route": {
        "filtered": True,
        "reverted": True,
        "withdrawn": True,
        "expired": False,
        "invalid": False,
    },
    "deliver": {"filtered": True, "withdrawn": True, "invalid": False},
}
"""Every reason of each stage, and whether it is intentional."""


def received(stage: Stage, count: int) -> None:
    if count:
        RECEIVED.labels(stage).inc(count)


def sent(stage: Stage, count: int) -> None:
    if count:
        SENT.labels(stage).inc(count)


def discarded(stage: Stage, reason: str, count: int = 1) -> None:
    if count:
        DISCARDED.labels(stage, reason, _is_intentional(stage, reason)).inc(count)


def _is_intentional(stage: Stage, reason: str) -> str:
    return "true" if REASONS[stage][reason] else "false"


bounded(RECEIVED, stage=tuple(REASONS))
bounded(SENT, stage=tuple(REASONS))
LABELS["streamer_discarded_records"] = {
    "stage": tuple(REASONS),
    "reason": "; ".join(f"of {stage} {', '.join(reasons)}" for stage, reasons in REASONS.items()),
    "intentional": ("true", "false"),
}
for _stage, _reasons in REASONS.items():
    for _reason in _reasons:
        DISCARDED.labels(_stage, _reason, _is_intentional(_stage, _reason))
