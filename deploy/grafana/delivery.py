"""What clients get: who is connected, how connects and streams end, what it costs a process."""

from typing import Final

from deploy.grafana.panels import (
    BYTES,
    BYTES_PER_SECOND,
    COUNT,
    COUNTS_PER_SECOND,
    EVENTS_PER_SECOND,
    RECORDS_PER_SECOND,
    REQUESTS_PER_SECOND,
    SECONDS,
    SHARE,
    Board,
    Figure,
    Limit,
    Line,
    Plot,
    Row,
)
from deploy.grafana.promises import CONNECTS, kept
from deploy.grafana.promql import each_second, happening, quantile, total

LATE_LOOP_S: Final = 0.5
"""A loop that lags so is felt by all its clients."""

STREAMS: Final = Row(
    "Streams",
    [
        Figure(
            title="Open streams",
            says="Of all partners. A sudden fall: a process or the proxy in front of it is gone.",
            alerts=["ReconnectStorm", "ProcessDown"],
            unit=COUNT,
            line=Line(total("streamer_deliver_connections"), "streams"),
            width=6,
        ),
        Figure(
            title="Distinct feeds",
            says="What clients ask for, by filters, fields and format: all who ask for the same share"
            " one, so the work goes with this and not with the streams. deliver.max_feeds bounds"
            " it.",
            unit=COUNT,
            line=Line(total("streamer_deliver_channels"), "feeds"),
            width=6,
        ),
        Figure(
            title="Bytes to clients",
            says="Before HTTP framing and TLS. At what the network carries, all become slow.",
            alerts=["SlowPartner"],
            unit=BYTES_PER_SECOND,
            line=Line(each_second("streamer_deliver_bytes_total"), "bytes"),
            width=6,
        ),
        Figure(
            title="Connects that we did not fail, in the last hour",
            says=f"Promised: {CONNECTS:.1%}. Failed are answers of 500 and above; what a client may not"
            " have or has too much of is no failure.",
            alerts=["ConnectsBudgetBurn"],
            unit=SHARE,
            line=Line(kept("connects"), "not failed"),
            limit=Limit(CONNECTS, bad="below"),
            decimals=3,
            width=6,
            empty="Nobody came.",
        ),
        Plot(
            title="Open streams, by partner and format",
            says="A partner that is missing: its reader is down, or its key was taken away.",
            alerts=["ReconnectStorm"],
            of_partners=True,
            unit=COUNT,
            lines=[
                Line(total("streamer_deliver_connections", by="partner,format"), "{{partner}}: {{format}}")
            ],
            stacked=True,
        ),
        Plot(
            title="Requests for a stream, by outcome",
            says="failed is our fault. Many refused: a client that does not give up, or that has too"
            " many. Many accepted: clients that break off and come again.",
            alerts=["ConnectsBudgetBurn", "ReconnectStorm"],
            unit=REQUESTS_PER_SECOND,
            lines=[Line(each_second("streamer_deliver_connects_total", by="outcome"), "{{outcome}}")],
        ),
        Plot(
            title="Refusals, by code",
            says="unauthorized: a wrong key. too_many_…: a partner wants more than it may. full,"
            " log_unavailable: our fault.",
            alerts=["ConnectsBudgetBurn"],
            unit=REQUESTS_PER_SECOND,
            lines=[
                Line(happening(each_second("streamer_deliver_refused_requests_total", by="code")), "{{code}}")
            ],
            empty="None was refused.",
        ),
        Plot(
            title="Streams that ended, by reason",
            says="client: it left. slow, stalled: it took too little for too long. drain: we stopped or"
            " restarted. failed: our fault, as withdrawn is not: a text that was withdrawn amid its"
            " frame.",
            alerts=["ReconnectStorm", "SlowPartner"],
            unit=COUNTS_PER_SECOND,
            lines=[
                Line(
                    happening(each_second("streamer_deliver_ended_streams_total", by="reason")), "{{reason}}"
                )
            ],
            empty="None has ended.",
        ),
        Plot(
            title="Articles to clients, by partner",
            says="Each article counts for each client. None of a partner with streams: its rules leave"
            " nothing out of what comes, or routing stands.",
            alerts=["PartnerParked", "SlowPartner"],
            of_partners=True,
            unit=EVENTS_PER_SECOND,
            lines=[Line(each_second("streamer_deliver_events_total", by="partner"), "{{partner}}")],
            stacked=True,
        ),
        Plot(
            title="Bytes to clients, by partner",
            says="What each partner costs the network. partners.toml bounds it by limits.bytes_per_second.",
            alerts=["SlowPartner"],
            of_partners=True,
            unit=BYTES_PER_SECOND,
            lines=[Line(each_second("streamer_deliver_bytes_total", by="partner"), "{{partner}}")],
            stacked=True,
        ),
        Plot(
            title="From the edit to the client",
            says="To the first write to a live client. Beside a good edit-to-publish: routing or"
            " delivery is slow, or the partner settles, which is its own wish.",
            alerts=["SlowPartner", "EventLoopLag"],
            of_partners=True,
            unit=SECONDS,
            lines=[
                Line(quantile(0.5, "streamer_edit_to_delivery_seconds", by="partner"), "{{partner}} p50"),
                Line(quantile(0.99, "streamer_edit_to_delivery_seconds", by="partner"), "{{partner}} p99"),
            ],
            empty="No article went to a live client.",
        ),
        Plot(
            title="Records withheld",
            says="withdrawn: what was taken back is not served, as it must be. invalid: a broken"
            " record, and a fault of ours.",
            of_partners=True,
            unit=RECORDS_PER_SECOND,
            lines=[
                Line(
                    happening(each_second("streamer_deliver_withheld_records_total", by="partner,reason")),
                    "{{partner}}: {{reason}}",
                )
            ],
            empty="None was.",
        ),
        Plot(
            title="Errors of delivery, by code",
            says="internal: a fault of ours, whose log line says more.",
            unit=COUNTS_PER_SECOND,
            lines=[
                Line(
                    happening(each_second("streamer_errors_total", 'stage="deliver"', by="code")), "{{code}}"
                )
            ],
            empty="None.",
        ),
    ],
)

PROCESS: Final = Row(
    "Process $instance",
    [
        Plot(
            title="Streams and feeds",
            says="A process that has far more than the others: the proxy does not spread them.",
            alerts=["ReconnectStorm"],
            unit=COUNT,
            lines=[
                Line(total("streamer_deliver_connections"), "open streams"),
                Line(total("streamer_deliver_channels"), "distinct feeds"),
            ],
        ),
        Plot(
            title="Event loop: how late a timer fires",
            says="All clients of a process wait for its loop. Above half a second for long: it has too"
            " much to do, and another process is needed.",
            alerts=["EventLoopLag"],
            unit=SECONDS,
            lines=[
                Line(quantile(0.5, "streamer_event_loop_lag_seconds"), "p50"),
                Line(quantile(0.99, "streamer_event_loop_lag_seconds"), "p99"),
            ],
            limit=Limit(LATE_LOOP_S),
        ),
        Plot(
            title="Frames kept for slow readers",
            says="Of all feeds, in memory. deliver.retained_mb bounds it: at the bound the slowest are"
            " ended.",
            alerts=["SlowPartner"],
            unit=BYTES,
            lines=[Line(total("streamer_deliver_retained_bytes"), "frames")],
        ),
        Plot(
            title="Its streams that ended, by reason",
            says="All of one process at once: it restarted, or the proxy cut it off.",
            alerts=["ReconnectStorm"],
            unit=COUNTS_PER_SECOND,
            lines=[
                Line(
                    happening(each_second("streamer_deliver_ended_streams_total", by="reason")), "{{reason}}"
                )
            ],
            empty="None has ended.",
            width=12,
        ),
        Plot(
            title="Bytes from it to clients",
            says="Of this process. See deploy/CAPACITY.md for what one carries.",
            unit=BYTES_PER_SECOND,
            lines=[Line(each_second("streamer_deliver_bytes_total"), "bytes")],
            width=12,
        ),
    ],
    repeat="instance",
)

BOARD: Final = Board(
    uid="streamer-delivery",
    title="Streamer: delivery",
    about="What clients get: who is connected, how connects and streams end, what it costs a process.",
    rows=[STREAMS, PROCESS],
)
