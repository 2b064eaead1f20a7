"""Positions on the wire: whatever is written is read back, and nothing else is taken for one."""

import json

from hypothesis import given
from hypothesis import strategies as st

from streamer.deliver.position import (
    MAX_OFFSET,
    At,
    PositionInvalid,
    Vector,
    format_id,
    parse_id,
)

epochs = st.text("0123456789abcdef", min_size=8, max_size=8)
offsets = st.lists(st.integers(0, MAX_OFFSET), min_size=1, max_size=100)


@given(epochs, offsets)
def test_an_id_comes_back_as_it_was(epoch: str, vector: list[int]) -> None:
    """Format and parse are inverse."""
    position = parse_id(format_id(epoch, vector))
    assert position.epoch == epoch
    assert position.starts == {p: At(offset) for p, offset in enumerate(vector)}


@given(st.text(max_size=200) | st.binary(max_size=50).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_a_position_or_an_error_with_a_name(text: str) -> None:
    """Never another exception, never a negative offset."""
    try:
        position = parse_id(text)
    except PositionInvalid:
        return
    assert all(p >= 0 for p in position.starts)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["topic", "partition", "offset", "timestamp", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=4))
def test_any_json_array_is_a_position_or_an_error_with_a_name(value: list[object]) -> None:
    """KafkaSSE's form, whatever a client makes of it."""
    try:
        position = parse_id(json.dumps(value))
    except PositionInvalid:
        return
    assert position.starts
    assert all(p >= 0 for p in position.starts)


@given(epochs, st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), max_size=60))
def test_the_incremental_id_is_the_formatted_one(epoch: str, steps: list[tuple[int, int]]) -> None:
    """A step costs one number, and means the same."""
    vector = Vector(epoch, [0] * 10)
    plain = [0] * 10
    for partition, by in steps:
        plain[partition] += by
        assert not vector.reaches(plain)
        vector.step(partition, plain[partition])
        assert vector.reaches(plain)
    assert vector.id() == format_id(epoch, plain)
