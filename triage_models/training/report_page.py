"""The evaluation as one self-contained HTML page: figures with their intervals, and curves drawn as SVG."""

from html import escape
from typing import Any

from triage_models.labels import LABELS

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}
td,th{padding:.25rem .8rem;text-align:left;border-bottom:1px solid #ddd}
.warn{background:#fff4d6;border-left:4px solid #c80;padding:.5rem 1rem}
svg{background:#fafafa;border:1px solid #ddd}
figure{display:inline-block;margin:0 1rem 1rem 0;vertical-align:top}
figcaption{width:220px;font-size:12px;color:#555}
"""


def page(figures: dict[str, Any]) -> str:
    """The whole page."""
    head = f"<meta charset=utf-8><title>Evaluation</title><style>{_STYLE}</style>"
    return f"<!doctype html>\n<html lang=en>{head}\n{chr(10).join(_parts(figures))}\n</html>\n"


def _parts(figures: dict[str, Any]) -> list[str]:
    model = figures["model"]
    return [
        f"<h1>Evaluation of {escape(model['name'])} {escape(model['version'])}</h1>",
        "<p class=warn>Not a medical device. Figures hold for the data named below and for nothing else.</p>",
        f"<p>{figures['cases']} series, {figures['positive_cases']} with a bleed.</p>",
        f"<p>Slices that could not be read: {figures['unreadable_slices']}.</p>",
        f"<p>Data: {escape(str(figures.get('data', 'not named')))}.</p>",
        _section("Whole series", figures["series"], _curves(figures)),
        _section("Single slices", figures["slices"]),
        _section("Brain-windowed pictures", figures.get("pictures", {})),
        "<h2>While slices arrive</h2>",
        _pairs(figures["anytime"]),
        *(f"<h2>{title}</h2>{_groups(figures[key])}" for title, key in _GROUPS),
        "<h2>Midline shift</h2>",
        _pairs(figures["midline_shift"]) if figures["midline_shift"] else "<p>No truth to compare with.</p>",
    ]


_GROUPS = (
    ("By volume (mL)", "by_volume_ml"),
    ("By type", "by_type"),
    ("By slice thickness (mm)", "by_thickness_mm"),
    ("By kernel", "by_kernel"),
    ("Measured volumes", "volumes"),
)


def _section(title: str, figures: dict[str, Any], curves: str = "") -> str:
    if not figures:
        return ""
    table = f"<table><tr><th>label<th>positive of {figures['n']}{_HEADS}</tr>{_label_rows(figures)}</table>"
    return f"<h2>{title}</h2>{table}{_operating(figures)}{_reliability_plot(figures['reliability'])}{curves}"


_HEADS = "<th>AUC (95 % interval)<th>calibration error"


def _label_rows(figures: dict[str, Any]) -> str:
    counts, aucs, errors = figures["n_positive"], figures["auc"], figures["calibration_errors"]
    return "".join(
        f"<tr><td>{name}<td>{counts[name]}<td>{_interval(aucs[name])}<td>{errors[name]:.3f}" for name in LABELS
    )


def _operating(figures: dict[str, Any]) -> str:
    sensitivity, specificity = _interval(figures["sensitivity"]), _interval(figures["specificity"])
    text = f"sensitivity {sensitivity}, specificity {specificity}, calibration error {figures['calibration_error']}"
    return f"<p>At threshold {figures['threshold']}: {text}.</p>"


def _interval(value: dict[str, float | None]) -> str:
    if value["value"] is None:
        return "not available"
    low, high = ("?" if value[k] is None else f"{value[k]:.3f}" for k in ("low", "high"))
    return f"{value['value']:.3f} ({low}–{high})"


def _reliability_plot(points: list[dict[str, float]]) -> str:
    """Predicted against observed share, 220×220."""
    dots = "".join(_dot(p["predicted"], p["observed"], int(p["n"])) for p in points)
    diagonal = "<line x1=10 y1=210 x2=210 y2=10 stroke='#999'/>"
    return _plot("observed against predicted share", diagonal + dots)


def _plot(label: str, drawn: str) -> str:
    """Shares from 0 to 1 on both axes, with what they are below."""
    svg = f"<svg width=220 height=220 role=img aria-label='{label}'>{drawn}</svg>"
    return f"<figure>{svg}<figcaption>{label} (0 to 1)</figcaption></figure>"


def _dot(predicted: float, observed: float, count: int) -> str:
    x, y, r = 10 + 200 * predicted, 210 - 200 * observed, 2 + min(6.0, count**0.4)
    title = f"<title>{count} at {predicted:.2f}: {observed:.2f}</title>"
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{r:.1f}' fill='#2563eb' fill-opacity='.6'>{title}</circle>"


def _curves(figures: dict[str, Any]) -> str:
    """ROC of `any`, and the share of positives told by the share of slices seen."""
    roc = [(p["false"], p["true"]) for p in figures["series"]["roc"]]
    told = [(p["seen"], p["told"]) for p in figures["told_by_share"]]
    return _curve("sensitivity against share of false alarms", roc) + _curve("share told against slices seen", told)


def _curve(label: str, points: list[tuple[float, float]]) -> str:
    """A line through shares, 220×220."""
    if not points:
        return ""
    line = " ".join(f"{10 + 200 * x:.1f},{210 - 200 * y:.1f}" for x, y in points)
    return _plot(label, f"<polyline points='{line}' fill=none stroke='#2563eb' stroke-width='2'/>")


def _pairs(table: dict[str, Any]) -> str:
    rows = "".join(f"<tr><td>{escape(k.replace('_', ' '))}<td>{escape(_plain(v))}" for k, v in table.items())
    return f"<table>{rows}</table>"


def _groups(groups: dict[str, dict[str, Any]]) -> str:
    if not groups:
        return "<p>None.</p>"
    names = list(next(iter(groups.values())))
    head = "".join(f"<th>{escape(n.replace('_', ' '))}" for n in names)
    rows = "".join(f"<tr><td>{escape(key)}{_cells(values, names)}" for key, values in groups.items())
    return f"<table><tr><th>group{head}</tr>{rows}</table>"


def _cells(values: dict[str, Any], names: list[str]) -> str:
    return "".join(f"<td>{escape(_plain(values.get(name)))}" for name in names)


def _plain(value: Any) -> str:
    if isinstance(value, dict) and {"value", "low", "high"} <= set(value):
        return _interval(value)
    if isinstance(value, dict):
        return ", ".join(f"{k.replace('_', ' ')} {_plain(v)}" for k, v in value.items())
    return "not available" if value is None else str(value)
