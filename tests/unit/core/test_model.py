"""The shapes that travel."""

import json
import uuid

import pytest

from streamer import model
from streamer.model import Change, Hint, decode_change, encode_value


def test_values_are_one_line_for_every_line_splitter() -> None:
    """U+0085, U+2028 and U+2029 would split a line in Python clients: they are escaped, and come back."""
    text = "a\u0085b\u2028c\u2029d\ne"
    encoded = encode_value({"text": text})
    assert len(encoded.decode().splitlines()) == 1
    assert json.loads(encoded) == {"text": text}


def test_changes_and_hints_are_told_apart() -> None:
    """Both stand in one topic; decoding gives the right one."""
    change = Change("i", "edit", "enwiki", "en.wikipedia.org", "Title", 0, 1, 2, revision=3)
    hint = Hint("enwiki", 5, 3, 7)
    assert decode_change(encode_value(change)) == change
    assert decode_change(encode_value(hint)) == hint


def test_identifiers_are_the_same_on_every_run() -> None:
    """It hangs on wiki and revision alone: another scheme would double every article."""
    identifier = model.identifier_of_revision("enwiki", 1234)
    assert identifier == str(uuid.uuid5(uuid.UUID("6e1f2c1a-6d3c-5f0b-9a77-0f2b64d1c7d3"), "enwiki|rev|1234"))


@pytest.mark.parametrize(
    ("time_ms", "text"), [(0, "1970-01-01T00:00:00Z"), (1_790_525_832_813, "2026-09-27T16:17:12Z")]
)
def test_dates_have_no_fractions(time_ms: int, text: str) -> None:
    """Enterprise's clients parse exactly %Y-%m-%dT%H:%M:%SZ."""
    assert model.rfc3339(time_ms) == text
