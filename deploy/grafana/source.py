"""From the stream to the topic of changes; with it the board of all that is before the articles topic."""

from typing import Final

from deploy.grafana.enrich import ENRICH
from deploy.grafana.origin import ORIGIN
from deploy.grafana.panels import (
    COUNT,
    EVENTS_PER_SECOND,
    RECORDS_PER_SECOND,
    SECONDS,
    Board,
    Figure,
    Limit,
    Line,
    Plot,
    Row,
)
from deploy.grafana.promql import age, each_minute, each_second, grown, happening, most, quantile, total

UPSTREAM_QUIET_S: Final = 60.0
"""Wikimedia's stream is never silent for so long."""

SOURCE: Final = Row(
    "Source",
    [
        Plot(
            title="Events from upstream",
            says="Wikimedia sends some 40 a second at all times. None: the stream or the way to it is"
            " broken.",
            alerts=["SourceStalled"],
            unit=EVENTS_PER_SECOND,
            lines=[Line(each_second("streamer_source_events_total", by="family"), "{{family}}")],
            stacked=True,
        ),
        Plot(
            title="Newest event: how old",
            says="Upstream's time of what was committed last. It grows by a second each second while"
            " the source stands, and falls fast while it catches up: upstream keeps seven days.",
            alerts=["SourceStalled"],
            unit=SECONDS,
            lines=[Line(age("streamer_source_newest_event_timestamp_seconds"), "behind upstream")],
            limit=Limit(UPSTREAM_QUIET_S),
        ),
        Plot(
            title="Records appended",
            says="Changes by kind, and hints that go with them. Much less than usual beside as many"
            " events: look at what was dropped.",
            unit=RECORDS_PER_SECOND,
            lines=[Line(each_second("streamer_source_records_total", by="kind"), "{{kind}}")],
            stacked=True,
        ),
        Plot(
            title="Events that became nothing",
            says="By rule (canary, other_owner, not_admitted…) or because they were broken (shape,"
            " not_json, missing_field…): many of the latter mean that upstream has changed its"
            " events.",
            unit=EVENTS_PER_SECOND,
            lines=[Line(happening(each_second("streamer_source_dropped_total", by="reason")), "{{reason}}")],
        ),
        Plot(
            title="Connections to the stream, by how they ended",
            says="Upstream ends each after some 15 minutes. Many a minute: it refuses, or the network"
            " breaks.",
            alerts=["SourceStalled"],
            unit=COUNT,
            lines=[
                Line(
                    happening(each_minute("streamer_source_connections_total", by="outcome")),
                    "{{outcome}} a minute",
                )
            ],
            empty="None has ended.",
        ),
        Plot(
            title="Events in a commit",
            says="How full the batches are. The more that come at once, the cheaper they are: full ones"
            " mean that it catches up, or that the log is slow.",
            unit=COUNT,
            lines=[
                Line(quantile(0.5, "streamer_source_commit_events"), "p50"),
                Line(quantile(0.99, "streamer_source_commit_events"), "p99"),
            ],
        ),
        Figure(
            title="Gaps",
            says="Resumes at which upstream no longer had what followed. Anything above 0 was lost, and"
            " is found again in the wikis' own lists: see how far they are compared.",
            alerts=["SourceGap"],
            unit=COUNT,
            line=Line(grown("streamer_source_gaps_total"), "gaps"),
            limit=Limit(0.5),
            width=6,
        ),
        Figure(
            title="Source waits for room",
            says="1 while the log is over its budget: nothing is read until the cleaner has made room.",
            alerts=["LogOverBudget"],
            unit=COUNT,
            line=Line(most("streamer_source_held"), "held"),
            limit=Limit(0.5),
            width=6,
        ),
        Figure(
            title="Events that wait for their commit",
            says="The inbox is bounded, and its reader waits when it is full: a high one means a slow log.",
            alerts=["LogFails"],
            unit=COUNT,
            line=Line(total("streamer_queue_depth", 'queue="source_inbox"'), "events"),
            width=6,
        ),
        Figure(
            title="Removals nobody could resolve",
            says="Deletions and hidden revisions whose page could not be found out. Each may leave a"
            " text with partners that should be gone: a person has to look.",
            alerts=["UnresolvedRemovals"],
            unit=COUNT,
            line=Line(grown("streamer_enrich_unresolved_removals_total"), "removals"),
            limit=Limit(0.5),
            width=6,
        ),
    ],
)

BOARD: Final = Board(
    uid="streamer-source",
    title="Streamer: source and enrichment",
    about="From Wikimedia's stream to the articles topic: what came, what the wikis were asked, what waits.",
    rows=[SOURCE, ORIGIN, ENRICH],
)
