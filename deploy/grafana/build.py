"""Grafana's JSON of a dashboard, by its own kit. Pure: the same text for the same dashboard."""

import json
from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.variants import Dataquery as AnyDataquery
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.alerts import FIRING
from deploy.grafana.panels import Board, Figure, Limit, Line, Listing, Panel, Plot

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The Prometheus that a dashboard's first variable names."""
TAG: Final = "streamer"
"""By which the dashboards find each other."""
PLOT_HEIGHT: Final = 8
FIGURE_HEIGHT: Final = 4
CLASSIC_QUERY: Final = 5
"""How the editor of variables calls a query that is written out, as `label_values(…)`."""
ANNOTATED: Final = {"titleFormat": "{{alertname}}", "tagKeys": "severity,instance,partner"}
"""What a mark of an alert says: Prometheus's own keys, which the kit does not know."""
OF_PARTNER: Final = "/d/streamer-partner?${__url_time_range}&var-partner=${__field.labels.partner}"
VARIABLES: Final = {
    "job": "label_values(streamer_build_info, job)",
    "instance": 'label_values(streamer_build_info{job=~"$job"}, instance)',
    "partner": 'label_values(streamer_route_parked{job=~"$job"}, partner)',
}
"""What Grafana asks for their values. Of a partner route tells even before anybody connects."""

_Built = TimeSeries | Stat | Table


def rendered(board: Board, runbooks: str) -> str:
    """The file's text. `runbooks`: the address below which each alert has its page."""
    builder = (
        dashboards.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .time("now-3h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(
            dashboards.DashboardLink("Dashboards")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
        )
        .annotation(
            dashboards.AnnotationQuery()
            .name("Alerts")
            .datasource(SOURCE)
            .enable(True)
            .icon_color("red")
            .expr(FIRING)
        )
        .with_variable(dashboards.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for name in VARIABLES:
        if name != "partner" or board.by_partner:
            builder.with_variable(_variable(name))
    number = 0
    for row in board.rows:
        number += 1
        head = dashboards.Row(row.title).id(number)
        builder.with_row(head.repeat(row.repeat) if row.repeat else head)
        for panel in row.panels:
            number += 1
            builder.with_panel(_built(panel, runbooks).id(number))
    document = json.loads(json.dumps(builder.build(), cls=JSONEncoder))
    for annotation in document["annotations"]["list"]:
        annotation.update(ANNOTATED)
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _variable(name: str) -> dashboards.QueryVariable:
    everything = VariableOption(selected=True, text="All", value="$__all")
    variable = (
        dashboards.QueryVariable(name)
        .datasource(SOURCE)
        .query({"qryType": CLASSIC_QUERY, "query": VARIABLES[name], "refId": name})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
    )
    # a row of panels for each partner there is would be too many to begin with
    return variable if name == "partner" else variable.include_all(True).current(everything)


# ── panels ─────────────────────────────────────────────────────────────────────────────────────


def _built(panel: Panel, runbooks: str) -> _Built:
    match panel:
        case Plot():
            built: _Built = _plot(panel)
        case Figure():
            built = _figure(panel)
        case Listing():
            built = _listing(panel, runbooks)
        case _:
            raise TypeError(f"no such kind of panel: {panel!r}")
    built.title(panel.title).description(_description(panel, runbooks)).datasource(SOURCE).span(panel.width)
    if panel.empty:
        built.no_value(panel.empty)
    return built


def _description(panel: Panel, runbooks: str) -> str:
    pages = ", ".join(f"[{alert}]({runbooks}/{alert}.md)" for alert in panel.alerts)
    return f"{panel.says}\n\nWhat to do: {pages}" if pages else panel.says


def _plot(plot: Plot) -> TimeSeries:
    panel = (
        TimeSeries()
        .height(PLOT_HEIGHT)
        .unit(plot.unit)
        .min(0)
        .targets(_targets(plot.lines))
        .line_width(1)
        .fill_opacity(25 if plot.stacked else 8)
        .show_points(common.VisibilityMode.AUTO)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(
            common_builders.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
    )
    if plot.stacked:
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if plot.top is not None:
        panel.max(plot.top)
    if plot.of_partners:
        panel.data_links([dashboards.DashboardLink("This partner").url(OF_PARTNER)])
    if plot.limit:
        panel.thresholds(_thresholds(plot.limit)).thresholds_style(
            common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        )
    return panel


def _figure(figure: Figure) -> Stat:
    panel = (
        Stat()
        .height(FIGURE_HEIGHT)
        .unit(figure.unit)
        .targets(_targets([figure.line]))
        .graph_mode(common.BigValueGraphMode.AREA)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.AUTO)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .thresholds(_thresholds(figure.limit))
    )
    return panel if figure.decimals is None else panel.decimals(figure.decimals)


def _listing(listing: Listing, runbooks: str) -> Table:
    kept = DataTransformerConfig(
        id_val="filterFieldsByName", options={"include": {"names": list(listing.columns)}}
    )
    order = {column: index for index, column in enumerate(listing.columns)}
    ordered = DataTransformerConfig(id_val="organize", options={"indexByName": order})
    query = _query(listing.line).instant().format(PromQueryFormat.TABLE).ref_id("A")
    panel = Table().height(PLOT_HEIGHT).targets([query]).transformations([kept, ordered])
    if listing.pages:
        page = {"title": "What to do", "url": f"{runbooks}/${{__data.fields.{listing.pages}}}.md"}
        panel.override_by_name(listing.pages, [DynamicConfigValue(id_val="links", value=[page])])
    return panel


def _targets(lines: Sequence[Line]) -> list[Builder[AnyDataquery]]:
    return [_query(line).range().ref_id(chr(ord("A") + index)) for index, line in enumerate(lines)]


def _query(line: Line) -> Dataquery:
    return Dataquery().expr(line.query).legend_format(line.name)


def _thresholds(limit: Limit | None) -> dashboards.ThresholdsConfig:
    """Without a limit there is no colour, which would be a judgement."""
    if limit is None:
        steps = [Threshold(value=None, color="text")]
    else:
        low, high = ("green", "red") if limit.bad == "above" else ("red", "green")
        steps = [Threshold(value=None, color=low), Threshold(value=limit.value, color=high)]
    return dashboards.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
