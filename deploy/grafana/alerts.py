"""What fires, and whether anything could."""

from typing import Final

from deploy.grafana.panels import (
    COUNT,
    SHARE,
    Figure,
    Limit,
    Line,
    Listing,
    Row,
)
from deploy.grafana.promql import of

FIRING: Final = 'ALERTS{alertstate="firing",severity=~"page|ticket"}'
"""All but the one that fires always."""

ALERTS: Final = Row(
    "Alerts",
    [
        Figure(
            title="Alerts that fire",
            says="Those that page or make a ticket. The list beside it leads to each one's page.",
            unit=COUNT,
            line=Line(f"count({FIRING}) or vector(0)", "alerts"),
            limit=Limit(0.5),
        ),
        Figure(
            title="Alerting works",
            says="An alert that always fires, as long as Prometheus judges the rules. 0: nothing here"
            " would fire, whatever happens.",
            alerts=["Watchdog"],
            unit=COUNT,
            line=Line('count(ALERTS{alertname="Watchdog",alertstate="firing"}) or vector(0)', "watchdog"),
            limit=Limit(0.5, bad="below"),
        ),
        Figure(
            title="Processes that answer",
            says="Of those that Prometheus scrapes. Below 100 %: some are gone.",
            alerts=["ProcessDown"],
            unit=SHARE,
            line=Line(f"avg({of('up')})", "up"),
            limit=Limit(1.0, bad="below"),
        ),
        Listing(
            title="What fires",
            says="A click on the name opens what it means and what to do.",
            line=Line(FIRING, "{{alertname}}"),
            columns=["alertname", "severity", "job", "instance", "partner"],
            pages="alertname",
            empty="Nothing fires.",
            width=24,
        ),
    ],
)
