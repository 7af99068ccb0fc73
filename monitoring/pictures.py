"""``python -m monitoring.pictures``: the dashboards as pictures, from a Prometheus. Needs the ``pictures`` extra.

Every panel is asked as Grafana asks it, by the files under ``grafana/dashboards``; nothing in a picture comes from
anywhere else. For documents, and for a machine without Grafana.
"""

import argparse
import io
import json
import math
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from PIL import Image

DASHBOARDS = Path(__file__).parent / "grafana" / "dashboards"

COLUMNS = 24
"""Of Grafana's grid."""
WIDTH_INCHES, ROW_INCHES, DOTS_PER_INCH = 12.0, 0.27, 80
GAP = 0.35
"""Between panels, in rows of the grid."""
TITLE_ROWS, LEGEND_ROWS, LEFT_COLUMNS = 1.3, 1.6, 1.0
POINTS = 240
"""Of a curve."""
PALETTE_COLOURS = 96
"""Enough for curves and text, and a third of the bytes."""
MOST_IN_LEGEND = 7
LEGEND_LETTERS = 84
"""In a line below the curves."""
MOST_BOUNDS = 9
"""Named beside a heat map."""
SCRAPE_SECONDS = 15.0
"""``$__rate_interval`` is four scrapes, as Grafana has it."""
TIMEOUT_SECONDS = 30.0

COLOURS = {"green": "#3f9a55", "orange": "#e58a1f", "red": "#cf3c42"}
STYLE = {"font.family": "DejaVu Sans", "font.size": 8.0, "axes.edgecolor": "#c8ccd2", "axes.linewidth": 0.8}


@dataclass(frozen=True)
class Sample:
    """One time series: its labels, its instants and its values."""

    labels: dict[str, str]
    times: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Source:
    """A Prometheus, and the time that is shown."""

    url: str
    start: float
    end: float

    def filled(self, expression: str) -> str:
        """With Grafana's variables put in; the longest first, for some begin alike."""
        shown = f"{max(1, round(self.end - self.start))}s"
        variables = {"$__rate_interval": f"{4 * SCRAPE_SECONDS:.0f}s", "$__range": shown, "$scanner": ".+"}
        for name, value in (variables | {"$quantile": "0.95"}).items():
            expression = expression.replace(name, value)
        return expression

    def curve(self, expression: str) -> list[Sample]:
        step = max(1.0, (self.end - self.start) / POINTS)
        return self._ask("query_range", expression, start=self.start, end=self.end, step=step)

    def now(self, expression: str) -> list[Sample]:
        return self._ask("query", expression, time=self.end)

    def _ask(self, what: str, expression: str, **at: float) -> list[Sample]:
        parameters = urllib.parse.urlencode({"query": self.filled(expression)} | {k: f"{v:.3f}" for k, v in at.items()})
        request = f"{self.url}/api/v1/{what}?{parameters}"
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - whoever asks names it
            found = json.load(answer)["data"]["result"]
        return [_sample(one) for one in found]


def _sample(one: dict[str, Any]) -> Sample:
    pairs = one.get("values") or [one["value"]]
    return Sample(one["metric"], tuple(float(t) for t, _ in pairs), tuple(float(v) for _, v in pairs))


# One panel


def draw(axes: Axes, panel: dict[str, Any], source: Source) -> bool:
    """Draw a panel; False when there was nothing to draw."""
    size = 7.2 if panel["type"] == "stat" else 9
    axes.set_title(panel["title"], loc="left", fontsize=size, fontweight="bold", color="#24292f", pad=4)
    drawn = {"stat": _figure, "timeseries": _lines, "bargauge": _bars, "heatmap": _heat_map}[panel["type"]](
        axes, panel, source
    )
    if not drawn and panel["type"] != "stat":
        axes.text(0.5, 0.5, "no data", ha="center", va="center", color="#8a9099", transform=axes.transAxes)
        axes.set_xticks([])
        axes.set_yticks([])
    return drawn


def _figure(axes: Axes, panel: dict[str, Any], source: Source) -> bool:
    defaults = panel["fieldConfig"]["defaults"]
    found = [s.values[-1] for s in source.now(panel["targets"][0]["expr"]) if not math.isnan(s.values[-1])]
    text = in_unit(found[0], defaults["unit"]) if found else defaults.get("noValue", "–")
    colour = colour_of(found[0], defaults["thresholds"]["steps"]) if found else "#6a737d"
    axes.set_facecolor(colour)
    axes.set_xticks([])
    axes.set_yticks([])
    for edge in axes.spines.values():
        edge.set_visible(False)
    axes.text(0.5, 0.48, text, ha="center", va="center", color="white", fontsize=17, transform=axes.transAxes)
    return bool(found)


def _lines(axes: Axes, panel: dict[str, Any], source: Source) -> bool:
    defaults = panel["fieldConfig"]["defaults"]
    curves = [(legend(target, s), s) for target in panel["targets"] for s in source.curve(target["expr"])]
    curves = [(name, s) for name, s in curves if not all(math.isnan(v) for v in s.values)]
    curves.sort(key=lambda one: max(one[1].values), reverse=True)
    for name, sample in curves:
        moments = [_moment(t) for t in sample.times]
        (line,) = axes.plot(moments, sample.values, linewidth=1.2, label=name)
        axes.fill_between(moments, sample.values, color=line.get_color(), alpha=0.08)
    for step in defaults.get("thresholds", {}).get("steps", ()):
        if step["value"] is not None and axes.get_ylim()[1] >= step["value"]:
            axes.axhline(step["value"], color=COLOURS.get(step["color"], "grey"), linestyle="--", linewidth=0.9)
    if curves:
        highest = max((v for _, s in curves for v in s.values if not math.isnan(v)), default=0.0)
        axes.set_ylim(0, highest * 1.1 if highest > 0 else 1)
        _time_axis(axes, source, defaults["unit"])
        _legend(axes, len(curves))
    return bool(curves)


def _bars(axes: Axes, panel: dict[str, Any], source: Source) -> bool:
    defaults = panel["fieldConfig"]["defaults"]
    bars = [
        (legend(target, s), s.values[-1])
        for target in panel["targets"]
        for s in source.now(target["expr"])
        if math.isfinite(s.values[-1])
    ]
    names, values = [name for name, _ in bars], [value for _, value in bars]
    colours = [colour_of(value, defaults["thresholds"]["steps"]) for value in values]
    places = range(len(bars))
    axes.barh(places, values, color=colours, height=0.65)
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0, labelsize=7, pad=2)
    axes.set_xticks([])
    axes.invert_yaxis()
    highest = max(values, default=0.0) or 1.0
    axes.set_xlim(0, highest * 1.25)
    for place, value in zip(places, values, strict=True):
        axes.text(value + highest * 0.015, place, in_unit(value, defaults["unit"]), va="center", fontsize=7)
    return bool(bars)


def _heat_map(axes: Axes, panel: dict[str, Any], source: Source) -> bool:
    """Prometheus's buckets are cumulative, Grafana's cells are not."""
    buckets = sorted(source.curve(panel["targets"][0]["expr"]), key=lambda s: float(s.labels["le"]))
    times = sorted({t for s in buckets for t in s.times})
    below = [0.0] * len(times)
    cells: list[list[float]] = []
    for sample in buckets:
        at = dict(zip(sample.times, sample.values, strict=True))
        counts = [at.get(t, 0.0) for t in times]
        cells.append([max(0.0, count - less) for count, less in zip(counts, below, strict=True)])
        below = counts
    filled = [index for index, row in enumerate(cells) if any(row)]
    if not filled:
        return False
    first, last = max(0, filled[0] - 1), min(len(cells) - 1, filled[-1] + 1)
    rows = [[cell or math.nan for cell in row] for row in cells[first : last + 1]]
    moments = [_moment(t) for t in times]
    axes.pcolormesh(moments, range(len(rows)), rows, cmap="Oranges", shading="nearest", vmin=0)
    bounds = [in_unit(float(s.labels["le"]), panel["fieldConfig"]["defaults"]["unit"]) for s in buckets]
    named = range(0, len(rows), 1 + len(rows) // MOST_BOUNDS)
    axes.set_yticks(named, [f"≤ {bounds[first + row]}" for row in named])
    axes.tick_params(labelsize=6.5)
    _dates(axes, source)
    return True


def _time_axis(axes: Axes, source: Source, unit: str) -> None:
    axes.grid(visible=True, color="#eceef1", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7, color="#c8ccd2")
    axes.yaxis.set_major_formatter(lambda value, _place: in_unit(value, unit))
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)
    _dates(axes, source)


def _dates(axes: Axes, source: Source) -> None:
    locator = AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axes.set_xlim(_moment(source.start), _moment(source.end))


def _moment(seconds: float) -> float:
    """On matplotlib's axis of time."""
    return float(date2num(datetime.fromtimestamp(seconds, UTC)))


def _legend(axes: Axes, curves: int) -> None:
    """Below the curves, the highest first."""
    handles, labels = axes.get_legend_handles_labels()
    if curves > MOST_IN_LEGEND:
        handles, labels = (
            handles[:MOST_IN_LEGEND],
            [*labels[: MOST_IN_LEGEND - 1], f"… {curves - MOST_IN_LEGEND + 1} more"],
        )
    axes.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.13),
        ncols=max(1, min(4, LEGEND_LETTERS // (max(map(len, labels), default=0) + 6))),
        fontsize=6.5,
        frameon=False,
        handlelength=1.2,
        columnspacing=1.2,
        borderaxespad=0.0,
    )


def legend(target: dict[str, Any], sample: Sample) -> str:
    """Grafana's ``{{label}}`` filled in."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda m: sample.labels.get(m[1], ""), target["legendFormat"]).strip()


def colour_of(value: float, steps: Sequence[dict[str, Any]]) -> str:
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return COLOURS.get(reached[-1] if reached else "green", "#3f9a55")


def in_unit(value: float, unit: str) -> str:
    """As short as Grafana says it."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return _seconds(value)
    suffix = {"bytes": "B", "Bps": "B/s", "cps": "/s"}.get(unit, "")
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {letter}{suffix}"
    return f"{value:.3g}{f' {suffix}' if suffix else ''}"


def _seconds(value: float) -> str:
    if not math.isfinite(value):
        return "∞"
    for factor, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if abs(value) >= 2 * factor:
            return f"{value / factor:.3g} {name}"
    return f"{1000 * value:.3g} ms" if 0 < abs(value) < 1 else f"{value:.3g} s"


# One dashboard


def picture(dashboard: dict[str, Any], source: Source) -> tuple[Figure, list[str]]:
    """A dashboard, laid out as Grafana does, and the titles of the panels that had nothing to show."""
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"]) + 2
    empty = []
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, rows * ROW_INCHES), dpi=DOTS_PER_INCH, facecolor="#f6f7f9")
        until = datetime.fromtimestamp(source.end, UTC)
        minutes = (source.end - source.start) / 60
        title = f"{dashboard['title']} — {minutes:.0f} minutes until {until:%Y-%m-%d %H:%M} UTC"
        figure.text(0.012, 1 - 0.9 / rows, title, fontsize=11, fontweight="bold", color="#24292f", va="center")
        for panel in dashboard["panels"]:
            if panel["type"] == "row":
                y = 1 - (panel["gridPos"]["y"] + 2 + 0.55) / rows
                figure.text(0.012, y, panel["title"], fontsize=9, color="#57606a", va="center")
            elif not draw(figure.add_axes(_place(panel, rows)), panel, source):
                empty.append(panel["title"])
    assert panels
    return figure, empty


def _place(panel: dict[str, Any], rows: float) -> tuple[float, float, float, float]:
    """Left, bottom, width and height of a panel's axes, as shares of the picture."""
    at = panel["gridPos"]
    of_curves = panel["type"] in ("timeseries", "heatmap")
    below = LEGEND_ROWS + 0.6 if panel["type"] == "timeseries" else 0.9 if of_curves else GAP / 2
    left = LEFT_COLUMNS if of_curves else 4.3 if panel["type"] == "bargauge" else 0.15
    top = at["y"] + 2 + TITLE_ROWS
    height = at["h"] - TITLE_ROWS - below
    return (
        (at["x"] + left) / COLUMNS,
        1 - (top + height) / rows,
        (at["w"] - left - 0.25) / COLUMNS,
        height / rows,
    )


def written(figure: Figure, path: Path) -> int:
    """As a small PNG; returns its bytes."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(PALETTE_COLOURS).save(path, optimize=True)
    return path.stat().st_size


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m monitoring.pictures", description="Draw the dashboards.")
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", metavar="URL")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the past that are shown")
    parser.add_argument("--board", action="append", metavar="NAME", help="one dashboard; all of them when absent")
    parser.add_argument("--out", type=Path, default=Path(), metavar="FOLDER")
    asked = parser.parse_args(None if arguments is None else list(arguments))
    boards = asked.board or sorted(path.stem for path in DASHBOARDS.glob("*.json"))
    now = time.time()
    source = Source(asked.prometheus.rstrip("/"), now - 60 * asked.minutes, now)
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in boards:
        try:
            dashboard = json.loads((DASHBOARDS / f"{name}.json").read_text())
            figure, empty = picture(dashboard, source)
        except FileNotFoundError:
            sys.stderr.write(f"There is no dashboard {name}.\n")
            return 1
        except (urllib.error.URLError, TimeoutError) as error:
            sys.stderr.write(f"{source.url} does not answer as Prometheus does: {error}\n")
            return 1
        path = asked.out / f"dashboard-{name}.png"
        size = written(figure, path)
        without = f"; no data: {', '.join(empty)}" if empty else ""
        sys.stdout.write(f"{path}: {size / 1000:.0f} kB{without}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
