"""What came of a run, by what was written and what arrived."""

import json
from dataclasses import replace

import msgspec
import pytest

from streamer.canary.verdict import Arrival, Verdict, Written, judge_seen, judge_written, read

LIMIT_S = 30.0
WRITTEN = Written(revision=7, text="a token", sent_s=100.0)


def arrival(
    *, text: str = "a token", sequence: int = 50, is_late: bool = False, at_s: float = 101.5
) -> Arrival:
    return Arrival(3, 7, text, sequence, 1_000_000, is_late, at_s, 1_002_500)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (arrival(), Verdict("arrived", "", 1.5)),
        (arrival(at_s=100.0 + LIMIT_S), Verdict("arrived", "", LIMIT_S)),
        (arrival(at_s=131.0), Verdict("late", "", 31.0)),
        (arrival(text="another"), Verdict("lost", "text", 1.5)),
        (arrival(text=""), Verdict("lost", "text", 1.5)),
        (arrival(sequence=40), Verdict("lost", "order", 1.5)),
        (arrival(sequence=39), Verdict("lost", "order", 1.5)),
        (arrival(sequence=39, is_late=True), Verdict("arrived", "", 1.5)),
        (arrival(at_s=99.0), Verdict("arrived", "", 0.0)),
    ],
)
def test_an_edit_counts_as_arrived_only_as_it_was_written_in_order_and_in_time(
    found: Arrival, verdict: Verdict
) -> None:
    """Another text or a sequence that goes back is a loss, however fast it came."""
    assert judge_written(WRITTEN, found, 40, LIMIT_S) == verdict


def test_somebody_elses_edit_is_measured_by_the_time_that_its_wiki_gave_it() -> None:
    """Two clocks are compared, so that a wiki whose clock is ahead gives 0 and nothing negative."""
    assert judge_seen(arrival(), LIMIT_S) == Verdict("arrived", "", 2.5)
    assert judge_seen(arrival(), 2.0) == Verdict("late", "", 2.5)
    ahead = replace(arrival(), edited_ms=1_009_000)
    assert judge_seen(ahead, LIMIT_S) == Verdict("arrived", "", 0.0)


def article(**more: object) -> bytes:
    event = {
        "kind": "edit",
        "sequence": 12,
        "date_created": "2026-11-21T12:00:00.250Z",
        "identifier": "x",
    }
    return json.dumps({"identifier": 3, "name": "A", "event": event, **more}).encode()


def test_of_what_the_feed_sends_edits_alone_are_arrivals() -> None:
    """A removal, a move or a page that is restated is none, nor is an article without a version."""
    version = {"identifier": 7}
    found = read(article(version=version, article_body={"wikitext": "t"}), at_s=1.0, at_ms=2)
    assert found == Arrival(3, 7, "t", 12, 1_795_262_400_250, False, 1.0, 2)
    assert read(article(), at_s=1.0, at_ms=2) is None
    for kind in ("delete", "move", "visibility", "refresh", "restore"):
        event = {"kind": kind, "sequence": 1, "date_created": "2026-11-21T12:00:00Z"}
        assert read(article(version=version, event=event), at_s=1.0, at_ms=2) is None


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"event":{"kind":"edit"}}', b'{"event":5}'])
def test_what_is_no_article_is_said_to_be_none(data: bytes) -> None:
    """So that whoever reads the feed can say so, and goes on."""
    with pytest.raises(msgspec.DecodeError):
        read(data, at_s=1.0, at_ms=2)
