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
    FRESH_WITHIN_S,
    FRESHNESS,
    OBJECTIVES,
    PAGES_AT,
    burn,
    kept,
)
from deploy.grafana.promql import age, each_minute, each_second, happening, of, quantile, total

PROMISES: Final = Row(
    "Promises, of all processes",
    [
        Figure(
            title="Budget left, of thirty days",
            says="100 %: nothing went wrong. 0 %: as much as was promised. Below: the promise is broken.",
            alerts=["FreshnessBudgetBurn", "CompletenessBudgetBurn", "ConnectsBudgetBurn"],
            unit=SHARE,
            line=Line("streamer:slo_budget:remaining_30d", "{{slo}}"),
            limit=Limit(0.0, bad="below"),
            decimals=1,
            width=24,
            empty="The rules of deploy/prometheus are not loaded, or not for long.",
        ),
        Figure(
            title="Published in time, in the last hour",
            says=f"Promised: {FRESHNESS:.0%} of admitted edits within {FRESH_WITHIN_S:.0f} s. Time in"
            " which edits are stuck counts as late.",
            alerts=["FreshnessBudgetBurn"],
            unit=SHARE,
            line=Line(kept("freshness"), "in time"),
            limit=Limit(FRESHNESS, bad="below"),
            decimals=2,
        ),
        Figure(
            title="Came out, in the last hour",
            says=f"Promised: {COMPLETENESS:.2%} of admitted edits. Lost are those that became nothing"
            " though no rule says so: dead letters, events that can't be read.",
            alerts=["CompletenessBudgetBurn", "DeadLetters"],
            unit=SHARE,
            line=Line(kept("completeness"), "came out"),
            limit=Limit(COMPLETENESS, bad="below"),
            decimals=3,
        ),
        Figure(
            title="Connects that we did not fail, in the last hour",
            says=f"Promised: {CONNECTS:.1%} of requests for a stream. What is the client's fault does"
            " not count.",
            alerts=["ConnectsBudgetBurn"],
            unit=SHARE,
            line=Line(kept("connects"), "not failed"),
            limit=Limit(CONNECTS, bad="below"),
            decimals=3,
            empty="Nobody came.",
        ),
        Plot(
            title="How fast the budgets burn",
            says="1 uses a month's budget up in a month. 6 for six hours and 14.4 for one call a person.",
            alerts=["FreshnessBudgetBurn", "CompletenessBudgetBurn", "ConnectsBudgetBurn"],
            unit=COUNT,
            lines=[
                Line(burn(slo, objective, window), f"{slo}, {window}")
                for slo, objective in OBJECTIVES.items()
                for window in ("1h", "6h")
            ],
            limit=Limit(PAGES_AT),
            width=12,
        ),
        Plot(
            title="What stands still",
            says="The share of each part that does not move, which counts against freshness: what is"
            " stuck tells no histogram of itself.",
            alerts=["SourceStalled", "EnrichStalled", "ProcessDown"],
            unit=SHARE,
            lines=[Line("streamer:freshness_stuck:ratio", "{{where}}")],
            top=1.0,
            width=12,
        ),
    ],
)

COMMITTED: Final = "streamer_committed_changes_total"

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
            of_partners=True,
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
            title="On its way",
            says="Changes that were admitted and have no outcome yet. It falls to 0 whenever all is drained.",
            alerts=["EnrichStalled", "AccountingBroken"],
            unit=COUNT,
            lines=[
                Line(
                    total(COMMITTED, 'role=~"source|replay"', 'outcome="admitted"')
                    + " - "
                    + total(COMMITTED, 'role="enrich"', 'outcome!="admitted"'),
                    "changes",
                )
            ],
            width=12,
        ),
        Plot(
            title="The accounts: what is missing",
            says="What enrich admitted less what became of it, by process. Anything but 0: changes were"
            " lost or doubled, or positions are of different ages after a restore.",
            alerts=["AccountingBroken"],
            unit=COUNT,
            lines=[Line(of("streamer_accounting_difference_changes"), "{{instance}}")],
            limit=Limit(0.5),
            width=12,
        ),
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
            title="Lost to a fault, a minute",
            says="Records that a stage received, did not hand on, and should have. Each has to be"
            " looked at: dead letters are listed by `streamer deadletter`.",
            alerts=["DeadLetters", "CompletenessBudgetBurn", "AccountingBroken"],
            unit=COUNT,
            lines=[
                Line(
                    happening(
                        each_minute(
                            "streamer_discarded_records_total", 'intentional="false"', by="stage,reason"
                        )
                    ),
                    "{{stage}}: {{reason}}",
                )
            ],
            limit=Limit(0.5),
        ),
        Plot(
            title="Lag, by group",
            says="Offsets that lanes have yet to finish. One that grows: that group has too little"
            " capacity, or stands.",
            alerts=["EnrichStalled", "RouteBehind", "LaneStopped"],
            unit=COUNT,
            lines=[Line(total("streamer_log_lag_offsets", by="group"), "{{group}}")],
        ),
        Plot(
            title="Errors, by stage and code",
            says="What was tried again, and what was not. internal: a fault of ours, whose log line"
            " says more.",
            alerts=["LaneRestarts", "LogFails", "OriginFails"],
            unit=COUNTS_PER_SECOND,
            lines=[
                Line(happening(each_second("streamer_errors_total", by="stage,code")), "{{stage}}: {{code}}")
            ],
            empty="None.",
        ),
        Plot(
            title="Open streams, by partner",
            says="A sudden fall of all: a process or the proxy is gone. Of one: its reader is.",
            alerts=["ReconnectStorm", "PartnerBehindRetention"],
            of_partners=True,
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
