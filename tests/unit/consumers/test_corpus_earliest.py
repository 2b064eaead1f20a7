"""From when on a feed still tells all, of its own first events."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta

import pytest

from consumers.corpus.earliest import earliest
from consumers.errors import FeedRefused
from consumers.event import Article, Batch, Happened, Namespace, Project

FIRST = datetime.fromisoformat("2026-01-01T00:00:00Z")


def event(minute: int, partition: int | None, offset: int | None = None) -> Article:
    when = (FIRST + timedelta(minutes=minute)).isoformat()
    happened = Happened(
        f"e{minute}", "update", "edit", minute, when, when, partition=partition, offset=offset
    )
    return Article("A", 1, "https://x.example", Namespace(0), Project("enwiki"), happened)


class Given:
    """A feed that tells this, and then nothing more, or fails."""

    def __init__(self, name: str, batches: Sequence[Sequence[Article]], *, fails: bool = False) -> None:
        self.name = name
        self.is_closed = False
        self._batches, self._fails = batches, fails

    async def batches(self, position: str | None) -> AsyncGenerator[Batch, None]:
        assert position is None
        try:
            for events in self._batches:
                yield Batch(events, "p")
            if self._fails:
                raise FeedRefused("no such key")
        finally:
            self.is_closed = True


async def test_it_is_the_latest_of_the_first_events() -> None:
    """Of each partition the first one counts, of all these the latest; of several feeds too."""
    one = Given("a", [[event(1, 0), event(9, 0)], [], [event(3, 1), event(20, 0)]])
    two = Given("b", [[event(5, 0), event(30, 0)]])
    assert await earliest([one]) == FIRST + timedelta(minutes=3)
    assert await earliest([one, two]) == FIRST + timedelta(minutes=5)
    assert one.is_closed
    assert two.is_closed


async def test_a_partition_that_lost_nothing_was_quiet() -> None:
    """Its first event has the offset 0: it tells all since the topic had its first one, in any partition."""
    quiet = [event(1, 0, 0), event(9, 1, 0)]
    assert await earliest([Given("a", [quiet])]) == FIRST + timedelta(minutes=1)
    assert await earliest([Given("a", [[*quiet, event(5, 2, 7)]])]) == FIRST + timedelta(minutes=5)


async def test_a_feed_without_events_says_nothing() -> None:
    """And one that refuses says why."""
    assert await earliest([Given("a", [[], []])]) is None
    with pytest.raises(FeedRefused, match="no such key"):
        await earliest([Given("a", [[event(1, 0)]], fails=True)])
