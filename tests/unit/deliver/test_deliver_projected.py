"""Projected frames: made once for all, bounded, and never more than the frame itself shows."""

from streamer.deliver.encode import Frame, strip
from streamer.deliver.projected import Projected
from streamer.projection import Projection


def frame(offset: int, size: int = 10) -> Frame:
    head = b"id: e7c14a09.0:%d\ndata: " % (offset + 1)
    data = b'{"name":"A","version":{"identifier":1,"comment":"why"},"abstract":"%b"}' % (b"x" * size)
    return Frame("enwiki:1", 1, 1, 0, 0, head + data + b"\n\n", len(head), frozenset())


def test_each_is_made_once() -> None:
    """For equal selections, whoever asks; the id stays."""
    projected, one = Projected(), frame(1)
    made = projected.of(one, Projection(["url"]))
    assert projected.of(one, Projection(["url"])) is made
    assert made.sse == b'id: e7c14a09.0:2\ndata: {"name":"A"}\n\n'
    assert made.position() == one.position()
    assert made.ndjson() == b'{"name":"A"}\n'
    other = projected.of(one, Projection(["version.*"]))
    assert b"why" in other.sse


def test_what_was_withdrawn_meanwhile_is_not_kept() -> None:
    """A frame that lost its comment is projected anew."""
    projected, one = Projected(), frame(1)
    projection = Projection(["version.*"])
    assert b"why" in projected.of(one, projection).sse
    strip(one, frozenset({"comment"}))
    assert b"why" not in projected.of(one, projection).sse


def test_what_is_kept_is_bounded() -> None:
    """The oldest go first."""
    projected = Projected(kept_bytes=10_000)
    projection = Projection(["abstract"])
    frames = [frame(offset, 1_000) for offset in range(50)]
    first = [projected.of(one, projection) for one in frames]
    assert projected.kept.size <= 10_000
    assert projected.of(frames[-1], projection) is first[-1]
    assert projected.of(frames[0], projection) is not first[0]
