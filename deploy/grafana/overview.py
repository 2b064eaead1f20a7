"""Is all well? The promises, what flows, what fires, and the processes that do it."""

from typing import Final

from deploy.grafana.alerts import ALERTS
from deploy.grafana.canary import CANARY
from deploy.grafana.panels import (
    COUNT,
    COUNTS_PER_SECOND,
    RECORDS_PER_SECOND,
    SECONDS,
    SHARE,
    Board,
    Figure,
    Limit,
    Line,
    Plot,
    Row,
)
from deploy.grafana.processes import PROCESSES
from deploy.grafana.promises import (
    COMPLETENESS,
    CONNECTS,
    CONNECTS_ACCEPTED,
    FRESH_WITHIN_S,
    FRESHNESS,
    NOT_DEAD,
    PUBLISHED_FRESH,
)
from deploy.grafana.promql import age, each_second, grown, quantile, total

PROMISES: Final = Row(
    "Promises",
    [
        Figure(
            title="Published in time",
            says=f"Promised: {FRESHNESS:.0%} of admitted edits within {FRESH_WITHIN_S:.0f} s. What is"
            " still open does not count yet: see the oldest open change.",
            alerts=["FreshnessBudgetBurn"],
            unit=SHARE,
            line=Line(PUBLISHED_FRESH, "in time"),
            limit=Limit(FRESHNESS, bad="below"),
            decimals=2,
        ),
        Figure(
            title="Complete",
            says=f"Promised: {COMPLETENESS:.2%} of admitted changes don't end as dead letters.",
            alerts=["CompletenessBudgetBurn", "DeadLetters"],
            unit=SHARE,
            line=Line(NOT_DEAD, "complete"),
            limit=Limit(COMPLETENESS, bad="below"),
            decimals=3,
        ),
        Figure(
            title="Connects that we did not fail",
            says=f"Promised: {CONNECTS:.1%} of requests for a stream.",
            alerts=["ConnectsBudgetBurn"],
            unit=SHARE,
            line=Line(CONNECTS_ACCEPTED, "not failed"),
            limit=Limit(CONNECTS, bad="below"),
            decimals=3,
            empty="Nobody came.",
        ),
    ],
)

FRESH: Final = Row(
    "Freshness",
    [
        Plot(
            title="From the edit to the articles topic",
            says=f"Promised: {FRESHNESS:.0%} within {FRESH_WITHIN_S:.0f} s. Above it the wikis are slow,"
            " the budget is spent, or enrichment stands.",
            alerts=["FreshnessBudgetBurn"],
            unit=SECONDS,
            lines=[
                Line(quantile(0.5, "streamer_edit_to_publish_seconds"), "p50"),
                Line(quantile(0.9, "streamer_edit_to_publish_seconds"), "p90"),
                Line(quantile(0.99, "streamer_edit_to_publish_seconds"), "p99"),
            ],
            limit=Limit(FRESH_WITHIN_S),
        ),
        Plot(
            title="From the edit to the client, by partner",
            says="To the first write to a live client. A partner that settles has that time in it.",
            alerts=["SlowPartner", "PartnerParked"],
            unit=SECONDS,
            lines=[
                Line(quantile(0.99, "streamer_edit_to_delivery_seconds", by="partner"), "{{partner}} p99")
            ],
            empty="No article went to a live client.",
        ),
        Plot(
            title="What waits: the oldest",
            says="Newest event: how far the source is behind upstream. Oldest open change: what no"
            " histogram tells of yet. Either that only grows: that stage stands.",
            alerts=["SourceStalled", "EnrichStalled"],
            unit=SECONDS,
            lines=[
                Line(age("streamer_source_newest_event_timestamp_seconds"), "newest event"),
                Line(
                    f"{age('streamer_enrich_oldest_open_timestamp_seconds')} or vector(0)",
                    "oldest open change",
                ),
            ],
            limit=Limit(60.0),
        ),
    ],
)

FLOW: Final = Row(
    "What flows",
    [
        Plot(
            title="Admitted, published, delivered",
            says="Delivered counts each article for each client. Where one line falls and those before"
            " it do not, that stage stands.",
            alerts=["SourceStalled", "EnrichStalled", "PartnerParked"],
            unit=RECORDS_PER_SECOND,
            lines=[
                Line(
                    each_second("streamer_committed_changes_total", 'role="source"', 'outcome="admitted"'),
                    "admitted",
                ),
                Line(
                    each_second("streamer_committed_changes_total", 'role="enrich"', 'outcome="published"'),
                    "published",
                ),
                Line(
                    each_second("streamer_committed_changes_total", 'role="route"', 'outcome="published"'),
                    "to partners' topics",
                ),
                Line(each_second("streamer_deliver_events_total"), "delivered"),
            ],
        ),
        Plot(
            title="Received and sent, by stage",
            says="Received = sent + discarded + in hand. A stage that receives and does not send"
            " stands, or discards all.",
            alerts=["SourceStalled", "EnrichStalled"],
            unit=RECORDS_PER_SECOND,
            lines=[
                Line(each_second("streamer_received_records_total", by="stage"), "{{stage}}: received"),
                Line(each_second("streamer_sent_records_total", by="stage"), "{{stage}}: sent"),
            ],
        ),
        Plot(
            title="Lost to a fault",
            says="Records that a stage received, did not hand on, and should have. Each has to be"
            " looked at: dead letters are listed by `streamer deadletter`.",
            alerts=["DeadLetters", "CompletenessBudgetBurn", "AccountingBroken"],
            unit=COUNT,
            lines=[
                Line(
                    grown("streamer_discarded_records_total", 'intentional="false"', by="stage,reason"),
                    "{{stage}}: {{reason}}",
                )
            ],
            limit=Limit(0.5),
        ),
        Plot(
            title="Lag, by group",
            says="Offsets that lanes have yet to finish. One that grows: that group has too little"
            " capacity, or stands.",
            alerts=["EnrichStalled", "LaneStopped"],
            unit=COUNT,
            lines=[Line(total("streamer_log_lag_offsets", by="group"), "{{group}}")],
        ),
        Plot(
            title="Errors, by stage and code",
            says="What was tried again, and what was not. internal: a fault of ours, whose log line"
            " says more.",
            alerts=["LaneRestarts", "LogFails", "OriginFails"],
            unit=COUNTS_PER_SECOND,
            lines=[Line(each_second("streamer_errors_total", by="stage,code"), "{{stage}}: {{code}}")],
            empty="None.",
        ),
        Plot(
            title="Open streams, by partner",
            says="A sudden fall of all: a process or the proxy is gone. Of one: its reader is.",
            alerts=["ReconnectStorm", "PartnerBehindRetention"],
            unit=COUNT,
            lines=[Line(total("streamer_deliver_connections", by="partner"), "{{partner}}")],
            stacked=True,
        ),
    ],
)

BOARD: Final = Board(
    uid="streamer-overview",
    title="Streamer: overview",
    about="Is all well? The promises, what flows, what fires, and the processes that do it.",
    rows=[ALERTS, PROMISES, FRESH, FLOW, CANARY, PROCESSES],
)
