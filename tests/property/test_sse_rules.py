"""The decoder against a naive reading of the WHATWG rules, character by character."""

import re

from hypothesis import given
from hypothesis import strategies as st

from streamer.sse import Decoder, Frame

FRAGMENTS = st.sampled_from(
    [
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"data",
        b"data:",
        b"data: ",
        b"data: x",
        b"event: message\nid: 1\ndata: {}\n\n",
        b"event: message\nid: 1\x00\ndata: {}\n\n",
        b"event: message\nid: \ndata: \n\n",
        b"event: e",
        b"event",
        b"id: 5",
        b"id",
        b"id: \x00",
        b"retry: 10",
        b"retry: x",
        b": c",
        b":",
        b" ",
        b"\xef\xbb\xbf",
        "ä€😀".encode(),
        b"\xff",
        b"\x00",
        b"foo: bar",
    ]
)


def by_the_rules(stream: bytes) -> tuple[list[Frame], int | None]:
    """html.spec.whatwg.org 9.2.5 and 9.2.6, followed step by step and slowly."""
    if stream.startswith(b"\xef\xbb\xbf"):
        stream = stream[3:]
    *lines, _incomplete = re.split(rb"\r\n|\n|\r", stream)
    frames: list[Frame] = []
    data = event = last_id = b""
    retry = None
    for line in lines:
        if line == b"":
            if data == b"":
                event = b""
                continue
            if data.endswith(b"\n"):
                data = data[:-1]
            # beyond the rules: what would be dispatched with empty data carries nothing for us
            if data:
                frames.append(Frame(data, last_id, event or b"message"))
            data = event = b""
            continue
        if line.startswith(b":"):
            continue
        if b":" in line:
            name, value = line.split(b":", 1)
            if value.startswith(b" "):
                value = value[1:]
        else:
            name, value = line, b""
        if name == b"event":
            event = value
        elif name == b"data":
            data += value + b"\n"
        elif name == b"id":
            if b"\0" not in value:
                last_id = value
        elif name == b"retry" and re.fullmatch(rb"[0-9]+", value):
            retry = int(value)
    return frames, retry


@given(st.lists(FRAGMENTS, max_size=40), st.lists(st.integers(0, 200), max_size=12))
def test_equals_the_rules_wherever_it_is_cut(fragments: list[bytes], cuts: list[int]) -> None:
    """Any stream, cut anywhere, decodes to what the rules say."""
    stream = b"".join(fragments)
    decoder = Decoder(max_event_bytes=100_000)
    at = 0
    got: list[object] = []
    for cut in [*sorted(cuts), len(stream)]:
        got.extend(decoder.feed(stream[at:cut]))
        at = max(at, cut)
    expected, retry = by_the_rules(stream)
    assert got == expected
    assert decoder.retry_ms == retry


@given(st.binary(max_size=300), st.integers(1, 50))
def test_never_fails_on_any_bytes(stream: bytes, step: int) -> None:
    """Noise is decoded like anything else, whatever the chunks."""
    decoder = Decoder(max_event_bytes=10_000)
    got = [frame for i in range(0, len(stream), step) for frame in decoder.feed(stream[i : i + step])]
    assert got == by_the_rules(stream)[0]
