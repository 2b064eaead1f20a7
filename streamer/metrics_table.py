"""deploy/prometheus/METRICS.md: every metric that a process of ours exports, as the code declares it.

`python -m streamer.metrics_table > deploy/prometheus/METRICS.md` writes the copy that a test compares.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Final, NamedTuple

from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase

import streamer.deliver.problems  # noqa: F401 - it says which codes its counter has
from consumers.corpus import metrics as corpus
from streamer.canary import metrics as canary
from streamer.metrics import committed, deliver, enrich, lag, log, origin, process, route, source, stages
from streamer.metrics.registry import LABELS, Bound

SECTIONS: Final[Sequence[tuple[str, str, Sequence[ModuleType]]]] = (
    ("Every process", "all roles", (process,)),
    ("Stages", "each of source, enrich, route, deliver", (stages,)),
    ("Accounts", "source, enrich, route", (committed,)),
    ("Source", "source", (source,)),
    ("Origin", "enrich, of what it asks the wikis", (origin,)),
    ("Enrich", "enrich", (enrich,)),
    ("Route", "route", (route,)),
    ("Deliver", "deliver", (deliver,)),
    ("Log", "all roles", (log, lag)),
    ("Canary", "`streamer canary`, in a process of its own", (canary,)),
    ("Corpus", "`corpus follow --metrics-port`, on the partner's side", (corpus,)),
)
"""Title, who exports it, and the modules that declare it."""
UNITS: Final[Mapping[str, str]] = {
    "timestamp_seconds": "s, Unix time",
    "seconds": "s",
    **{
        word: word
        for word in ("bytes", "changes", "events", "hosts", "letters", "offsets", "records", "requests")
    },
}
"""By the end of the name; what counts things has the things there, or says in its meaning what they are."""
ABOUT: Final = """\
# Metrics

Made from the code by `python -m streamer.metrics_table > deploy/prometheus/METRICS.md`; a test compares.
Every role serves these at `GET /metrics` of its admin port. Units are base units. A label has few values,
and which ones is said with it: there is never a title, a user or an address in one. Counters with values
that are known beforehand are there from the start, at 0, so that the first of anything is an increase.

## What a stage receives, sends and discards

`streamer_received_records_total`, `streamer_sent_records_total` and `streamer_discarded_records_total` mean
the same in each stage, of each process since its start:

    received = sent + discarded + in hand

`intentional="false"` is what somebody has to look at: something was lost to a fault. `reason="read_again"`
is what a lane had in hand when it ended; the lane that follows receives it once more.

| stage | a record is | received when | sent when | in hand |
|---|---|---|---|---|
| source | a change or hint that an event tells; an event that tells nothing is one too | the committer has\
 taken it from the inbox | it stands in the changes topic | what is being committed |
| enrich | a change; hints and ticks are none | the lane has read it; once more where it was put off as a\
 dead letter: when its replay is read, or when its letter has expired | its article or removal stands in the\
 articles topic | `streamer_enrich_open_changes`, where hints that wait for their commit count too |
| route | an article for one partner: one that is read for three partners is three. Of records that enrich\
 did not count as published (they overwrite what a dead letter withdraws) there is none | with the commit of\
 the pass that has read it | it stands in the partner's topic | what settles: about\
 `streamer_route_settling_records`. What a process takes over from another one it has not received |
| deliver | an article of a partner's topic: read once for all streams of the partner that are live, and once\
 more for each stream that catches up | it was read | it was handed to the streams, if only one of them wants\
 it; what each was written is in `streamer_deliver_events_total` | nothing |

Of enrich `deferred` is no loss: such a change waits as a dead letter until its wiki answers, and comes later
as a replay. Where it never does, the letter expires after 30 days and is discarded as `expired`, counted each
minute, some 256 offsets later than it went; what expires while no process runs its lane is only an error,
`letters_expired`. `streamer_edit_to_publish_seconds` is of live edits alone: replays of dead letters,
deferred ones too, and repairs of reconcile are not in it, since their edit may be days ago; they are counted
as `replay`, `deferred` and `reconcile` in `streamer_committed_changes_total`.

Of connects `later` counts against no objective: a drain sends clients elsewhere, and the feed of a partner
that was added is made within seconds. Where it is not, route says so (`streamer_route_parked`).

A commit that was cancelled or timed out may have passed all the same. What was in it counts as `read_again`
though nobody receives it once more, and `sent` lacks it: the sum holds, and the accounts below are exact.

Errors of a stage are in `streamer_errors_total{stage, code}`: not one for each record, since one error may
concern a whole commit, and most are tried again.

## The accounts

What stands in the committed positions survives restarts, and adds up:

    admitted = published + gone + superseded + deadletter        of enrich, at every commit

`streamer_accounting_difference_changes` is the left side less the right, of the lanes of a process:
whatever else than 0 it says, the accounts are broken. What was admitted and has no outcome yet, of the
whole fleet:

    sum(streamer_committed_changes_total{role=~"source|replay", outcome="admitted"})
      - sum(streamer_committed_changes_total{role="enrich", outcome="admitted"})

That falls to 0 whenever all is drained. Processes are scraped one after the other, so it may be below 0 by
the edits of some seconds, and not for longer. For each partner route counts every published article once,
from the beginning of its feed: `published + filtered + reverted + withdrawn + expired + invalid`. Of these
`expired` and `invalid` are losses.

## Behind and retained

`streamer_partner_behind_seconds` is the age of the next record that a partner's slowest reader has still to
be sent, `streamer_partner_retained_seconds` how far behind it may be and lose nothing. That is
`log.history_hours`: later compaction takes the older versions of a page, without `gap` or 410, while the
newest ones stay. It is less where retention has taken something younger than that (the local log at
`log.retention_gb`, or a topic's settings on Kafka): then it is the age of the oldest record. Both are told by
each process that delivers; take the maximum of the first and the minimum of the second by partner.

Reader `stream` is looked at every ten seconds. A stream that catches up is behind by the age of what it was
sent last; while streams pause for the cut-offs by what waits; where the log does not answer, since when.
Reader `group` is looked at every minute: the partner's own groups on Kafka, `<partner>.*`, that have a
position in its topic. One without members counts only if it has committed something since this process began,
within `log.history_hours`: Kafka does not tell when a group has committed, and keeps those that were left for
a month. So a consumer that was down already when deliver was restarted is seen once it is back. Where the
cluster has ACLs, deliver sees only groups that its user may DESCRIBE, as `streamer provision` lets it.
"""


class Row(NamedTuple):
    name: str
    """As it is exposed."""
    kind: str
    labels: Mapping[str, Bound]
    unit: str
    meaning: str


def rows(module: ModuleType) -> Iterator[Row]:
    """Of the metrics that the module declares, in its order."""
    labels: Mapping[str, Mapping[str, Bound]] = {**LABELS, **getattr(module, "LABELS", {})}
    for metric in _declared(module):
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        yield Row(name, metric.type, labels.get(metric.name, {}), _unit(metric.name), metric.documentation)


def _declared(module: ModuleType) -> Iterator[Metric]:
    for value in vars(module).values():
        if isinstance(value, MetricWrapperBase | committed.CommittedTotals | lag.LaneLag):
            yield from value.collect()


def _unit(name: str) -> str:
    return next((unit for end, unit in UNITS.items() if name.endswith(f"_{end}")), "")


def document() -> str:
    parts = [ABOUT]
    for title, exporter, modules in SECTIONS:
        parts.append(f"## {title}\n\nExported by: {exporter}.\n")
        parts.append("| metric | type | labels | unit | meaning |\n|---|---|---|---|---|")
        parts += [_line(row) for module in modules for row in rows(module)]
        parts.append("")
    return "\n".join(parts)


def _line(row: Row) -> str:
    labels = "; ".join(f"`{label}`: {_values(bound)}" for label, bound in row.labels.items())
    cells = (f"`{row.name}`", row.kind, labels, row.unit, row.meaning)
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _values(bound: Bound) -> str:
    return bound if isinstance(bound, str) else ", ".join(bound)


if __name__ == "__main__":
    sys.stdout.write(document())
