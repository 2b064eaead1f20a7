"""What became of changes, as the committed positions count it: a restart neither loses nor repeats any."""

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streamer.metrics.registry import LABELS, PARTNERS, REGISTRY


class CommittedTotals(Collector):
    """`streamer_committed_changes_total{role, scope, outcome}`; `scope` is a partner's name, else "".

    What enrich admits is what the source admitted and, beyond it, replays of dead letters and repairs: role
    `replay`, outcome `admitted`. Role `deferred`, outcome `replayed` are those of them that replayed by
    themselves; role `reconcile` the repairs, by what the stream had lost.
    A partner's are those of its feed's present making: they start anew with `partner rebuild`.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], dict[str, int]] = {}

    def set(self, role: str, scope: str, partition: int, counts: Mapping[str, int]) -> None:
        """After each commit, and once at the start from the committed position."""
        self._counts[role, scope, partition] = dict(counts)

    def forget(self, role: str, scope: str) -> None:
        for key in [key for key in self._counts if key[:2] == (role, scope)]:
            del self._counts[key]

    def leave(self, role: str, partition: int) -> None:
        """Another process runs this lane now, and tells its counts: both would be one too many in a sum."""
        for key in [key for key in self._counts if (key[0], key[2]) == (role, partition)]:
            del self._counts[key]

    def totals(self, role: str, scope: str = "") -> dict[str, int]:
        totals: dict[str, int] = {}
        for (its_role, its_scope, _), counts in self._counts.items():
            if (its_role, its_scope) == (role, scope):
                for outcome, count in counts.items():
                    totals[outcome] = totals.get(outcome, 0) + count
        return totals

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(
            "streamer_committed_changes",
            "Changes by outcome, as the committed positions hold them.",
            labels=["role", "scope", "outcome"],
        )
        for role, scope in sorted({key[:2] for key in self._counts}):
            for outcome, count in sorted(self.totals(role, scope).items()):
                family.add_metric([role, scope, outcome], count)
        yield family
        yield GaugeMetricFamily(
            "streamer_accounting_difference_changes",
            "Changes that enrich has admitted less those that have an outcome (published, gone, superseded,"
            " deadletter), by the lanes of this process: 0, or the accounts are broken.",
            value=self._difference(),
        )

    def _difference(self) -> int:
        totals = self.totals("enrich")
        return totals.pop("admitted", 0) - sum(totals.values())


COMMITTED: Final = CommittedTotals()
REGISTRY.register(COMMITTED)
LABELS["streamer_committed_changes"] = {
    "role": ("source", "replay", "enrich", "deferred", "reconcile", "route"),
    "scope": f'{PARTNERS}; "" but for route',
    "outcome": "of source, replay and enrich admitted; of enrich published, gone, superseded, deadletter too;"
    " of deferred replayed; of reconcile kinds of changes; of route published, filtered, reverted,"
    " withdrawn, expired, invalid",
}
