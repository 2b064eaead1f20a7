"""Where all metrics of a process of ours are, and what bounds their labels."""

from collections.abc import Mapping
from itertools import product
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call] # one series more for each, which nobody asks for
REGISTRY: Final = CollectorRegistry()

FRESHNESS_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600)
PARTNERS: Final = "names in partners.toml"
PARTITIONS: Final = "0 to `log.partitions` - 1"
CODES: Final = "codes of streamer/errors.py, and a word where there is no exception"

Bound: TypeAlias = tuple[str, ...] | str
"""All values, or what says which there are."""
LABELS: Final[dict[str, Mapping[str, Bound]]] = {}
"""By metric, as prometheus_client names it."""


def bounded(metric: Counter | Gauge | Histogram, **labels: Bound) -> None:
    """Says what bounds the labels. A counter or histogram of which all values are known has its series from
    the start: to Prometheus the first sample of one that was not there before is no increase.
    """
    assert tuple(labels) == metric._labelnames, f"{metric._name}: its labels are {metric._labelnames}"  # noqa: SLF001
    LABELS[metric._name] = labels  # noqa: SLF001
    known = [values for values in labels.values() if isinstance(values, tuple)]
    if len(known) == len(labels) and not isinstance(metric, Gauge):
        for values in product(*known):
            metric.labels(*values)
