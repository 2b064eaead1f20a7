"""What requests mean, without a server."""

import pytest

from streamer.deliver.position import EARLIEST, LIVE, At, Live, Since
from streamer.deliver.problems import Problem
from streamer.deliver.request import Ask, format_of, parameters_of, parse
from streamer.model import rfc3339

NOW_MS = 1_795_000_000_000


def ask(parameters: dict[str, object] | None = None, *, header: str = "", partitions: int = 10) -> Ask:
    return parse(parameters or {}, fmt="sse", last_event_id=header, partitions=partitions, now_ms=NOW_MS)


def status_of(parameters: dict[str, object], *, header: str = "") -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        ask(parameters, header=header)
    return caught.value.status, caught.value.parameter


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, "sse"),
        ("", "sse"),
        ("*/*", "sse"),
        ("text/event-stream", "sse"),
        ("application/x-ndjson", "ndjson"),
        ("application/x-ndjson, text/event-stream;q=0.5", "ndjson"),
        ("application/x-ndjson;q=0.1, text/event-stream;q=0.5", "sse"),
        ("text/event-stream;q=0, */*", "ndjson"),
        ("*/*;q=0.9, text/event-stream;q=0.1", "ndjson"),
        ("*/*, application/x-ndjson", "ndjson"),
        ("text/html, */*;q=0.1", "sse"),
    ],
)
def test_the_better_liked_format_is_served(accept: str | None, wanted: str) -> None:
    """SSE unless NDJSON is preferred."""
    assert format_of(accept) == wanted


@pytest.mark.parametrize("accept", ["text/html", "text/event-stream;q=0", "application/json;q=x"])
def test_what_is_not_spoken_is_406(accept: str) -> None:
    """Neither format is acceptable."""
    with pytest.raises(Problem) as caught:
        format_of(accept)
    assert caught.value.status == 406


def test_nothing_said_is_live() -> None:
    """Without any of the four, all partitions start with what comes from now on."""
    assert ask().rest == LIVE
    assert ask().starts == {}
    assert ask().partitions == frozenset(range(10))


def test_who_beats_whom() -> None:
    """Last-Event-ID beats offsets beats since_per_partition beats since; the header beats the parameter."""
    everything: dict[str, object] = {
        "last_event_id": "00000000.0:5",
        "offsets": {"0": 4},
        "since_per_partition": {"0": "2020-01-01T00:00:00Z"},
        "since": "2021-01-01T00:00:00Z",
    }
    by_header = ask(everything, header="00000001.1:7")
    assert (by_header.epoch, by_header.starts, by_header.rest) == ("00000001", {1: At(7)}, EARLIEST)
    by_parameter = ask(everything)
    assert (by_parameter.epoch, by_parameter.starts) == ("00000000", {0: At(5)})
    del everything["last_event_id"]
    by_offsets = ask(everything)
    assert (by_offsets.starts, by_offsets.rest) == ({0: At(4)}, LIVE)
    del everything["offsets"]
    by_times = ask(everything)
    assert (by_times.starts, by_times.rest) == ({0: Since(1_577_836_800_000)}, LIVE)
    del everything["since_per_partition"]
    assert ask(everything).rest == Since(1_609_459_200_000)


def test_kafkasse_ids_are_read() -> None:
    """Arrays of offsets or timestamps; -1 is live."""
    text = (
        '[{"topic":"t","partition":0,"offset":3},{"topic":"t","partition":1,"timestamp":9},'
        '{"topic":"t","partition":2,"offset":-1}]'
    )
    asked = ask(header=text)
    assert asked.topic == "t"
    assert asked.starts == {0: At(3), 1: Since(9), 2: Live()}


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("2020-01-01T00:00:00Z", 1_577_836_800_000),
        ("2020-01-01t00:00:00.5z", 1_577_836_800_500),
        ("2020-01-01T01:00:00+01:00", 1_577_836_800_000),
        ("2020-01-01T01:00:00 01:00", 1_577_836_800_000),
        ("2019-12-31T23:00:00.123456789-01:00", 1_577_836_800_123),
    ],
)
def test_times(text: str, time_ms: int) -> None:
    """RFC 3339 in all its spellings, also with the plus that a query's decoding took."""
    assert ask({"since": text}).rest == Since(time_ms)


@pytest.mark.parametrize(
    "value", ["", "now", "2020-01-01", "2020-01-01T00:00:00", "2020-02-30T00:00:00Z", 5, None.__class__, {}]
)
def test_nonsensical_times_are_422(value: object) -> None:
    """The parameter is named."""
    assert status_of({"since": value}) == (422, "since")


def test_the_future_is_422_beyond_a_clocks_error() -> None:
    """Five seconds ahead is a clock, a minute is a mistake."""
    assert ask({"since": rfc3339(NOW_MS + 2_000)}).rest == Since(NOW_MS + 2_000)
    assert status_of({"since": rfc3339(NOW_MS + 60_000)}) == (422, "since")


def test_parts_of_twenty_partitions() -> None:
    """Part p is partitions ⌊pP/10⌋ to ⌊(p+1)P/10⌋-1."""
    assert ask({"parts": [0, 9]}, partitions=20).partitions == {0, 1, 18, 19}
    assert status_of({"parts": [True]}) == (422, "parts")
    assert status_of({"parts": "1"}) == (422, "parts")
    assert status_of({"parts": [1], "offsets": {"5": 1}}) == (422, "offsets")


def test_a_parameter_given_twice_is_422() -> None:
    """In the query twice, or in query and body."""
    with pytest.raises(Problem) as caught:
        parameters_of([("since", "a"), ("since", "b")], b"")
    assert (caught.value.status, caught.value.parameter) == (422, "since")
    with pytest.raises(Problem) as caught:
        parameters_of([("since", "a")], b'{"since": "b"}')
    assert (caught.value.status, caught.value.parameter) == (422, "since")


def test_lists_in_a_query_are_repeated_or_comma_separated() -> None:
    """Both spellings, and both at once."""
    found = parameters_of([("parts", "1,2"), ("parts", "3")], b"")
    assert found == {"parts": ["1", "2", "3"]}


def test_unknown_parameters_are_422_and_not_echoed_where_strange() -> None:
    """The name is repeated only where it looks like one."""
    with pytest.raises(Problem) as caught:
        parameters_of([("<script>", "x")], b"")
    assert (caught.value.status, caught.value.parameter) == (422, "?")
    with pytest.raises(Problem) as caught:
        parameters_of([], b'{"colour": 1}')
    assert caught.value.parameter == "colour"


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff"])
def test_a_body_that_is_no_object_is_400(body: bytes) -> None:
    """JSON objects only."""
    with pytest.raises(Problem) as caught:
        parameters_of([], body)
    assert caught.value.status == 400


def test_ndjson_never_goes_on_after_a_gap() -> None:
    """It could not say so: there a gap is always 410."""
    asked = parse({"on_gap": "continue"}, fmt="ndjson", last_event_id="", partitions=10, now_ms=NOW_MS)
    assert not asked.continue_on_gap
    assert ask({"on_gap": "continue"}).continue_on_gap
