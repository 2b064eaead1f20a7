"""Which letters are meant, what a replay of each is, and where the waiting ones stand: pure."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.deadletters import Filter, Letter, Standing, Status, letter_of
from streamer.log.base import Stored
from streamer.log.position import Position
from streamer.model import (
    KINDS,
    REPLAYED_KEY,
    Change,
    DeadLetter,
    Kind,
    Place,
    Visibility,
    decode_change,
    encode_value,
    identifier_derived,
)
from streamer.replays import change_record, plan, replay_of
from streamer.traceparent import traceparent_of


def letter(
    code: str = "origin_unavailable", kind: Kind = "edit", failed_ms: int = 50, **over: Any
) -> DeadLetter:
    fields: dict[str, Any] = {
        "identifier": "cause",
        "wiki": "enwiki",
        "server_name": "en.example.org",
        "title": "A",
        "namespace": 0,
        "edited_ms": 20,
        "upstream_ms": 30,
    }
    return DeadLetter(Change(kind=kind, **{**fields, **over}), "enrich", code, 5, failed_ms)


def stored(key: str, value: bytes | None) -> Stored:
    return Stored("wiki.deadletter.v1", 3, 7, 99, key, value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_replay_keeps_what_finds_the_page(kind: Kind) -> None:
    """A refresh, whatever it was; ids, places, times and what it meant stay, and the record reads back."""
    body = letter(
        kind=kind, page_id=4, revision=5, log_id=6, previous=Place("B", 1), visibility=Visibility(text=False)
    )
    made = replay_of(body, 0)
    assert made is not None
    assert (made.kind, made.cause, made.replays, made.meant) == ("refresh", "replay", kind, kind)
    assert made.identifier == identifier_derived("cause", "replay")
    assert made.traceparent == traceparent_of(made.identifier)
    for field in ("page_id", "revision", "log_id", "previous", "visibility", "title", "edited_ms"):
        assert getattr(made, field) == getattr(body.change, field)
    record = change_record("wiki.changes.v1", 10, made)
    assert decode_change(record.value or b"") == made
    headers = dict(record.headers)
    assert headers["ce_id"] == made.identifier.encode()
    assert "topic" not in headers, "the source would take it for what upstream told"


def test_every_replay_of_a_letter_has_an_identifier_of_its_own() -> None:
    """The letter that its first replay left has others too, and means what the first change meant."""
    first, *others = (replay_of(letter(kind="delete"), times) for times in range(3))
    assert first is not None
    left = DeadLetter(first, "enrich", "page_unresolved", 3, 60)
    replays = [first, *others, *(replay_of(left, times) for times in range(3))]
    assert {change.replays for change in replays if change} == {"delete"}
    assert len({change.identifier for change in replays if change}) == len(replays) == 6


def test_a_stand_in_cannot_be_replayed() -> None:
    """Nobody knows what it was."""
    assert replay_of(letter("change_unreadable"), 0) is None


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (Filter(), True),
        (Filter(wikis=("de*", "en*")), True),
        (Filter(wikis=("*wiktionary",)), False),
        (Filter(codes=frozenset({"origin_unavailable"})), True),
        (Filter(codes=frozenset({"deferred"})), False),
        (Filter(kinds=frozenset({"edit"})), True),
        (Filter(kinds=frozenset({"delete"})), False),
        (Filter(since_ms=50), True),
        (Filter(since_ms=51), False),
        (Filter(until_ms=51), True),
        (Filter(until_ms=50), False),
        (Filter(wikis=("enwiki",), codes=frozenset({"deferred"})), False),
    ],
)
def test_a_filter_means_all_that_it_names(wanted: Filter, matches: bool) -> None:
    """Times from, and to before."""
    assert wanted.compiled()(letter()) is matches


def test_a_replays_letter_is_found_by_what_it_meant() -> None:
    """The letter of a deletion's replay is a deletion's."""
    made = replay_of(letter(kind="delete"), 0)
    assert made is not None
    assert Filter(kinds=frozenset({"delete"})).compiled()(DeadLetter(made, "enrich", "deferred", 1, 1))


def test_what_lies_beside_letters_is_none() -> None:
    """Ticks, marks and tombstones are passed over; what does not decode is a letter that can't be read."""
    assert letter_of(stored(".tick", b"{}")) is None
    assert letter_of(stored(REPLAYED_KEY, b'{"offsets":[1],"replayed_ms":1}')) is None
    assert letter_of(stored("enwiki", None)) is None
    for broken in (b"{", b"\xff", b"[" * 100_000, b'{"code":"x"}'):
        found = letter_of(stored("enwiki", broken))
        assert found is not None
        assert found.body is None
    whole = letter_of(stored("enwiki", encode_value(letter())))
    assert whole is not None
    assert whole.body == letter()


def test_what_is_left_out_of_a_replay() -> None:
    """What waits replays by itself, what was replayed needs `again`, a stand-in can't be."""
    waits, left, done, fresh, standing_in = (
        Letter(0, 10, 0, letter("deferred")),
        Letter(0, 2, 0, letter("deferred")),
        Letter(0, 3, 0, letter()),
        Letter(0, 4, 0, letter()),
        Letter(0, 5, 0, letter("change_unreadable")),
    )
    status = Status(Counter({(0, 3): 2}), {0: Standing(20, {"en.example.org": 9})})
    letters = [waits, left, done, fresh, standing_in]
    assert [status.times(each) for each in letters] == [0, 1, 2, 0, 0]
    first = plan(letters, status, again=False)
    assert (first.letters, first.waiting, first.replayed, first.unreadable) == ([fresh], 1, 2, 1)
    again = plan(letters, status, again=True)
    assert (again.letters, again.waiting, again.replayed) == ([left, done, fresh], 1, 0)


SILENT = st.dictionaries(st.sampled_from([f"w{n}.example.org" for n in range(60)]), st.integers(0, 10**9))


@given(st.integers(0, 10**9), SILENT, st.integers(0, 10**9))
def test_a_standing_survives_its_position(cursor: int, silent: dict[str, int], replayed: int) -> None:
    """It fits into what a position may hold; the log keeps everything from the first waiting letter on."""
    silent = {name: min(since, cursor) for name, since in silent.items()}
    standing = Standing(cursor, silent, replayed)
    position = standing.position()
    assert Standing.of(Position.restore(position.next, position.metadata())) == standing
    assert all(position.next <= since for since in silent.values())
    assert standing.waits(cursor, "unheard.example.org")
    for name, since in silent.items():
        assert standing.waits(since, name)
        assert not standing.waits(since - 1, name) or since - 1 >= cursor


def test_the_codes_of_a_silent_partition_fit_its_position() -> None:
    """As many servers as the lane takes, with long names and large offsets."""
    from streamer.enrich.deferred import CHARS_PER_SERVER, SILENT_CHARS  # noqa: PLC0415 - one use

    silent: dict[str, int] = {}
    while sum(len(name) + CHARS_PER_SERVER for name in silent) + 40 + CHARS_PER_SERVER <= SILENT_CHARS:
        silent[f"{len(silent):04}.a-language.wiktionary.example.org"] = 10**15 + len(silent)
    assert len(silent) > 40
    Standing(10**16, silent, 10**12).position().metadata()
