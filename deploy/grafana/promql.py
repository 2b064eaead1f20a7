"""Queries: a metric of the processes that are looked at, its rate, its quantiles, in Grafana's PromQL.

Rates are taken over `$__rate_interval`, which Grafana makes as long as four scrapes need. Counters of lanes
move from process to process with their lanes: they are summed after `rate`, never before.
"""

from typing import Final

CHOSEN: Final = ('job=~"$job"', 'instance=~"$instance"')
"""What the variables of a dashboard leave of all processes."""
PARTNER: Final = 'partner=~"$partner"'
WINDOW: Final = "$__rate_interval"


def of(metric: str, *where: str) -> str:
    """Its series, as the processes that were chosen tell them."""
    return f"{metric}{{{','.join((*CHOSEN, *where))}}}"


def total(metric: str, *where: str, by: str = "") -> str:
    """A gauge of all processes together, or of each value of some labels."""
    return f"sum{_by(by)}({of(metric, *where)})"


def most(metric: str, *where: str, by: str = "") -> str:
    """A gauge, of the process or partition that has most of it."""
    return f"max{_by(by)}({of(metric, *where)})"


def least(metric: str, *where: str, by: str = "") -> str:
    return f"min{_by(by)}({of(metric, *where)})"


def each_second(counter: str, *where: str, by: str = "") -> str:
    """How much a counter grows in a second."""
    return f"sum{_by(by)}(rate({of(counter, *where)}[{WINDOW}]))"


def each_minute(counter: str, *where: str, by: str = "") -> str:
    return f"60 * {each_second(counter, *where, by=by)}"


def happening(query: str) -> str:
    """Without the series that are 0: of a label with thirty values those that matter."""
    return f"{query} > 0"


def so_far(counter: str, *where: str, by: str = "") -> str:
    """Since the processes began. Of what hardly ever happens: a series that begins with its first event shows
    that one here, and in no rate.
    """
    return total(counter, *where, by=by)


def grown(counter: str, *where: str, by: str = "") -> str:
    """By how much, over all the time that is shown, of a counter that is there from the start."""
    return f"sum{_by(by)}(increase({of(counter, *where)}[$__range]))"


def quantile(q: float, histogram: str, *where: str, by: str = "") -> str:
    """Of what was observed in the window, as exactly as the buckets are."""
    labels = f"le,{by}" if by else "le"
    return f"histogram_quantile({q}, {each_second(f'{histogram}_bucket', *where, by=labels)})"


def ratio(part: str, whole: str) -> str:
    return f"{part} / {whole}"


def mean(histogram: str, *where: str, by: str = "") -> str:
    return ratio(
        each_second(f"{histogram}_sum", *where, by=by), each_second(f"{histogram}_count", *where, by=by)
    )


def age(timestamp: str, *where: str, by: str = "") -> str:
    """Seconds since then; of several the one that is longest ago. A time of 0 is none."""
    return f"time() - min{_by(by)}({of(timestamp, *where)} > 0)"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""
