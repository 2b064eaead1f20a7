"""The log, a local file or Kafka: its commits, how far its lanes are, what ended them."""

from typing import Final

from deploy.grafana.panels import (
    BYTES,
    BYTES_PER_SECOND,
    COUNT,
    COUNTS_PER_SECOND,
    RECORDS_PER_SECOND,
    SECONDS,
    Board,
    Figure,
    Limit,
    Line,
    Plot,
    Row,
)
from deploy.grafana.promql import each_second, happening, most, quantile, ratio, so_far, total

COMMITS: Final = Row(
    "Commits",
    [
        Plot(
            title="Commits, by group",
            says="Transactions that passed: each carries records and the position behind them. None of"
            " a group that has lag: its lanes stand.",
            alerts=["LogFails"],
            unit=COUNTS_PER_SECOND,
            lines=[
                Line(
                    each_second("streamer_log_commits_total", 'outcome="committed"', by="group"),
                    "{{group}}",
                )
            ],
        ),
        Plot(
            title="Commits that did not pass since their process began",
            says="cancelled: it may have passed, and the lane reads its position again. log_timeout,"
            " log_unavailable: the broker or the file. lane_lost: another process has the lane now,"
            " as in each rebalance. topic_refused: a partner's topic takes nothing.",
            alerts=["LogFails", "LaneRestarts", "PartnerParked"],
            unit=COUNT,
            lines=[
                Line(
                    happening(
                        so_far("streamer_log_commits_total", 'outcome!="committed"', by="group,outcome")
                    ),
                    "{{group}}: {{outcome}}",
                )
            ],
            empty="All passed.",
        ),
        Plot(
            title="How long a commit takes",
            says="With the wait for its turn. Above a second for long: a slow disk, or a broker in trouble.",
            alerts=["LogFails"],
            unit=SECONDS,
            lines=[
                Line(quantile(0.5, "streamer_log_commit_seconds"), "p50"),
                Line(quantile(0.9, "streamer_log_commit_seconds"), "p90"),
                Line(quantile(0.99, "streamer_log_commit_seconds"), "p99"),
            ],
            limit=Limit(1.0),
        ),
        Plot(
            title="Records appended, by process",
            says="All topics together: many times what is admitted, since each partner has a copy of"
            " its own.",
            unit=RECORDS_PER_SECOND,
            lines=[Line(each_second("streamer_log_appended_records_total", by="instance"), "{{instance}}")],
        ),
        Plot(
            title="Bytes appended, by process",
            says="Keys, headers and values as stored. This times log.history_hours is what the log holds.",
            unit=BYTES_PER_SECOND,
            lines=[Line(each_second("streamer_log_appended_bytes_total", by="instance"), "{{instance}}")],
        ),
        Plot(
            title="Records in a commit",
            says="How full the batches are: near 1 under load, they do not form, and each record costs"
            " a commit.",
            unit=COUNT,
            lines=[
                Line(
                    ratio(
                        each_second("streamer_log_appended_records_total"),
                        each_second("streamer_log_commits_total", 'outcome="committed"'),
                    ),
                    "records a commit",
                )
            ],
        ),
    ],
)

LANES: Final = Row(
    "Lanes",
    [
        Plot(
            title="Lag, by group",
            says="Offsets that its lanes have yet to finish, an upper bound of the records. One that"
            " grows while its group commits: too little capacity. One that grows while it does not:"
            " a lane stands.",
            alerts=["EnrichStalled", "RouteBehind", "LaneStopped"],
            unit=COUNT,
            lines=[Line(total("streamer_log_lag_offsets", by="group"), "{{group}}")],
        ),
        Plot(
            title="Lag, by group and partition",
            says="One partition alone that is behind: a wiki with far more edits than others, or a lane"
            " that stands.",
            alerts=["EnrichStalled", "RouteBehind", "LaneStopped"],
            unit=COUNT,
            lines=[
                Line(
                    f"topk(20, {total('streamer_log_lag_offsets', by='group,partition')})",
                    "{{group}} {{partition}}",
                )
            ],
        ),
        Plot(
            title="Lanes, by group and process",
            says="Each partition of a group has one lane in one process. Fewer than partitions in all:"
            " some are nobody's; 0 in a process: it stands by.",
            alerts=["LaneStopped", "ProcessDown"],
            unit=COUNT,
            lines=[Line(total("streamer_log_lanes", by="group,instance"), "{{group}} at {{instance}}")],
            stacked=True,
        ),
        Plot(
            title="Lanes started anew since their process began, by reason",
            says="A lane restarts after an error, and reads again from its position: nothing is lost."
            " Again and again: the error is one that stays.",
            alerts=["LaneRestarts"],
            unit=COUNT,
            lines=[
                Line(
                    happening(so_far("streamer_log_lane_restarts_total", by="group,code")),
                    "{{group}}: {{code}}",
                )
            ],
            empty="None was.",
        ),
        Plot(
            title="Rebalances, by group",
            says="Times that a process was told which lanes are its own. With each start and stop one;"
            " more: processes are too busy to stay in their group.",
            alerts=["LaneRestarts", "EventLoopLag"],
            unit=COUNTS_PER_SECOND,
            lines=[Line(each_second("streamer_log_rebalances_total", by="group"), "{{group}}")],
            empty="None: there are none on the local log.",
        ),
        Plot(
            title="Clients of Kafka made anew",
            says="After a failure: questions, reader, member, append. All at once: the cluster was away.",
            alerts=["LogFails"],
            unit=COUNTS_PER_SECOND,
            lines=[
                Line(happening(each_second("streamer_log_clients_replaced_total", by="client")), "{{client}}")
            ],
            empty="None was.",
        ),
        Plot(
            title="Lanes that stand because their input is lost",
            says="What they had yet to read was deleted. They wait for a person: see /readyz, and log.lost.",
            alerts=["LaneStopped"],
            unit=COUNT,
            lines=[Line(total("streamer_lane_stopped", by="role"), "{{role}}")],
            limit=Limit(0.5),
            width=12,
        ),
        Plot(
            title="Offsets left out because they were deleted unread",
            says="Lost to partners, as the operator wished by log.lost. Reconcile finds the edits again.",
            alerts=["LaneLostRecords"],
            unit=COUNT,
            lines=[
                Line(
                    happening(so_far("streamer_lane_lost_offsets_total", by="role,partition")),
                    "{{role}} {{partition}}",
                )
            ],
            limit=Limit(0.5),
            width=12,
            empty="None was.",
        ),
    ],
)

ROUTE: Final = Row(
    "Routing",
    [
        Plot(
            title="A pass of routing",
            says="From what was read to its commit, for all partners of a pass. Seconds: the log is"
            " slow, or partners are too many for one process.",
            alerts=["LogFails"],
            unit=SECONDS,
            lines=[
                Line(quantile(0.5, "streamer_route_pass_seconds"), "p50"),
                Line(quantile(0.99, "streamer_route_pass_seconds"), "p99"),
            ],
            limit=Limit(1.0),
        ),
        Plot(
            title="Partners behind the one that is furthest ahead",
            says="In offsets of the articles. A parked partner falls behind until its topic takes"
            " records again.",
            alerts=["PartnerParked"],
            of_partners=True,
            unit=COUNT,
            lines=[Line(most("streamer_route_behind_offsets", by="partner"), "{{partner}}")],
        ),
        Plot(
            title="How old the newest time is up to which all reverts are known",
            says="One lane of enrich that stands holds up what settles on all partitions. 0 while"
            " nobody settles.",
            alerts=["EnrichStalled"],
            unit=SECONDS,
            lines=[Line(most("streamer_route_reverts_age_seconds", by="instance"), "{{instance}}")],
        ),
    ],
)

LOCAL: Final = Row(
    "The local log",
    [
        Plot(
            title="Size of the file",
            says="Of the local log, and of its write-ahead log. Both have bounds: log.retention_gb, and"
            " some tens of megabytes.",
            alerts=["LogOverBudget"],
            width=12,
            unit=BYTES,
            lines=[
                Line(total("streamer_log_file_bytes", by="instance"), "file at {{instance}}"),
                Line(total("streamer_log_wal_bytes", by="instance"), "write-ahead log at {{instance}}"),
            ],
        ),
        Plot(
            title="Records removed by the cleaner",
            says="By reason. None for hours beside a file that grows: the cleaner does not get to it.",
            alerts=["LogOverBudget"],
            width=12,
            unit=RECORDS_PER_SECOND,
            lines=[Line(each_second("streamer_log_deleted_records_total", by="reason"), "{{reason}}")],
        ),
        Figure(
            title="Over its bound",
            says="1 while all that it holds is still to be read: the source waits, and partners get no news.",
            alerts=["LogOverBudget"],
            width=12,
            unit=COUNT,
            line=Line(most("streamer_log_over_budget"), "over its bound"),
            limit=Limit(0.5),
        ),
        Figure(
            title="Jobs that wait for its writer",
            says="One thread writes. Many for long: the disk is slow.",
            alerts=["LogFails"],
            width=12,
            unit=COUNT,
            line=Line(total("streamer_queue_depth", 'queue="log_writer"'), "jobs"),
        ),
    ],
)

BOARD: Final = Board(
    uid="streamer-log",
    title="Streamer: Kafka and the local log",
    about="The log, a local file or Kafka: its commits, how far its lanes are, what ended them.",
    rows=[COMMITS, LANES, ROUTE, LOCAL],
)
