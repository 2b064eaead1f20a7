"""What the wikis were asked, what they answered, and the budget for it."""

from typing import Final

from deploy.grafana.panels import (
    COUNT,
    REQUESTS_PER_MINUTE,
    REQUESTS_PER_SECOND,
    SECONDS,
    Line,
    Plot,
    Row,
)
from deploy.grafana.promql import each_minute, each_second, happening, mean, most, quantile, ratio, total

ORIGIN: Final = Row(
    "The wikis",
    [
        Plot(
            title="Requests, by outcome",
            says="Each counts against the budget. ratelimited, status_429: we are too fast for them,"
            " and ask less for a while. Others than ok for long: they fail.",
            alerts=["OriginRefuses", "OriginFails"],
            unit=REQUESTS_PER_MINUTE,
            lines=[
                Line(happening(each_minute("streamer_origin_requests_total", by="outcome")), "{{outcome}}")
            ],
            stacked=True,
        ),
        Plot(
            title="The fleet's budget",
            says="Requests in the current minute against those allowed. At the limit for long: edits"
            " wait, and freshness goes. A limit below the settings' one: wikis have refused some.",
            alerts=["OriginRefuses", "NoBudgetKeeper"],
            unit=COUNT,
            lines=[
                Line(most("streamer_origin_budget_used_requests"), "used"),
                Line(most("streamer_origin_budget_requests"), "allowed"),
            ],
        ),
        Plot(
            title="How long an answer takes",
            says="Above some seconds the wikis are slow; with maxlag they are asked to say so.",
            alerts=["OriginFails"],
            unit=SECONDS,
            lines=[
                Line(quantile(0.5, "streamer_origin_request_seconds"), "p50"),
                Line(quantile(0.9, "streamer_origin_request_seconds"), "p90"),
                Line(quantile(0.99, "streamer_origin_request_seconds"), "p99"),
            ],
        ),
        Plot(
            title="Asked for by one request",
            says="Mean batch, by how things are asked for. Near 1 beside a full budget: batches do not form.",
            unit=COUNT,
            lines=[Line(mean("streamer_origin_batch_size", by="by"), "{{by}}")],
        ),
        Plot(
            title="Requests for an article",
            says="All requests over all that is published: below 1, since one request serves many edits.",
            unit=COUNT,
            lines=[
                Line(
                    ratio(
                        each_second("streamer_origin_requests_total"),
                        each_second("streamer_enrich_published_total"),
                    ),
                    "requests an article",
                )
            ],
        ),
        Plot(
            title="Questions that wait, and hosts that fail",
            says="Questions wait for the budget or for a host that is given a rest after failing in a row.",
            alerts=["OriginFails", "EnrichStalled"],
            unit=COUNT,
            lines=[
                Line(total("streamer_queue_depth", 'queue="origin"'), "waiting questions"),
                Line(total("streamer_origin_failing_hosts"), "failing hosts"),
            ],
        ),
        Plot(
            title="Questions asked again",
            says="missing, stale: a replica that lags. unavailable: failures, before the letter goes to"
            " the dead.",
            alerts=["OriginFails"],
            unit=REQUESTS_PER_SECOND,
            lines=[Line(happening(each_second("streamer_enrich_retries_total", by="reason")), "{{reason}}")],
            empty="None had to be.",
        ),
        Plot(
            title="Permits of the budget's keeper",
            says="Only on Kafka, where the fleet shares one budget. late and unused are given back.",
            alerts=["NoBudgetKeeper"],
            unit=REQUESTS_PER_SECOND,
            lines=[
                Line(happening(each_second("streamer_origin_permits_total", by="outcome")), "{{outcome}}")
            ],
            empty="None: one process needs no permits.",
        ),
        Plot(
            title="How long a permit takes",
            says="From asking the keeper to its permit, the wait for the budget included. Above a"
            " second: the budget is spent, or the keeper is slow.",
            alerts=["NoBudgetKeeper"],
            unit=SECONDS,
            lines=[
                Line(quantile(0.5, "streamer_origin_permit_seconds"), "p50"),
                Line(quantile(0.99, "streamer_origin_permit_seconds"), "p99"),
            ],
            empty="None: one process needs no permits.",
        ),
        Plot(
            title="Page lists",
            says="Articles go without a list that could not be had (failed), was too long, or came late.",
            unit=REQUESTS_PER_SECOND,
            lines=[Line(happening(each_second("streamer_origin_lists_total", by="outcome")), "{{outcome}}")],
            empty="No partner wants any.",
        ),
        Plot(
            title="HTML",
            says="Articles whose HTML was wanted. over_share, paused: nothing was asked, and they go"
            " without it.",
            unit=REQUESTS_PER_SECOND,
            lines=[Line(happening(each_second("streamer_enrich_html_total", by="outcome")), "{{outcome}}")],
            empty="No partner wants any.",
        ),
        Plot(
            title="Keepers of the budget",
            says="On Kafka one of all processes that run enrich; none for more than some seconds:"
            " nobody may ask. On the local log none is needed.",
            alerts=["NoBudgetKeeper"],
            unit=COUNT,
            lines=[Line(total("streamer_origin_budget_keeper"), "keepers")],
        ),
    ],
)
