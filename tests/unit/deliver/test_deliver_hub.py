"""The hub over real sockets: who takes what, who is cut, and what is never left behind."""

import asyncio
import gzip
import os
import socket

import pytest
from harness.fed import Fed
from harness.hubbed import DEADLINE_S, Hubbed, Reader, hubbed, reset

from streamer.deliver.detached import Detached
from streamer.deliver.gzipped import HEADER
from streamer.deliver.hub import LAST_CHUNK
from streamer.deliver.negotiate import Encoding
from streamer.deliver.outlet import LINGER_S, WRITE_DEADLINE_S
from streamer.deliver.request import Format

LARGE = 200_000
"""An article that no client with small buffers takes at once."""


async def block(fed: Hubbed, stream: Detached, *, page: int = 9) -> None:
    """Until the client, which does not read, has taken a part of an article."""
    channel = stream.channel
    await fed.send(fed.record(page, size=LARGE))
    assert stream in fed.hub._audiences[channel].blocked
    assert not channel.is_border(stream.at)


async def test_who_keeps_up_is_written_what_is_new() -> None:
    """In both formats, packed or not, as one chunk an entry; who joins gets what is new alone."""
    async with hubbed() as fed:
        readers: list[Reader] = []
        for fmt in ("sse", "ndjson"):
            for encoding in ("identity", "gzip"):
                _, reader = fed.join(fed.channel(fmt, encoding))
                readers.append(reader)
        await fed.send(fed.record(1), fed.record(2))
        _, late = fed.join(fed.channel())
        await fed.send(fed.record(3, size=30_000))
        for reader in readers:
            await reader.has(b'"name":"Page 3"')
            assert [reader.body.count(b'"Page %d"' % page) for page in (1, 2, 3)] == [1, 1, 1]
            assert len(reader.chunks) == 2
        await late.has(b'"name":"Page 3"')
        assert b"Page 1" not in late.body


async def test_a_blocked_stream_goes_on_where_it_was() -> None:
    """Once its client reads again, to the end of all that came meanwhile; then it keeps up again."""
    async with hubbed() as fed:
        channel = fed.channel()
        stream, slow = fed.join(channel, small=True)
        _, fast = fed.join(channel)
        await block(fed, stream)
        for page in range(1, 6):
            await fed.send(fed.record(page, size=20_000))
        await fast.has(b'"name":"Page 5"')
        assert stream.blocked_s == fed.hands.now_s
        await slow.has(b'"name":"Page 5"')
        assert slow.body == fast.body
        async with asyncio.timeout(DEADLINE_S):
            while stream in fed.hub._audiences[channel].blocked:
                await asyncio.sleep(0.002)
        await fed.send(fed.record(6))
        await slow.has(b'"name":"Page 6"')


async def test_who_takes_nothing_has_a_deadline() -> None:
    """Each byte that it takes gives it the whole time anew; then it is reset."""
    async with hubbed() as fed:
        stream, reader = fed.join(fed.channel(), small=True)
        await block(fed, stream)
        await fed.sweep(WRITE_DEADLINE_S - 1)
        at = stream.at
        await reader.until(lambda: stream.at > at)
        await fed.sweep(WRITE_DEADLINE_S - 1)
        assert fed.ended == []
        await fed.sweep(1)
        assert fed.reasons() == ["stalled"]
        await reader.end()
        assert isinstance(reader.error, ConnectionResetError)
        assert not reader.is_whole


async def test_who_falls_behind_what_is_retained_is_reset() -> None:
    """And nobody else."""
    async with hubbed(retained_bytes=300_000) as fed:
        channel = fed.channel()
        stream, slow = fed.join(channel, small=True)
        _, fast = fed.join(channel)
        await block(fed, stream)
        for page in range(1, 11):
            await fed.send(fed.record(page, size=50_000))
            await fast.has(b'"name":"Page %d"' % page)
        assert fed.reasons() == ["slow"]
        await slow.end()
        assert isinstance(slow.error, ConnectionResetError)
        assert channel.bytes <= 300_000


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("fmt", ["sse", "ndjson"])
async def test_a_cut_ends_on_a_border(fmt: Format, encoding: Encoding) -> None:
    """Who keeps up at once, who is blocked once its client has taken the article that it is in: `bye` with
    the position, gzip's trailer, the last chunk; nothing of what would have come next.
    """
    async with hubbed() as fed:
        channel = fed.channel(fmt, encoding)
        stream, slow = fed.join(channel, small=True)
        ready, fast = fed.join(channel)
        for _ in range(3 if encoding == "identity" else 200):
            await fed.send(fed.record(9, size=LARGE))
            if not channel.is_border(stream.at):
                break
        position = channel.entry(channel.number_at(stream.at)).position
        await fed.send(fed.record(1))
        fed.hub.cut(ready, "drain", patience_s=3.0)
        assert fed.reasons() == ["drain"]
        fed.hub.cut(stream, "drain", patience_s=3.0)
        fed.hub.cut(stream, "expired", patience_s=0.0)  # it is about to end as it is
        assert len(fed.ended) == 1
        await slow.end()
        await fast.end()
        assert fed.reasons() == ["drain", "drain"]
        for reader, last in ((slow, position), (fast, fed.feed.vector.id())):
            assert reader.has_ended
            assert reader.error is None
            assert reader.raw.endswith(LAST_CHUNK)
            if encoding == "gzip":
                assert reader.has_trailer
            if fmt == "sse":
                bye = f'id: {last}\nevent: bye\ndata: {{"reason":"drain"}}\n\n'
                assert reader.body.endswith(bye.encode())
        assert b"Page 1" in fast.body
        assert b"Page 1" not in slow.body


async def test_a_cut_has_a_deadline() -> None:
    """Who does not take the rest of its article in time is reset; who has no patience, at once."""
    async with hubbed() as fed:
        channel = fed.channel()
        patient, one = fed.join(channel, small=True)
        hasty, two = fed.join(channel, small=True)
        await fed.send(fed.record(9, size=LARGE))
        fed.hub.cut(patient, "drain", patience_s=3.0)
        fed.hub.cut(hasty, "drain", patience_s=0.0)
        assert fed.ended == [(hasty, "drain")]
        await fed.sweep(2.9)
        assert len(fed.ended) == 1
        await fed.sweep(0.2)
        assert fed.ended == [(hasty, "drain"), (patient, "drain")]
        for reader in (one, two):
            await reader.end()
            assert reader.error is not None
            assert not reader.is_whole


async def test_a_feed_that_ends_cuts_all() -> None:
    """Those on a border with `bye`."""
    async with hubbed() as fed:
        channel = fed.channel()
        _, reader = fed.join(channel)
        stuck, other = fed.join(channel, small=True)
        await block(fed, stuck)
        await reader.has(b"Page 9")
        fed.hub.ended(channel, "expired")
        assert fed.reasons() == ["expired"]
        await fed.sweep(LINGER_S + 0.1)  # the other has so long to take what it was sent before
        assert fed.reasons() == ["expired", "expired"]
        await reader.end()
        assert b'{"reason":"expired"}' in reader.body
        await other.end()
        assert other.error is not None


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_while_cut_offs_are_behind_nothing_begins(encoding: Encoding) -> None:
    """The article that a client is in is finished; heartbeats go on; then all comes, and the end is whole."""
    async with hubbed() as fed:
        channel = fed.channel("sse", encoding)
        stream, slow = fed.join(channel, small=True)
        _, fast = fed.join(channel)
        while channel.is_border(stream.at):
            await fed.send(fed.record(9, size=LARGE))
        nines = channel.events
        await fast.has(b'"name":"Page 9"', nines)
        fed.known.behind = True
        await fed.send(fed.record(1))
        await slow.until(lambda: channel.is_border(stream.at))
        for beats in range(1, 4):
            await fed.sweep(15.1)
            await fast.has(b":hb\n", beats)
            await slow.has(b":hb\n", beats)
        assert b"Page 1" not in fast.body + slow.body
        fed.known.behind = False
        await fed.sweep()
        for reader in (fast, slow):
            await reader.has(b'"name":"Page 1"')
            assert reader.body.count(b"Page 9") == nines
            assert reader.body.count(b'"Page 1"') == 1
        for left in tuple(fed.hub.streams.values()):
            fed.hub.cut(left, "drain", patience_s=1.0)
        for reader in (fast, slow):
            await reader.end()
            assert reader.is_whole
            assert encoding == "identity" or reader.has_trailer


async def test_a_pause_that_nobody_looked_at_holds_nothing_back() -> None:
    """It came and went between two sweeps, while a blocked client had read on: that one gets the rest at the
    next one, not at the next heartbeat.
    """
    async with hubbed() as fed:
        channel = fed.channel()
        stream, slow = fed.join(channel, small=True)
        await block(fed, stream)
        await fed.send(fed.record(1))
        fed.known.behind = True
        await slow.until(lambda: channel.is_border(stream.at))
        fed.known.behind = False
        await fed.sweep()
        await slow.has(b"Page 1")


async def test_who_was_overtaken_in_a_pause_is_reset() -> None:
    """It stands on a border, and what follows is gone: it must not be sent what lies there now."""
    async with hubbed(retained_bytes=1 << 20) as fed:
        channel = fed.channel()
        _, reader = fed.join(channel)
        await fed.send(fed.record(1))
        await reader.has(b"Page 1")
        fed.known.behind = True
        for _ in range(20):
            await fed.send(fed.record(2, size=100_000))
        fed.known.behind = False
        await fed.send(fed.record(3))
        await reader.end()
        assert b"\0" not in reader.raw
        assert isinstance(reader.error, ConnectionResetError)
        assert fed.reasons() == ["slow"]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_who_is_amid_what_is_withdrawn_is_reset(encoding: Encoding) -> None:
    """Who waits before it gets what is left instead, or nothing; the end is whole."""
    async with hubbed() as fed:
        channel = fed.channel("sse", encoding)
        behind, before = fed.join(channel, small=True)
        while channel.is_border(behind.at):
            await fed.send(fed.record(9, size=LARGE))
        number = channel.next
        await fed.send(fed.record(1, size=20_000))
        await fed.send(fed.record(2, size=20_000))
        await fed.send(fed.record(3))
        fed.withdraw("1")
        fed.withdraw("2", ("comment",))
        await before.has(b'"name":"Page 3"')
        assert b"Page 1" not in before.body
        assert b'"Page 2"' in before.body
        (event,) = [event for event in before.body.split(b"\n\n") if b'"Page 2"' in event]
        assert b'"comment":false' in event
        assert b"why" not in event
        assert channel.entry(number).patch == b""
        amid, reader = fed.join(channel, small=True)
        while channel.is_border(amid.at):
            await fed.send(fed.record(4, size=LARGE))
        fed.withdraw("4", ("editor",))
        assert (amid, "withdrawn") in fed.ended
        await reader.end()
        assert reader.error is not None
        if behind.fd in fed.hub.streams:
            fed.hub.cut(behind, "drain", patience_s=1.0)
            await before.end()
            assert before.is_whole or (behind, "withdrawn") in fed.ended
            assert encoding == "identity" or not before.is_whole or before.has_trailer


@pytest.mark.parametrize("how", ["patch", "nothing", "heartbeat"])
async def test_the_trailer_is_right_straight_after_what_went_out_alone(how: str) -> None:
    """A patch, or heartbeats in a pause, are no part of what all were sent."""
    async with hubbed() as fed:
        channel = fed.channel("sse", "gzip")
        stream, reader = fed.join(channel, small=True)
        while channel.is_border(stream.at):
            await fed.send(fed.record(9, size=LARGE))
        if how != "heartbeat":
            await fed.send(fed.record(1))
            fed.withdraw("1", ("comment",) if how == "patch" else ("text",))
        else:
            fed.known.behind = True
        await reader.until(lambda: stream.at == channel.log.end and not stream.private)
        if how == "heartbeat":
            await fed.sweep(16)
        fed.hub.cut(stream, "drain", patience_s=1.0)
        await reader.end()
        assert reader.has_trailer
        assert gzip.decompress(HEADER + b"".join(reader.chunks)) == reader.body
        assert reader.body.count(b'"Page 1"') == (how == "patch")
        assert reader.body.count(b":hb\n") == (how == "heartbeat")


async def test_many_that_are_withdrawn_in_a_row_are_passed_at_once() -> None:
    """Thousands of small articles of one page, of which nothing is left."""
    async with hubbed() as fed:
        channel = fed.channel()
        stream, reader = fed.join(channel, small=True)
        await block(fed, stream)
        for _ in range(3_000):
            fed.publish(fed.record(1, size=1))
        fed.withdraw("1")
        await fed.send(fed.record(2))
        await reader.has(b'"name":"Page 2"')
        assert b'"Page 1"' not in reader.body


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
async def test_who_leaves_frees_its_place(how: str) -> None:
    """Without a byte to be written, whether it kept up or was blocked."""
    async with hubbed() as fed:
        channel = fed.channel()
        _, one = fed.join(channel)
        stuck, two = fed.join(channel, small=True)
        await block(fed, stuck)
        await one.has(b"Page 9")
        for reader in (one, two):
            if how == "reset":
                reset(reader.sock)
            elif how == "close":
                reader.sock.close()
            else:
                reader.sock.shutdown(socket.SHUT_WR)
        assert await fed.over(2) == ["client", "client"]
        await fed.send(fed.record(1))
        assert not fed.hub._audiences


async def test_who_leaves_is_noticed_by_a_write() -> None:
    """Before the loop has told of it: the write fails, in a round and in one of its own."""
    async with hubbed() as fed:
        channel = fed.channel()
        streams = [fed.join(channel) for _ in range(3)]
        for _, reader in streams[:2]:
            reset(reader.sock)
        fed.publish(fed.record(1))
        await fed.hub.round(channel)
        assert fed.reasons() == ["client", "client"]
        await streams[2][1].has(b"Page 1")


async def test_a_number_that_is_used_again_is_another_stream() -> None:
    """One ends between two slices of a round, and a socket with its number is adopted: it is written what is
    its own.
    """
    async with hubbed() as fed:
        channel, other = fed.channel(), fed.channel("ndjson")
        old, _ = fed.join(channel)
        number = old.fd
        served, client = fed.connect()
        fed.hub.reset(old, "failed")
        fed.hub.cut(old, "drain", patience_s=0.0)
        fed.hub.reset(old, "failed")
        new, reader = fed.join(other, sockets=(numbered(served, number), client))
        assert new.fd == number
        fed.hub.cut(old, "drain", patience_s=0.0)
        fed.hub.reset(old, "slow")
        assert fed.ended == [(old, "failed")]
        await fed.send(fed.record(1))
        await reader.has(b"Page 1")
        assert b"id: " not in reader.body


@pytest.mark.parametrize("size", [10, 40_000])
async def test_a_round_in_slices(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Streams end and come between them; each that stays gets all once, and none is written to after."""
    monkeypatch.setattr("streamer.deliver.hub.SLICE", 2)
    async with hubbed() as fed:
        channel = fed.channel()
        streams = [fed.join(channel) for _ in range(9)]
        fed.publish(fed.record(1, size=size))
        round_ = asyncio.create_task(fed.hub.round(channel))
        await asyncio.sleep(0)
        fed.hub.reset(streams[8][0], "failed")
        reset(streams[3][1].sock)
        newer = fed.join(channel)
        assert newer[0].fd >= 0
        await asyncio.sleep(0)
        fed.hub.cut(streams[7][0], "drain", patience_s=1.0)
        await round_
        await fed.over(3)
        await fed.send(fed.record(2))
        for number, (_, reader) in enumerate(streams):
            if number not in (3, 7, 8):
                await reader.has(b'"name":"Page 2"')
                assert reader.body.count(b'"Page 1"') == 1
        await newer[1].has(b'"name":"Page 2"')
        assert b'"Page 1"' not in newer[1].body
        await streams[7][1].end()
        assert streams[7][1].is_whole
        assert b'"Page 2"' not in streams[7][1].body


async def test_a_cut_off_between_two_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was not written to yet does not get what was withdrawn meanwhile."""
    monkeypatch.setattr("streamer.deliver.hub.SLICE", 1)
    async with hubbed() as fed:
        channel = fed.channel()
        (_, first), (_, second) = fed.join(channel), fed.join(channel)
        fed.publish(fed.record(1), fed.record(2))
        round_ = asyncio.create_task(fed.hub.round(channel))
        await asyncio.sleep(0)
        fed.withdraw("1")
        await round_
        await first.has(b'"name":"Page 2"')
        await second.has(b'"name":"Page 2"')
        assert b'"Page 1"' in first.body
        assert b'"Page 1"' not in second.body


async def test_what_a_client_sends_is_no_reason_to_lose_the_end() -> None:
    """Unread bytes would make a reset of a close: they are drained until the client has closed too, or for
    so long.
    """
    async with hubbed() as fed:
        channel = fed.channel()
        streams = [fed.join(channel) for _ in range(2)]
        for _, reader in streams:
            reader.sock.send(b"x" * 10_000)
        for stream, _ in streams:
            fed.hub.cut(stream, "drain", patience_s=1.0)
        for _, reader in streams:
            await reader.end()
            assert reader.is_whole
            assert reader.error is None
        streams[0][1].sock.close()
        async with asyncio.timeout(DEADLINE_S):
            while len(fed.hub._lingering) > 1:
                await asyncio.sleep(0.002)
        await fed.sweep(LINGER_S)
        assert not fed.hub._lingering


async def test_a_quiet_channel_keeps_little() -> None:
    """Heartbeats and cursors that all have had are let go, where nobody stands before them."""
    async with hubbed() as fed:
        channel = fed.channel()
        stream, reader = fed.join(channel)
        for beats in range(1, 30):
            await fed.sweep(15.1)
            await reader.has(b":hb\n", beats)
            assert len(channel) == 1
        fed.feed.vector.step(0, 7)
        await fed.sweep(5)
        await reader.has(b"event: cursor\nid: e7c14a09.0:7\n")
        assert stream.position() == "e7c14a09.0:7"


def numbered(sock: socket.socket, number: int) -> socket.socket:
    """The same with this number, which is free."""
    numbers = [os.dup(sock.fileno())]
    while numbers[-1] != number:
        numbers.append(os.dup(sock.fileno()))
    for lower in numbers[:-1]:
        os.close(lower)
    sock.close()
    return socket.socket(fileno=number)


class Standing:
    """A connection that is not detached."""

    def moved(self) -> None: ...

    def withdrawn(self) -> None: ...


async def test_a_quiet_channel_keeps_what_attached_ones_have_not_had() -> None:
    """They stand in it, too."""
    async with hubbed() as fed:
        channel = fed.channel()
        _, reader = fed.join(channel)
        channel.followers.add(Standing())
        await fed.send(fed.record(1))
        await fed.sweep(15.1)
        await reader.has(b":hb\n")
        assert channel.first == 0


async def test_a_hub_that_closes_resets_who_is_left() -> None:
    """Nothing is left open: see `hubbed`."""
    async with hubbed() as fed:
        for _ in range(3):
            fed.join(fed.channel())
        stream, _ = fed.join(fed.channel())
        fed.hub.cut(stream, "drain", patience_s=1.0)
    assert fed.reasons() == ["drain"] * 4


def test_a_hub_is_made_without_a_loop() -> None:
    """And says of nobody that it ended."""
    assert Fed().ended == []


async def test_a_patch_on_its_way_is_recalled() -> None:
    """A second cut-off reaches it, or, once its entry is evicted, the client was cut as slow before."""
    for is_evicted in (False, True):
        async with hubbed() as fed:
            channel = fed.channel()
            stream, reader = fed.join(channel, small=True)
            fed.known.behind = True
            await fed.send(fed.record(1), fed.record(2, size=4_000_000))  # of one read, so in one entry
            fed.withdraw("1")
            fed.known.behind = False
            await fed.hub.round(channel)
            assert stream.private
            if is_evicted:
                fed.feed._budget.limit_bytes = 1
                await fed.send(fed.record(3))
            fed.withdraw("2")
            await reader.end()
            assert isinstance(reader.error, ConnectionResetError)
            assert len(reader.raw) < 3_900_000
            assert fed.reasons() == ["slow" if is_evicted else "withdrawn"]


async def test_an_entry_of_which_nothing_is_left_hides_no_later_one() -> None:
    """Who has passed it, and is amid another that is withdrawn, is reset."""
    async with hubbed() as fed:
        channel = fed.channel()
        stream, reader = fed.join(channel, small=True)
        fed.known.behind = True
        await fed.send(fed.record(1))
        await fed.send(fed.record(2, size=4_000_000))
        fed.withdraw("1")
        fed.known.behind = False
        await fed.hub.round(channel)
        assert not channel.is_border(stream.at)
        fed.withdraw("2")
        await reader.end()
        assert isinstance(reader.error, ConnectionResetError)
        assert fed.reasons() == ["withdrawn"]


async def test_heartbeats_go_on_while_the_feed_reads_in_a_pause() -> None:
    """What it appends meanwhile is not sent, and so no sign of life."""
    async with hubbed() as fed:
        channel = fed.channel()
        _, reader = fed.join(channel)
        fed.known.behind = True
        for _ in range(12):
            await fed.send(fed.record(1))
            await fed.sweep(5.0)
        await reader.has(b":hb\n", 3)
        assert b"Page" not in reader.body
