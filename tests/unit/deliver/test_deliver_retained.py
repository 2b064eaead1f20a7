"""Channels and their common budget."""

from harness.fed import Fed

from streamer.deliver.channel import ENTRY_OVERHEAD_BYTES, FRAME_OVERHEAD_BYTES, Channel
from streamer.deliver.rendering import JOINED_BYTES

OVERHEAD_BYTES = ENTRY_OVERHEAD_BYTES + FRAME_OVERHEAD_BYTES


def two_channels(limit_bytes: int) -> tuple[Fed, Channel, Channel]:
    """Of all articles but page 9's, and of page 9's."""
    fed = Fed(retained_bytes=limit_bytes, partitions=2)
    return fed, fed.channel(partitions=[0]), fed.channel(partitions=[1])


def test_the_largest_channel_gives_first() -> None:
    """One busy feed does not take the history of a quiet one."""
    fed, busy, quiet = two_channels(13_000 + 4 * OVERHEAD_BYTES)
    fed.publish(fed.record(9, partition=1, size=1_000))
    for _ in range(20):
        fed.publish(fed.record(1, size=3_000))
        assert fed.budget.enforce() <= {busy}
        assert fed.budget.held.bytes <= fed.budget.limit_bytes
    assert len(quiet) == 1
    assert (busy.first, busy.next) == (17, 20)
    assert fed.budget.change(5_000) == {busy}
    assert (len(quiet), len(busy)) == (1, 1)
    fed.feed.drop(busy)
    fed.feed.drop(quiet)
    assert fed.budget.held.bytes == 0


def test_the_newest_entry_is_kept_however_large() -> None:
    """A reader at the edge of its feed is never overtaken by one article."""
    fed = Fed(retained_bytes=10)
    channel = fed.channel()
    fed.publish(fed.record(1, size=5_000))
    assert not fed.budget.enforce()
    assert len(channel) == 1
    fed.publish(fed.record(1, size=6_000))
    assert fed.budget.enforce() == {channel}
    assert (channel.first, channel.next) == (1, 2)


def test_one_large_entry_spares_no_other_channel() -> None:
    """A feed whose only article is larger than all the others' lets them grow no further."""
    fed, small, large = two_channels(30_000)
    fed.publish(fed.record(9, partition=1, size=20_000))
    for _ in range(9):
        fed.publish(fed.record(1, size=1_000))
        fed.budget.enforce()
    assert len(large) == 1
    assert 1 < len(small) < 9
    assert fed.budget.held.bytes <= 30_000


def test_a_cut_off_empties_what_lies_below_it() -> None:
    """Articles of that page below its sequence; what is evicted gives all back."""
    fed = Fed()
    channel = fed.channel()
    for page in (1, 1, 1, 2):
        fed.publish(fed.record(page, size=JOINED_BYTES))
    before = channel.bytes
    fed.withdraw("1", below=3)
    assert [bool(channel.payload(channel.entry(number))) for number in range(4)] == [False, False, True, True]
    assert channel.bytes == before - 2 * FRAME_OVERHEAD_BYTES
    fed.withdraw("1", below=3)
    assert channel.bytes == before - 2 * FRAME_OVERHEAD_BYTES
    while len(channel):
        channel.evict()
    assert channel.bytes == 0
