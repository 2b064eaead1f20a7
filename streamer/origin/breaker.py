"""What is known of each host: whether it may be asked now, how much at once, since when it fails.

A host that fails is asked by one request at a time, after a pause that doubles: it costs the others
one slot and a token a minute, not the budget. Pure: the time is passed in.
"""

import random
from dataclasses import dataclass, field
from math import inf
from typing import Final

from streamer.origin.scheduler import Lane

PAUSE_S: Final = 1.0
PAUSE_MOST_S: Final = 60.0
OPEN_AFTER: Final = 3
"""Failures in a row after which the breaker is called open (a metric and a log line)."""
LIMITED_BY: Final = 2
"""So many hosts that say "too many requests" in one minute mean us: then all are left in peace, since
asking the other hosts of the same farm would only add refusals."""
ALONE_S: Final = 60.0
"""Who has asked one host alone for so long asks no other."""
PROBE_BATCH: Final = 10
"""To a host that failed before: what is soon answered, since it gets less time then, too."""
REMEMBERED_HOSTS: Final = 4096
LAG_IGNORED_S: Final = 600.0
ANSWERING_S: Final = 60.0


@dataclass(slots=True)
class _Host:
    batch: int = 1_000_000
    """What it takes, where it said so."""
    failures: int = 0
    pause_until_s: float = -inf
    in_flight: int = 0
    lag_ignored_until_s: float = -inf


@dataclass(slots=True)
class Breakers:
    """By server name."""

    batch_most: int
    rng: random.Random = field(default_factory=random.Random)
    _hosts: dict[str, _Host] = field(default_factory=dict)
    _limited_s: dict[str, float] = field(default_factory=dict)
    _all_pause_until_s: float = -inf
    _last: str = ""
    _last_alone_from_s: float = inf
    """Since then no other host than `_last` was asked."""

    def open_at_s(self, lane: Lane, now_s: float) -> float:
        host = self._hosts.get(lane.server_name)
        if host is None:
            return max(now_s, self._all_pause_until_s)
        if host.failures and host.in_flight:
            return inf
        return max(now_s, host.pause_until_s, self._all_pause_until_s)

    def batch(self, lane: Lane) -> int:
        if lane.by in {"log", "listing", "lists"}:
            return 1
        host = self._hosts.get(lane.server_name)
        if host is None:
            return self.batch_most
        most = min(host.batch, self.batch_most)
        return min(most, PROBE_BATCH) if host.failures else most

    def is_failing(self, server_name: str) -> bool:
        host = self._hosts.get(server_name)
        return host is not None and host.failures > 0

    @property
    def open_count(self) -> int:
        return sum(host.failures >= OPEN_AFTER for host in self._hosts.values())

    def started(self, server_name: str, now_s: float) -> None:
        self._host(server_name).in_flight += 1
        if server_name != self._last:
            self._last, self._last_alone_from_s = server_name, now_s

    def ended(self, server_name: str) -> None:
        self._host(server_name).in_flight -= 1

    def answered(self, server_name: str) -> None:
        self._host(server_name).failures = 0

    def failed(self, server_name: str, now_s: float, retry_after_s: float | None) -> bool:
        """Whether the breaker opened by this failure."""
        host = self._host(server_name)
        host.failures += 1
        pause_s = min(PAUSE_S * 2.0 ** min(host.failures - 1, 10), PAUSE_MOST_S)
        pause_s *= self.rng.uniform(0.5, 1.0)
        host.pause_until_s = now_s + max(pause_s, retry_after_s or 0.0)
        return host.failures == OPEN_AFTER

    def pause(self, server_name: str, until_s: float) -> None:
        """It answered "later" (maxlag): it is well, and is left alone until then."""
        host = self._host(server_name)
        host.pause_until_s = max(host.pause_until_s, until_s)

    @property
    def all_pause_until_s(self) -> float:
        return self._all_pause_until_s

    def only_host(self, now_s: float) -> str:
        """The one that was asked, and no other, for the last minute; "": there is none."""
        return self._last if now_s - self._last_alone_from_s >= ALONE_S else ""

    def limited(self, server_name: str, now_s: float, until_s: float, *, alone: bool = False) -> bool:
        """It answered "too many requests". Whether that means us and not the host: several say so, or it is
        `alone`.
        """
        self.pause(server_name, until_s)
        self._limited_s = {name: at_s for name, at_s in self._limited_s.items() if at_s > now_s - 60.0}
        self._limited_s[server_name] = now_s
        if len(self._limited_s) < LIMITED_BY and not alone:
            return False
        self._all_pause_until_s = max(self._all_pause_until_s, until_s)
        return True

    def ignore_lag(self, server_name: str, now_s: float) -> None:
        """What lags there is nothing that we read."""
        self._host(server_name).lag_ignored_until_s = now_s + LAG_IGNORED_S

    def heeds_lag(self, server_name: str, now_s: float) -> bool:
        """Whether to send `maxlag`."""
        host = self._hosts.get(server_name)
        return host is None or host.lag_ignored_until_s <= now_s

    def accepts(self, server_name: str, batch: int) -> None:
        """It said that it takes no more than `batch` values."""
        self._host(server_name).batch = max(1, batch)

    def _host(self, server_name: str) -> _Host:
        host = self._hosts.get(server_name)
        if host is None:
            if len(self._hosts) >= REMEMBERED_HOSTS:
                self._forget()
            host = self._hosts[server_name] = _Host()
        return host

    def _forget(self) -> None:
        """Names come from events: those that don't exist must not fill the memory."""
        idle = [name for name, host in self._hosts.items() if not host.in_flight]
        for name in idle[: REMEMBERED_HOSTS // 2]:
            del self._hosts[name]


@dataclass(slots=True)
class Reach:
    """Which wikis answer. By wiki, so that an invented server for a real wiki does not speak for it."""

    _failing_since_s: dict[str, float] = field(default_factory=dict)
    last_answer_s: float = -inf
    _last_failure_s: float = -inf

    def answered(self, wiki: str, now_s: float) -> None:
        self.last_answer_s = now_s
        self._failing_since_s.pop(wiki, None)

    def failed(self, wiki: str, now_s: float) -> None:
        self._last_failure_s = now_s
        if wiki in self._failing_since_s:
            return
        if len(self._failing_since_s) >= REMEMBERED_HOSTS:
            self._failing_since_s.pop(next(iter(self._failing_since_s)))
        self._failing_since_s[wiki] = now_s

    def failing_since_s(self, wiki: str) -> float | None:
        """The monotonic second of its first failure since its last answer; None where it answers."""
        return self._failing_since_s.get(wiki)

    def any_answers(self, now_s: float) -> bool:
        """False once failures are all there was for a minute."""
        return self._last_failure_s <= self.last_answer_s or now_s - self.last_answer_s < ANSWERING_S
