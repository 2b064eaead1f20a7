"""What was done so far by who follows feeds: for the display, the JSON lines and the metrics alike."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from consumers.corpus import metrics
from consumers.corpus.page import Told
from consumers.corpus.state import Committed
from consumers.event import Batch


class Came(NamedTuple):
    feed: str
    """Its name."""
    batch: Batch


@dataclass(slots=True)
class Tally:
    """Of this process; all of it is committed."""

    events: int = 0
    changed: int = 0
    """Events that altered a row."""
    gone: int = 0
    """Rows that lost their text."""
    received_bytes: int = 0
    bad: int = 0
    commits: int = 0
    lag_s: float | None = None
    """From the last edit to its commit here; None before there was one."""
    wikis: Counter[str] = field(default_factory=Counter)
    """Events, by wiki."""
    deletions: Counter[str] = field(default_factory=Counter)
    """Events that say that a page or its text is gone, by wiki."""

    def add(
        self,
        came: Sequence[Came],
        changes: Sequence[Told],
        committed: Committed,
        took_s: float,
        now_s: float,
    ) -> None:
        """One commit of what came."""
        self.commits += 1
        self.events += len(changes)
        self.changed += committed.applied
        self.gone += committed.gone
        for change in changes:
            self.wikis[change.wiki] += 1
            if change.gone:
                self.deletions[change.wiki] += 1
            if change.happened and not change.late:
                self.lag_s = max(0.0, now_s - change.happened / 1e6)
                metrics.FRESHNESS_S.observe(self.lag_s)
        for feed, batch in came:
            self.received_bytes += batch.received_bytes
            self.bad += len(batch.bad)
            metrics.EVENTS.labels(feed).inc(len(batch.events))
            metrics.RECEIVED_BYTES.labels(feed).inc(batch.received_bytes)
            metrics.BAD_EVENTS.labels(feed).inc(len(batch.bad))
        metrics.ROWS_CHANGED.inc(committed.applied)
        metrics.GONE.inc(committed.gone)
        metrics.COMMITS.inc()
        metrics.COMMIT_S.observe(took_s)
        if self.lag_s is not None:
            metrics.LAG_S.set(self.lag_s)
