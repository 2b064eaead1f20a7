"""From changes to articles: what came out, how late, what waits and what could not be made."""

from typing import Final

from deploy.grafana.panels import (
    BYTES,
    COUNT,
    RECORDS_PER_SECOND,
    SECONDS,
    SHARE,
    Limit,
    Line,
    Plot,
    Row,
)
from deploy.grafana.promises import (
    FRESH_WITHIN_S,
    FRESHNESS,
)
from deploy.grafana.promql import age, each_second, happening, quantile, ratio, total

ENRICH: Final = Row(
    "Enrichment",
    [
        Plot(
            title="Published",
            says="Records committed to the articles topic. None while events come: enrichment stands.",
            alerts=["EnrichStalled"],
            unit=RECORDS_PER_SECOND,
            lines=[Line(each_second("streamer_enrich_published_total", by="kind"), "{{kind}}")],
            stacked=True,
        ),
        Plot(
            title="From the edit to the articles topic",
            says=f"Promised: {FRESHNESS:.0%} within {FRESH_WITHIN_S:.0f} s. It tells nothing of edits"
            " that are still open: see the oldest of them beside it.",
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
            title="Oldest open change, by partition",
            says="How long ago it was admitted. One that only grows: something keeps its partition from"
            " going on.",
            alerts=["EnrichStalled", "FreshnessBudgetBurn"],
            unit=SECONDS,
            lines=[
                Line(
                    age("streamer_enrich_oldest_open_timestamp_seconds", by="partition"),
                    "partition {{partition}}",
                )
            ],
            limit=Limit(FRESH_WITHIN_S),
            empty="None is open.",
        ),
        Plot(
            title="Open changes, by partition",
            says="Read and not yet committed. Bounded: at the bound a partition reads no further.",
            alerts=["EnrichStalled"],
            unit=COUNT,
            lines=[Line(total("streamer_enrich_open_changes", by="partition"), "partition {{partition}}")],
            stacked=True,
        ),
        Plot(
            title="What became of changes",
            says="Each admitted change ends in one of these, once. deadletter: it could not be made,"
            " with its reason; `streamer deadletter` lists and replays them. gone: the page was no"
            " longer there.",
            alerts=["DeadLetters", "AccountingBroken"],
            unit=RECORDS_PER_SECOND,
            lines=[
                Line(
                    each_second(
                        "streamer_committed_changes_total",
                        'role="enrich"',
                        'outcome!="admitted"',
                        by="outcome",
                    ),
                    "{{outcome}}",
                )
            ],
        ),
        Plot(
            title="Dead letters that wait for their wikis",
            says="They replay by themselves once the wikis answer again.",
            alerts=["DeadLetters", "OriginFails"],
            unit=COUNT,
            lines=[
                Line(total("streamer_deferred_waiting_letters", by="partition"), "partition {{partition}}")
            ],
            stacked=True,
        ),
        Plot(
            title="Compared with the wikis' own lists up to",
            says="How long ago. What the stream lost upstream is found there, later than live: hours"
            " are normal.",
            alerts=["ReconcileBehind", "SourceGap"],
            unit=SECONDS,
            lines=[
                Line(
                    age("streamer_reconciled_until_timestamp_seconds", by="partition"),
                    "partition {{partition}}",
                )
            ],
        ),
        Plot(
            title="Rows of the wikis' lists that were compared",
            says="None for long: nothing is compared, and what the stream lost stays lost.",
            alerts=["ReconcileBehind"],
            unit=RECORDS_PER_SECOND,
            lines=[Line(each_second("streamer_reconcile_listed_rows_total"), "rows")],
        ),
        Plot(
            title="Withdrawals written",
            says="Of a revision or of a whole page. Many at once: somebody cleans up, which is no fault"
            " of ours.",
            unit=RECORDS_PER_SECOND,
            lines=[Line(happening(each_second("streamer_enrich_cutoffs_total", by="scope")), "{{scope}}")],
            empty="None was.",
        ),
        Plot(
            title="Plain text",
            says="Question to answer of a worker. Seconds: the workers are too few, or a page is hard.",
            unit=SECONDS,
            lines=[
                Line(quantile(0.5, "streamer_enrich_text_seconds"), "p50"),
                Line(quantile(0.99, "streamer_enrich_text_seconds"), "p99"),
            ],
            empty="No partner wants any.",
        ),
        Plot(
            title="Articles without their text",
            says="By reason. worker_died, timeout: a page that the parser can't take; the article goes"
            " without.",
            unit=RECORDS_PER_SECOND,
            lines=[
                Line(happening(each_second("streamer_enrich_text_failures_total", by="reason")), "{{reason}}")
            ],
            empty="None.",
        ),
        Plot(
            title="Content that waits for its commit",
            says="Bytes in memory, of each process. It is bounded; much of it means that the log is slow.",
            alerts=["LogFails"],
            unit=BYTES,
            lines=[Line(total("streamer_enrich_held_bytes", by="instance"), "{{instance}}")],
        ),
        Plot(
            title="Edits with their hint, and with a score",
            says="The share that had what comes beside an edit in time. Near 0: that stream is silent"
            " upstream.",
            unit=SHARE,
            top=1.0,
            lines=[
                Line(
                    ratio(
                        each_second("streamer_enrich_hinted_total", 'hinted="yes"'),
                        each_second("streamer_enrich_hinted_total"),
                    ),
                    "with a hint",
                ),
                Line(
                    ratio(
                        each_second("streamer_enrich_scored_total", 'scored="yes"'),
                        each_second("streamer_enrich_scored_total"),
                    ),
                    "with a score",
                ),
            ],
        ),
        Plot(
            title="How long an answered change waited for its hint",
            says="Of those that did. It is bounded to some seconds, and each is a second of freshness.",
            unit=SECONDS,
            lines=[
                Line(quantile(0.5, "streamer_enrich_hint_wait_seconds"), "p50"),
                Line(quantile(0.99, "streamer_enrich_hint_wait_seconds"), "p99"),
            ],
        ),
        Plot(
            title="Late edits, and scores asked for",
            says="late: published after a newer revision of their page, and marked so. Scores are asked"
            " for only where scores.url is set; others than scored: that service fails.",
            unit=RECORDS_PER_SECOND,
            lines=[
                Line(each_second("streamer_enrich_late_total"), "late edits"),
                Line(happening(each_second("streamer_scores_total", by="outcome")), "score: {{outcome}}"),
            ],
        ),
    ],
)
