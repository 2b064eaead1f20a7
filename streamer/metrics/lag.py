"""How far lanes are behind the ends of their inputs."""

from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streamer.metrics.log import GROUPS
from streamer.metrics.registry import LABELS, PARTITIONS, REGISTRY


class LaneLag(Collector):
    """`streamer_log_lag_offsets{group, partition}`: how many offsets of its input a lane has yet to finish.
    Told by the process that runs the lane; no sample while the ends are not known.

    Offsets have holes, so this is an upper bound of the records; at the end it is 0.
    """

    def __init__(self) -> None:
        self._next: dict[tuple[str, str, int], int] = {}
        self._ends: dict[tuple[str, int], int] = {}

    def at(self, group: str, topic: str, partition: int, following: int) -> None:
        """All before `following` is finished."""
        self._next[group, topic, partition] = following

    def leave(self, group: str, partition: int) -> None:
        for key in [key for key in self._next if (key[0], key[2]) == (group, partition)]:
            del self._next[key]

    def topics(self) -> set[str]:
        """Those whose ends it wants to know."""
        return {topic for _, topic, _ in self._next}

    def reach(self, topic: str, ends: Sequence[int]) -> None:
        """The ends of its partitions, as of now."""
        self._ends |= {(topic, partition): end for partition, end in enumerate(ends)}

    def unknown(self, topic: str) -> None:
        self._ends = {key: end for key, end in self._ends.items() if key[0] != topic}

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "streamer_log_lag_offsets",
            "Offsets between what a lane has finished and the end of its input, as of some seconds ago; of"
            " route up to the partner that is furthest ahead (streamer_route_behind_offsets has the rest).",
            labels=["group", "partition"],
        )
        for (group, topic, partition), following in sorted(self._next.items()):
            end = self._ends.get((topic, partition))
            if end is not None:
                family.add_metric([group, str(partition)], max(0, end - following))
        yield family


LAG: Final = LaneLag()
REGISTRY.register(LAG)
LABELS["streamer_log_lag_offsets"] = {"group": GROUPS, "partition": PARTITIONS}
