"""What one upstream event comes to, and why it may come to nothing."""

from typing import Final, Literal, NamedTuple, get_args

from streamer.admission import Family, Rules
from streamer.errors import EventInvalid
from streamer.model import Change, ChangeRecord

DropReason = Literal[
    "",
    # nothing is wrong with it
    "canary", "categorize", "external", "type_unknown", "log_ignored", "log_unknown", "special_page",
    "other_owner", "no_signal", "not_admitted", "duplicate",
    # something is
    "not_json", "not_utf8", "schema_major", "stream_unknown", "shape", "missing_field", "out_of_range",
    "frame_too_large",
]  # fmt: skip

STREAM_OF: Final[dict[Family, str]] = {
    "recentchange": "mediawiki.recentchange",
    "page_change": "mediawiki.page_change.v1",
    "visibility": "mediawiki.revision-visibility-change",
    "tags": "mediawiki.revision-tags-change",
    "prediction": "mediawiki.page_revert_risk_prediction_change.v1",
}


class Told(NamedTuple):
    """`records` in the order in which they are to be appended; empty where `dropped` says why."""

    records: tuple[ChangeRecord, ...]
    dropped: DropReason
    family: Family | Literal["unknown"]
    topic: str = ""
    """The upstream topic, `eqiad.…` or `codfw.…`; "" where the event doesn't say."""
    upstream_ms: int = 0
    upstream_id: str = ""


class Drop(Exception):
    """An event that is right and tells nothing."""

    def __init__(self, reason: DropReason) -> None:
        self.reason = reason


def admitted(changes: tuple[Change, ...], rules: Rules) -> tuple[Change, ...]:
    if any(change.namespace < 0 for change in changes):
        raise Drop("special_page")
    admitted = tuple(change for change in changes if rules.admits(change))
    if not admitted:
        raise Drop("not_admitted")
    return admitted


_REASONS: Final[frozenset[str]] = frozenset(get_args(DropReason))


def reason_of(error: EventInvalid) -> DropReason:
    assert error.reason in _REASONS
    return error.reason  # type: ignore[return-value]
