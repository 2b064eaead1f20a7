"""The detached streams of one channel: who keeps up, who waits for its socket, and what all were shown."""

from streamer.deliver.channel import Channel
from streamer.deliver.detached import Detached
from streamer.deliver.encode import first_ages_s
from streamer.metrics import DELIVER_BYTES, DELIVER_EVENTS, EDIT_TO_DELIVERY


class Audience:
    """A channel's streams. Those in `ready` stand on a border and take what comes."""

    __slots__ = (
        "_all_ready",
        "_counted",
        "blocked",
        "bytes",
        "channel",
        "events",
        "freshness",
        "lowest",
        "ready",
        "shown",
        "told_at_s",
        "wrote_at_s",
    )

    def __init__(self, channel: Channel, now_s: float) -> None:
        self.channel = channel
        self.ready: dict[Detached, None] = {}
        self.blocked: dict[Detached, None] = {}
        self.shown = channel.log.end
        """Up to here a round has gone."""
        self._counted = channel.events, channel.payload_bytes
        """What there was up to there."""
        self.lowest = 0
        """No blocked stream stands before it."""
        self.told_at_s = now_s
        self.wrote_at_s = now_s
        self.events = DELIVER_EVENTS.labels(channel.partner, channel.wanted.format)
        self.bytes = DELIVER_BYTES.labels(channel.partner)
        self.freshness = EDIT_TO_DELIVERY.labels(channel.partner)
        self._all_ready: tuple[Detached, ...] | None = None

    def all_ready(self) -> tuple[Detached, ...]:
        """A copy, made when somebody came or went."""
        if self._all_ready is None:
            self._all_ready = tuple(self.ready)
        return self._all_ready

    def add_ready(self, stream: Detached) -> None:
        self.ready[stream] = None
        self._all_ready = None

    def drop_ready(self, stream: Detached) -> None:
        if stream in self.ready:
            del self.ready[stream]
            self._all_ready = None

    def shows(self) -> None:
        """A round has gone to the end."""
        channel = self.channel
        self.shown = channel.log.end
        self._counted = channel.events, channel.payload_bytes

    def wrote_all(self, streams: int) -> None:
        """So many got all that came since the last round."""
        if streams:
            events, payload = self._counted
            self.events.inc(streams * (self.channel.events - events))
            self.bytes.inc(streams * (self.channel.payload_bytes - payload))

    def wrote(self, start: int, end: int) -> None:
        """One stream, from there to there: whole entries, so that each counts once however many writes it
        takes.
        """
        events, payload = self.channel.counts_at(start)
        events_after, payload_after = self.channel.counts_at(end)
        if payload_after != payload:
            self.events.inc(events_after - events)
            self.bytes.inc(payload_after - payload)

    def observe(self, now_ms: int) -> None:
        """How old the edits are that reach a client for the first time."""
        for age_s in first_ages_s(self.channel.fresh, now_ms):
            self.freshness.observe(age_s)
        self.channel.fresh = []
