"""A feed without a log: records are put in by hand, and its channels hold what clients would get."""

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from streamer.clock import Clock
from streamer.cutoffs import Cutoffs
from streamer.deliver.channel import Channel
from streamer.deliver.detached import Detached
from streamer.deliver.feed import Feed, Judge
from streamer.deliver.filters import parse_filters
from streamer.deliver.hub import Hub
from streamer.deliver.negotiate import Encoding
from streamer.deliver.request import Format
from streamer.deliver.retained import Budget
from streamer.deliver.wanted import Wanted
from streamer.log.base import Stored, TopicInfo
from streamer.model import Hideable
from streamer.projection import Projection

PARTNER: Final = "acme"
EPOCH: Final = "e7c14a09"
MUCH: Final = 1 << 40


class Known:
    """Cut-offs that are in force at once, and `behind` when a test says so."""

    def __init__(self) -> None:
        self.cutoffs = Cutoffs()
        self.behind = False


class Hands:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.clock = Clock(lambda: int(self.now_s * 1_000), monotonic_s=lambda: self.now_s)


class Fed:
    """`publish`, `withdraw`; `hub` writes to whom it has adopted, with a heartbeat every 15 s."""

    def __init__(self, *, partitions: int = 1, retained_bytes: int = MUCH) -> None:
        self.known: Any = Known()
        self.hands = Hands()
        self.ended: list[tuple[Detached, str]] = []
        """What the hub has said of each stream's end."""
        self.at_end: Callable[[Detached, str], None] = lambda *_: None
        self.hub = Hub(self.known, self.hands.clock, lambda: 15.0, self._on_end)
        self.budget = Budget(retained_bytes)
        nowhere: Any = None
        info = TopicInfo("wiki.articles.v2.acme", partitions, EPOCH)
        self.feed = Feed(nowhere, info, Judge(PARTNER, self.known), self.budget, self.hub)
        self.offsets = [0] * partitions
        self.sequence = 0
        self._rng = random.Random(0)
        """Of texts, which gzip must not make too small."""

    def _on_end(self, stream: Detached, reason: str) -> None:
        self.ended.append((stream, reason))
        self.at_end(stream, reason)

    def channel(
        self,
        fmt: Format = "sse",
        encoding: Encoding = "identity",
        *,
        filters: Sequence[tuple[str, object]] = (),
        fields: Sequence[str] = (),
        partitions: Sequence[int] = (),
    ) -> Channel:
        """Of those who want this; the one there is, if there is one."""
        asked = parse_filters([{"field": field, "value": value} for field, value in filters])
        projection = Projection(fields) if fields else None
        wanted = partitions or range(self.feed.info.partitions)
        return self.feed.channel(Wanted(frozenset(wanted), asked, projection, fmt, encoding))

    def record(
        self, page: int, *, partition: int = 0, size: int = 10, late: str = "", is_delete: bool = False
    ) -> Stored:
        """The next article of a page. `late`: behind its key, as of what is published beside its text."""
        self.sequence += 1
        offset = self.offsets[partition]
        self.offsets[partition] += 1
        value: dict[str, object] = {
            "name": f"Page {page}",
            "identifier": page,
            "event": {"type": "delete" if is_delete else "update", "sequence": self.sequence},
        }
        headers = [("ce_sequence", b"%d" % self.sequence), ("ce_time", b"2026-01-01T00:00:00Z")]
        if is_delete:
            headers.append(("ce_type", b"wiki.article.delete"))
        else:
            revision = 1_000 + self.sequence
            headers.append(("rev", b"%d" % revision))
            value["version"] = {"identifier": revision, "comment": "why", "editor": {"name": "Somebody"}}
            value["visibility"] = {"text": True, "editor": True, "comment": True}
            value["abstract"] = self._rng.randbytes(size // 2).hex()
        appended_ms = self.hands.clock.now_ms()
        key = f"enwiki:{page}{late}"
        return Stored(
            self.feed.info.name,
            partition,
            offset,
            appended_ms,
            key,
            msgspec.json.encode(value),
            tuple(headers),
        )

    def publish(self, *records: Stored) -> list[Channel]:
        """As one batch, to the channels there are; nothing is sent yet. Those that have something new."""
        return self.feed._publish(records)

    def withdraw(self, key: str, hides: Sequence[Hideable] = ("text",), *, below: int = 0) -> None:
        """What has this key (without its wiki) and was published so far, or below that sequence."""
        self.known.cutoffs.add(f"enwiki:{key}", below or self.sequence + 1, hides)
        self.feed._withdraw(f"enwiki:{key}")
