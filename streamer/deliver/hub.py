"""All detached streams of a process: one epoll for their sockets, and no task, queue or timer of their own.

    feed ── appends to a channel ──► round: each stream that has kept up is written what is new
                                       │ takes it all                │ takes a part
                                       ▼                             ▼
                                     ready  ◄── has caught up ──  blocked ──► slow, stalled: cut

A stream is an offset in its channel's log. Small writes are of bytes that all share, larger ones are
sendfile's, straight from the log. A round goes in slices, so that the loop is never kept for long; the feed
reads on once its round is over. Blocked streams cost nothing until their sockets can be written to.
"""

import asyncio
import os
import select
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, cast

from streamer.clock import Clock
from streamer.deliver.audience import Audience
from streamer.deliver.channel import Channel, Entry, chunk
from streamer.deliver.detached import NEVER_S, Detached
from streamer.deliver.encode import HEARTBEAT, NDJSON_HEARTBEAT, bye, cursor
from streamer.deliver.framelog import HAS_MEMFD, MemfdLog
from streamer.deliver.gzipped import block
from streamer.deliver.lingering import Lingering
from streamer.deliver.outlet import CURSOR_S, LINGER_S, RESETS, WRITE_DEADLINE_S
from streamer.deliver.sockets import close_socket
from streamer.deliver.withdrawals import Withdrawals
from streamer.faultpoints import Point, is_armed, reached

CAN_DETACH: Final = HAS_MEMFD and hasattr(select, "epoll") and hasattr(os, "sendfile")
SLICE: Final = 512
"""Writes at a time; then others have their turn."""
SHARED_BYTES: Final = 12_288
"""Up to here a write of bytes that all share is cheaper than sendfile (measured on loopback)."""
SENDFILE_BYTES: Final = 262_144
TURN_BYTES: Final = 1_048_576
"""A client that reads as fast as it is written to doesn't keep the loop for longer."""
SWEEP_S: Final = 0.25
WRITES: Final = (Point.DELIVER_WRITE_MIDDLE, Point.DELIVER_WRITTEN)
LAST_CHUNK: Final = b"0\r\n\r\n"
GONE: Final = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP if CAN_DETACH else 0
EVENTS_AT_ONCE: Final = 256

OnEnd = Callable[[Detached, str], None]


class Hub:
    """`run` it within `opened`. `on_end` is called once for each stream, when it is over."""

    def __init__(
        self, withdrawals: Withdrawals, clock: Clock, heartbeat_s: Callable[[], float], on_end: OnEnd
    ) -> None:
        self.streams: dict[int, Detached] = {}
        """By descriptor."""
        self._withdrawals = withdrawals
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._on_end = on_end
        self._audiences: dict[Channel, Audience] = {}
        self._lingering = Lingering(clock, LINGER_S)
        self._was_held = False
        """Something may wait since the last sweep that is for no round to write."""

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Answers to its sockets; what is still open at the end is reset."""
        if not CAN_DETACH:
            yield
            return
        self._epoll = select.epoll()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._epoll.fileno(), self._heed)
        try:
            yield
        finally:
            for stream in tuple(self.streams.values()):
                self.reset(stream, stream.cut or "drain")
            self._lingering.close(self._epoll)
            loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    async def run(self) -> None:
        """For ever: what is due by the clock."""
        while True:
            await asyncio.sleep(min(SWEEP_S, self._heartbeat_s() / 4))
            await self._sweep()

    async def _sweep(self) -> None:
        was_held, self._was_held = self._was_held, False
        is_over = was_held and not self._is_held()
        for channel in tuple(self._audiences):
            if is_over:
                await self.round(channel)
            await self._quiet(channel)
        self._expire()

    # ── who comes ──────────────────────────────────────────────────────────────────────────────

    def adopt(self, stream: Detached) -> None:
        """Its socket, which nobody else writes to any more, and whose channel somebody holds. Raises OSError
        where the system watches no more sockets; then it is reset.
        """
        channel = stream.channel
        try:
            self._epoll.register(stream.fd, select.EPOLLRDHUP)
        except OSError:
            close_socket(stream.fd, resets=True)
            raise
        audience = self._audiences.get(channel)
        if audience is None:
            audience = self._audiences[channel] = Audience(channel, self._clock.monotonic_s())
        self.streams[stream.fd] = stream
        audience.add_ready(stream)
        if stream.at < channel.log.end:
            self._pump(stream, audience)

    # ── what goes out ──────────────────────────────────────────────────────────────────────────

    async def round(self, channel: Channel) -> None:
        """Writes what is new to all streams that have kept up; returns once each had its chance."""
        audience = self._audiences.get(channel)
        if audience is None:
            channel.sent()
            channel.fresh = []
            return
        streams = audience.all_ready()
        for number in range(0, len(streams), SLICE):
            slice_ = streams[number : number + SLICE]
            if number:
                await asyncio.sleep(0)  # others have their turn, in which all may leave and the channel close
                if self._audiences.get(channel) is not audience:
                    return
                slice_ = tuple(stream for stream in slice_ if stream in audience.ready)
            if self._is_held():
                channel.sent()
                return
            self._slice(channel, audience, slice_)
        audience.shows()
        audience.wrote_at_s = self._clock.monotonic_s()
        if channel.fresh:
            audience.told_at_s = audience.wrote_at_s
        channel.sent()
        if audience.ready or audience.blocked:
            audience.observe(self._clock.now_ms())

    def _is_held(self) -> bool:
        """Nothing is begun that cut-offs might reach which are not known yet."""
        is_held = self._withdrawals.behind
        self._was_held |= is_held
        return is_held

    def _slice(self, channel: Channel, audience: Audience, streams: Sequence[Detached]) -> None:
        start, end = audience.shown, channel.log.end
        is_there = max(channel.start, channel.patched_end) <= start < end
        is_plain = is_there and not any(map(is_armed, WRITES))
        apart = self._together(channel, audience, streams, start) if is_plain else streams
        for stream in apart:
            if stream in audience.ready and stream.at < end:
                self._pump(stream, audience)

    def _together(
        self, channel: Channel, audience: Audience, streams: Sequence[Detached], start: int
    ) -> list[Detached]:
        """The same for all that stand at `start`, as nearly all do; the others are what is returned. All are
        ready.
        """
        end = channel.log.end
        size = end - start
        data = channel.unsent(start) if size <= SHARED_BYTES else b""
        write, sendfile, log_fd = os.write, os.sendfile, cast("MemfdLog", channel.log).fd
        apart: list[Detached] = []
        partly: list[tuple[Detached, int]] = []
        lost: list[Detached] = []
        for stream in streams:
            if stream.at != start:
                apart.append(stream)
                continue
            try:
                sent = write(stream.fd, data) if data else sendfile(stream.fd, log_fd, start, size)
                if sent == size:
                    stream.at = end
                else:
                    partly.append((stream, sent))
            except BlockingIOError:
                partly.append((stream, 0))
            except OSError:
                lost.append(stream)
        whole = len(streams) - len(apart) - len(partly) - len(lost)
        audience.wrote_all(whole)
        for stream, sent in partly:
            self._moved(stream, audience, sent)
            self._block(stream, audience)
        for stream in lost:
            self._end(stream, "client")
        return apart

    def _pump(self, stream: Detached, audience: Audience) -> None:
        """Writes to one stream what it may have, until there is no more or its socket takes no more."""
        channel = stream.channel
        left = TURN_BYTES
        try:
            while left > 0:
                if stream.private:
                    sent = os.write(stream.fd, stream.private)
                    stream.private = stream.private[sent:]
                    self._took(stream, sent)
                    left -= sent
                    if stream.private:
                        break
                    stream.private_of = None
                if stream.is_last:
                    self._end(stream, stream.cut, lingers=True)
                    return
                if stream.at < channel.start:
                    self.reset(stream, stream.cut or "slow")
                    return
                limit = self._limit(stream)
                if stream.at < limit:
                    sent = self._send(stream, min(limit - stream.at, left, SENDFILE_BYTES))
                    self._moved(stream, audience, sent)
                    left -= sent
                    reached(Point.DELIVER_WRITTEN)
                elif not stream.private:
                    self._unblock(stream, audience)
                    return
        except BlockingIOError:
            pass
        except OSError:
            self._end(stream, "client")
            return
        self._block(stream, audience)

    def _send(self, stream: Detached, size: int) -> int:
        log = cast("MemfdLog", stream.channel.log)
        if is_armed(Point.DELIVER_WRITE_MIDDLE) and size > 1:
            sent = os.sendfile(stream.fd, log.fd, stream.at, size // 2)
            reached(Point.DELIVER_WRITE_MIDDLE)
            return sent
        return os.sendfile(stream.fd, log.fd, stream.at, size)

    def _limit(self, stream: Detached) -> int:
        """Up to where it may be written now. Moves it over what goes out otherwise: see `private`."""
        channel, at = stream.channel, stream.at
        if stream.cut or self._is_held():
            number = channel.number_at(at)
            if number < channel.next and channel.entry(number).start < at:
                return channel.entry(number).end
            if stream.cut:
                self._say_bye(stream)
            return stream.at
        while stream.at < channel.patched_end and (entry := channel.next_patched(stream.at)) is not None:
            if entry.start > stream.at:
                return entry.start
            self._pass(stream, entry)
            if stream.private:
                return stream.at
        return channel.log.end

    def _pass(self, stream: Detached, entry: Entry) -> None:
        """Its patch goes out instead."""
        stream.passes(entry, entry.patch_block)
        stream.private = entry.patch or b""
        stream.private_of = entry if stream.private else None
        audience = self._audiences[stream.channel]
        audience.events.inc(len(entry.frames))
        audience.bytes.inc(len(stream.channel.payload(entry)))

    def _moved(self, stream: Detached, audience: Audience, sent: int) -> None:
        before = stream.at
        stream.at += sent
        self._took(stream, sent)
        audience.wrote(before, stream.at)

    def _took(self, stream: Detached, sent: int) -> None:
        if sent and stream.blocked_s is not NEVER_S:
            stream.blocked_s = self._clock.monotonic_s()

    def _block(self, stream: Detached, audience: Audience) -> None:
        if stream in audience.ready:
            audience.drop_ready(stream)
            audience.lowest = min(audience.lowest, stream.stands_at) if audience.blocked else stream.stands_at
            audience.blocked[stream] = None
            stream.blocked_s = self._clock.monotonic_s()
            self._epoll.modify(stream.fd, select.EPOLLOUT | select.EPOLLRDHUP)

    def _unblock(self, stream: Detached, audience: Audience) -> None:
        if stream in audience.blocked:
            del audience.blocked[stream]
            audience.add_ready(stream)
            stream.blocked_s = NEVER_S
            self._epoll.modify(stream.fd, select.EPOLLRDHUP)

    def _heed(self) -> None:
        """What the sockets say. Nothing that clients send is read: the kernel holds it, within its bounds."""
        for fd, events in self._epoll.poll(0, EVENTS_AT_ONCE):
            stream = self.streams.get(fd)
            if stream is None:
                if fd in self._lingering:
                    self._lingering.heed(self._epoll, fd)
            elif events & GONE:
                self._end(stream, stream.cut or "client")
            else:
                self._pump(stream, self._audiences[stream.channel])

    def unsent_ms(self) -> Iterator[tuple[str, int]]:
        """By channel its partner, and when the article was appended that comes next for the client that is
        furthest behind; 0: all have all.
        """
        for channel, audience in self._audiences.items():
            behind = (*audience.blocked, *audience.ready) if self._withdrawals.behind else audience.blocked
            at = min((stream.stands_at for stream in behind), default=channel.log.end)
            yield channel.partner, channel.appended_ms_at(channel.number_at(max(at, channel.start)))

    # ── what is due ────────────────────────────────────────────────────────────────────────────

    async def _quiet(self, channel: Channel) -> None:
        """A cursor or a heartbeat, where nothing else was said for so long."""
        audience = self._audiences.get(channel)
        if audience is None:
            return
        now_s = self._clock.monotonic_s()
        is_sse = channel.wanted.format == "sse"
        beat = HEARTBEAT if is_sse else NDJSON_HEARTBEAT
        is_due = now_s >= audience.wrote_at_s + self._heartbeat_s()
        if self._withdrawals.behind:
            if is_due:
                audience.wrote_at_s = now_s
                for stream in tuple(audience.ready):
                    self._say(stream, beat)
                    self._pump(stream, audience)
            return
        position = channel.vector.id()
        if is_sse and position != channel.told and now_s >= audience.told_at_s + CURSOR_S:
            audience.told_at_s = now_s
            channel.say(cursor(position), position)
        elif is_due:
            channel.say(beat, channel.told)
        elif audience.shown == channel.log.end:
            return
        all_had = channel.offset_of(channel.next - 1)
        is_had = not channel.followers and not audience.blocked
        if is_had and all(stream.at >= all_had for stream in audience.ready):
            while len(channel) > 1:  # nobody has to read it again
                channel.evict()
        await self.round(channel)

    def _expire(self) -> None:
        """Who takes nothing, and who had to be gone by now."""
        now_s = self._clock.monotonic_s()
        for audience in tuple(self._audiences.values()):
            for stream in tuple(audience.blocked):
                if now_s >= stream.deadline_s:
                    self.reset(stream, stream.cut)
                elif now_s >= stream.blocked_s + WRITE_DEADLINE_S:
                    self.reset(stream, "stalled")
        self._lingering.expire(self._epoll)

    # ── who goes ───────────────────────────────────────────────────────────────────────────────

    def overtaken(self, channel: Channel) -> None:
        """Cuts who stands before what is retained; call it after the channel has evicted."""
        audience = self._audiences.get(channel)
        if audience is None or not audience.blocked or audience.lowest >= channel.start:
            return
        for stream in [stream for stream in audience.blocked if stream.stands_at < channel.start]:
            self.reset(stream, stream.cut or "slow")
        audience.lowest = min((stream.stands_at for stream in audience.blocked), default=0)

    def withdrawn(self, channel: Channel, entries: Iterable[Entry]) -> None:
        """Resets who is in the middle of one of these."""
        audience = self._audiences.get(channel)
        if audience is None:
            return
        starts = {entry.start for entry in entries}
        for stream in tuple(audience.blocked) if starts else ():
            own = stream.private_of
            if own is None and stream.at >= channel.start and not channel.is_border(stream.at):
                own = channel.entry(channel.number_at(stream.at))
            if own is not None and own.start in starts:
                self.reset(stream, "withdrawn")

    def ended(self, channel: Channel, reason: str) -> None:
        """The feed has: nothing comes any more."""
        audience = self._audiences.get(channel)
        for stream in (*audience.ready, *audience.blocked) if audience is not None else ():
            self.cut(stream, reason, patience_s=LINGER_S)

    def cut(self, stream: Detached, reason: str, *, patience_s: float) -> None:
        """Ends on the next event border; where the client takes no bytes, by a reset after `patience_s`."""
        if stream.cut or self.streams.get(stream.fd) is not stream:
            return
        stream.cut = reason
        audience = self._audiences[stream.channel]
        is_stuck = stream in audience.blocked
        stream.deadline_s = self._clock.monotonic_s() + (patience_s or LINGER_S)
        if reason in RESETS or (is_stuck and patience_s == 0):
            self.reset(stream, reason)
        elif not is_stuck:
            self._pump(stream, audience)

    def reset(self, stream: Detached, reason: str) -> None:
        """The hard stop: the client sees an error."""
        self._end(stream, reason, resets=True)

    def _say(self, stream: Detached, data: bytes) -> None:
        """To it alone, on a border."""
        member = stream.settle(stream.at)
        if member is not None:
            data = member.add(block(data))
        stream.private += chunk(data)
        self._audiences[stream.channel].bytes.inc(len(data))

    def _say_bye(self, stream: Detached) -> None:
        if stream.channel.wanted.format == "sse":
            self._say(stream, bye(stream.cut, stream.position()))
        member = stream.settle(stream.at)
        if member is not None:
            end = member.end()
            stream.private += chunk(end)
            self._audiences[stream.channel].bytes.inc(len(end))
        stream.private += LAST_CHUNK
        stream.is_last = True

    def _end(self, stream: Detached, reason: str, *, lingers: bool = False, resets: bool = False) -> None:
        if self.streams.get(stream.fd) is not stream:
            return
        del self.streams[stream.fd]
        audience = self._audiences[stream.channel]
        audience.drop_ready(stream)
        audience.blocked.pop(stream, None)
        if not audience.ready and not audience.blocked:
            del self._audiences[stream.channel]
        if lingers:
            self._lingering.add(self._epoll, stream.fd)
        else:
            self._epoll.unregister(stream.fd)
            close_socket(stream.fd, resets=resets)
        self._on_end(stream, reason)
