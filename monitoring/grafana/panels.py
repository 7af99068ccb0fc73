"""The words that our dashboards are written in: a figure, lines, bars and a heat map, each with unit and explanation.

Law: every panel says what it shows and, where a rule watches it, at which runbook to look.
"""

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    GraphThresholdsStyleMode,
    StackingMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="tocsin-prometheus")
"""The data source of ``provisioning/datasources``."""

RUNBOOKS_VARIABLE = "runbooks"
GREEN, ORANGE, RED = "green", "orange", "red"
Steps = Sequence[tuple[float, str]]
"""(from, colour), rising; below the first it is green."""

Panel = stat.Panel | timeseries.Panel | bargauge.Panel | heatmap.Panel

BELOW = float("-inf")
PROMISE: Steps = ((10, ORANGE), (30, RED))
"""Seconds: the promise is 30 s."""
ANY: Steps = ((1, RED),)
MUST_BE_ONE: Steps = ((BELOW, RED), (1, GREEN))

ALERTED = "tocsin_alerts_decisive_slice_to_alert_delivered_seconds"
SERVICES = '{job=~"listener|streams|alerts|monitoring"}'


def board(name: str, title: str, description: str, *, scanners: bool = False) -> dashboard.Dashboard:
    """An empty dashboard with our variables and links."""
    made = (
        dashboard.Dashboard(f"Tocsin: {title}")
        .uid(f"tocsin-{name}")
        .description(description)
        .tags(["tocsin"])
        .time("now-6h", "now")
        .refresh("10s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(dashboard.DashboardLink("Tocsin").type(DashboardLinkType.DASHBOARDS).tags(["tocsin"]).keep_time(True))
        .with_variable(
            dashboard.TextBoxVariable(RUNBOOKS_VARIABLE)
            .label("Runbooks at")
            .description("Address where this site shows docs/runbooks")
            .default_value("docs/runbooks")
        )
    )
    return made.with_variable(_scanner_variable()) if scanners else made


def rows(made: dashboard.Dashboard, *parts: tuple[str, tuple[Panel, ...]]) -> dashboard.Dashboard:
    """Fill a dashboard: a title and the panels below it, part by part."""
    for title, panels in parts:
        made.with_row(dashboard.Row(title))
        for panel in panels:
            made.with_panel(panel)
    return made


def figure(
    title: str, description: str, expression: str, unit: str, steps: Steps = (), *, runbook: str = "", empty: str = ""
) -> stat.Panel:
    """One number, coloured."""
    panel = (
        stat.Panel()
        .title(title)
        .description(_described(description, runbook))
        .datasource(SOURCE)
        .unit(unit)
        .thresholds(_thresholds(steps))
        .color_mode(BigValueColorMode.BACKGROUND)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_query("A", expression, title))
        .height(4)
        .span(4)
    )
    if empty:
        panel.no_value(empty)
    if runbook:
        panel.links([_runbook_link(runbook)])
    return panel


def lines(
    title: str,
    description: str,
    series: Mapping[str, str],
    unit: str,
    steps: Steps = (),
    *,
    runbook: str = "",
    stacked: bool = False,
    span: int = 12,
) -> timeseries.Panel:
    """Curves over time. ``series``: expression by legend."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(_described(description, runbook))
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .fill_opacity(25 if stacked else 5)
        .line_width(1)
        .height(8)
        .span(span)
    )
    for number, (legend, expression) in enumerate(series.items()):
        panel.with_target(_query(chr(ord("A") + number), expression, legend))
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if steps:
        panel.thresholds(_thresholds(steps))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    if runbook:
        panel.links([_runbook_link(runbook)])
    return panel


def bars(
    title: str,
    description: str,
    series: Mapping[str, str],
    unit: str,
    steps: Steps = (),
    *,
    span: int = 12,
    height: int = 9,
) -> bargauge.Panel:
    """Horizontal bars of the newest values. ``series``: expression by legend."""
    panel = (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .orientation(VizOrientation.HORIZONTAL)
        .thresholds(_thresholds(steps))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .height(height)
        .span(span)
    )
    for number, (legend, expression) in enumerate(series.items()):
        panel.with_target(_query(chr(ord("A") + number), expression, legend).instant())
    return panel


def heat(title: str, description: str, histogram: str, *, span: int = 12) -> heatmap.Panel:
    """How often which latency, over time."""
    expression = f"sum by (le) (increase({histogram}_bucket[$__rate_interval]))"
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit("s")
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
        .with_target(_query("A", expression, "{{le}}").format(PromQueryFormat.HEATMAP))
        .height(8)
        .span(span)
    )


def quantile(histogram: str, q: str, window: str = "$__rate_interval", matchers: str = "") -> str:
    """Expression for a quantile of a histogram over all instances."""
    return f"histogram_quantile({q}, sum by (le) (increase({histogram}_bucket{matchers}[{window}])))"


def per_second(metric: str, by: str, matchers: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{matchers}[$__rate_interval]))"


def counted(metric: str, by: str, window: str = "$__range") -> str:
    return f"sum by ({by}) (increase({metric}[{window}]))"


def _query(ref: str, expression: str, legend: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(ref).expr(expression).legend_format(legend).datasource(SOURCE)


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    first = Threshold(value=None, color=GREEN)
    if steps and steps[0][0] == BELOW:
        first, steps = Threshold(value=None, color=steps[0][1]), steps[1:]
    rest = [Threshold(value=at, color=colour) for at, colour in steps]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([first, *rest])


def _described(description: str, runbook: str) -> str:
    return f"{description} Runbook: docs/runbooks/{runbook}.md" if runbook else description


def _runbook_link(runbook: str) -> dashboard.DashboardLink:
    return dashboard.DashboardLink("Runbook").url(f"${{{RUNBOOKS_VARIABLE}}}/{runbook}.md").target_blank(True)


def _scanner_variable() -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable("scanner")
        .label("Scanner")
        .description("Calling AE titles that the settings name; the others are one")
        .datasource(SOURCE)
        .query("label_values(tocsin_listener_scanner_slices_total, scanner)")
        .include_all(True)
        .all_value(".*")
        .multi(True)
    )
