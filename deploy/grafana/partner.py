"""One partner, or each of several: what it gets, how late, how far behind it is, and why its streams end."""

from typing import Final

from deploy.grafana.panels import (
    BYTES_PER_SECOND,
    COUNT,
    EVENTS_PER_SECOND,
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
from deploy.grafana.promql import PARTNER, each_second, happening, least, most, quantile, so_far, total

SCOPE: Final = 'scope=~"$partner"'
"""What the committed counts call a partner."""

GETS: Final = Row(
    "Partner $partner",
    [
        Figure(
            title="Open streams",
            says="0: nobody of this partner listens. It can catch up for as long as its topic holds records.",
            alerts=["PartnerBehindRetention"],
            unit=COUNT,
            line=Line(total("streamer_deliver_connections", PARTNER), "streams"),
            empty="None yet.",
            width=6,
        ),
        Figure(
            title="Behind",
            says="How old the oldest record is that its slowest reader has still to be sent.",
            alerts=["PartnerBehindRetention", "SlowPartner"],
            unit=SECONDS,
            line=Line(most("streamer_partner_behind_seconds", PARTNER, by="reader"), "{{reader}}"),
            empty="Nobody reads.",
            width=6,
        ),
        Figure(
            title="Of what is retained, behind by",
            says="From 100 % on its slowest reader loses records. From half of it there is an alert.",
            alerts=["PartnerBehindRetention"],
            unit=SHARE,
            line=Line(f"streamer:partner_behind:ratio{{{PARTNER}}}", "{{partner}} ({{reader}})"),
            limit=Limit(0.5),
            empty="Nobody reads.",
            width=6,
        ),
        Figure(
            title="Parked",
            says="1 while its topic takes nothing, and its routing waits: the others go on.",
            alerts=["PartnerParked"],
            unit=COUNT,
            line=Line(most("streamer_route_parked", PARTNER), "parked"),
            limit=Limit(0.5),
            width=6,
        ),
        Plot(
            title="Articles to its clients",
            says="Each article counts for each of its clients. None beside records that are routed:"
            " nobody reads, or its readers stand.",
            alerts=["SlowPartner"],
            unit=EVENTS_PER_SECOND,
            lines=[Line(each_second("streamer_deliver_events_total", PARTNER, by="format"), "{{format}}")],
            empty="None yet.",
        ),
        Plot(
            title="Bytes to its clients",
            says="Flat at limits.bytes_per_second: the limit is what makes it slow.",
            alerts=["SlowPartner"],
            unit=BYTES_PER_SECOND,
            lines=[Line(each_second("streamer_deliver_bytes_total", PARTNER), "bytes")],
            empty="None yet.",
        ),
        Plot(
            title="Open streams, by format",
            says="Many that come and go: its clients break off, or we end them (see below).",
            alerts=["ReconnectStorm"],
            unit=COUNT,
            lines=[Line(total("streamer_deliver_connections", PARTNER, by="format"), "{{format}}")],
            empty="None yet.",
        ),
        Plot(
            title="From the edit to the client",
            says="To the first write to a live client of this partner; with settle, that time is in it.",
            alerts=["SlowPartner", "FreshnessBudgetBurn"],
            unit=SECONDS,
            lines=[
                Line(quantile(0.5, "streamer_edit_to_delivery_seconds", PARTNER), "p50"),
                Line(quantile(0.9, "streamer_edit_to_delivery_seconds", PARTNER), "p90"),
                Line(quantile(0.99, "streamer_edit_to_delivery_seconds", PARTNER), "p99"),
            ],
            empty="No article went to a live client.",
        ),
        Plot(
            title="Behind, and retained",
            says="Where behind meets retained, records are gone before they are read. After an outage"
            " of a reader its line must fall.",
            alerts=["PartnerBehindRetention"],
            unit=SECONDS,
            lines=[
                Line(
                    most("streamer_partner_behind_seconds", PARTNER, by="partner,reader"),
                    "{{partner}}: behind ({{reader}})",
                ),
                Line(
                    least("streamer_partner_retained_seconds", PARTNER, by="partner"),
                    "{{partner}}: retained",
                ),
            ],
        ),
        Plot(
            title="Streams that ended since our processes began, by reason",
            says="slow, stalled: it took too little for too long. drain: we restarted. failed: our fault.",
            alerts=["SlowPartner", "ReconnectStorm"],
            unit=COUNT,
            lines=[
                Line(
                    happening(so_far("streamer_deliver_ended_streams_total", PARTNER, by="reason")),
                    "{{reason}}",
                )
            ],
            empty="None has ended.",
        ),
        Plot(
            title="What routing made of the articles for it",
            says="published: into its topic. filtered: its rules. reverted, withdrawn: before they"
            " settled. expired: it was parked for longer than records are kept, and they are lost"
            " to it.",
            alerts=["PartnerParked", "AccountingBroken"],
            unit=RECORDS_PER_SECOND,
            lines=[
                Line(
                    each_second("streamer_committed_changes_total", 'role="route"', SCOPE, by="outcome"),
                    "{{outcome}}",
                )
            ],
        ),
        Plot(
            title="Routing: behind the partner that is furthest ahead",
            says="In offsets, by partition. It grows while the partner is parked, and falls afterwards.",
            alerts=["PartnerParked"],
            unit=COUNT,
            lines=[
                Line(
                    most("streamer_route_behind_offsets", PARTNER, by="partition"),
                    "partition {{partition}}",
                )
            ],
        ),
        Plot(
            title="Records that settle, and withheld ones",
            says="What is held until it has settled, by the partner's own wish. Withheld as withdrawn:"
            " as it must be; as invalid: a fault of ours.",
            unit=COUNT,
            lines=[
                Line(total("streamer_route_settling_records", PARTNER), "held until settled"),
                Line(
                    happening(so_far("streamer_deliver_withheld_records_total", PARTNER, by="reason")),
                    "withheld: {{reason}}",
                ),
            ],
            empty="This partner does not settle.",
        ),
    ],
    repeat="partner",
)

BOARD: Final = Board(
    uid="streamer-partner",
    title="Streamer: partners",
    about="Each partner: what it gets, how late, how far behind it is, why its streams end.",
    rows=[GETS],
    by_partner=True,
)
