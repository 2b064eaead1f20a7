"""One client's place in a channel, once its socket is ours alone: some numbers, no task, no buffer."""

from typing import Final

from streamer.deliver.auth import Identity
from streamer.deliver.channel import Channel, Entry
from streamer.deliver.gzipped import Block, Member
from streamer.deliver.standing import Standing

NEVER_S: Final = float("inf")


class Detached:
    """`fd` is its socket. streamer.deliver.hub writes to it."""

    __slots__ = (
        "at",
        "blocked_s",
        "channel",
        "cut",
        "deadline_s",
        "fd",
        "identity",
        "is_last",
        "member",
        "private",
        "private_of",
        "since_ms",
        "span",
    )

    def __init__(
        self, fd: int, channel: Channel, at: int, *, identity: Identity, since_ms: int, member: Member | None
    ) -> None:
        self.fd = fd
        self.channel = channel
        self.identity = identity
        self.since_ms = since_ms
        self.at = at
        """All before it in the channel's log is with the kernel."""
        self.private = b""
        """What comes before that: a patch, a heartbeat in a pause, `bye`."""
        self.private_of: Entry | None = None
        """The entry that it goes out for."""
        self.is_last = False
        """Nothing follows `private`."""
        self.cut = ""
        """Why it is to end on the next border."""
        self.deadline_s = NEVER_S
        """When it is reset at the latest, by the monotonic clock."""
        self.blocked_s = NEVER_S
        """Since when the client has taken nothing while there was something."""
        self.member = member
        self.span = channel.totals_at(at) if member is not None else None
        """Of gzip: the channel's totals up to which `member` was told."""

    @property
    def stands_at(self) -> int:
        """No entry before it matters any more, that of a patch on its way included."""
        return self.at if self.private_of is None else self.private_of.start

    def settle(self, border: int) -> Member | None:
        """The gzip stream, told of all that was sent up to here."""
        if self.member is not None and self.span is not None:
            totals = self.channel.totals_at(border)
            self.member.add_span(self.span, totals)
            self.span = totals
        return self.member

    def passes(self, entry: Entry, packed: Block | None) -> None:
        """Something else than `entry` goes out in its place."""
        member = self.settle(entry.start)
        self.at = entry.end
        if member is not None:
            self.span = self.channel.totals_at(entry.end)
            if packed is not None:
                member.add(packed)

    def position(self) -> str:
        """The id of what it was sent whole."""
        channel = self.channel
        if self.at >= channel.log.end:
            return channel.vector.id()
        if self.at < channel.start:  # overtaken: it is about to end
            return channel.entry(channel.first).position_before
        return channel.entry(channel.number_at(self.at)).position_before

    def standing(self, *, now_ms: int, is_paused: bool) -> Standing:
        channel = self.channel
        next_ms = channel.appended_ms_at(channel.number_at(self.at)) if self.at >= channel.start else 0
        lag_s = max(0, now_ms - next_ms) / 1000 if next_ms else 0.0
        return Standing(
            format=channel.wanted.format,
            encoding=channel.wanted.encoding,
            since_ms=self.since_ms,
            position=self.position(),
            ends=tuple(channel.vector.offsets),
            partitions=channel.wanted.partitions,
            lag_s=lag_s,
            state="paused" if is_paused else "live",
        )
