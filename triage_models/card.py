"""The model card: a manifest in words, for whoever decides whether to use the model."""

from triage_models.manifest import Manifest, Threshold


def model_card(m: Manifest) -> str:
    """Markdown, generated: edit the manifest or the training, never the card."""
    return "\n".join(
        [
            f"# Model card: {m.name} {m.version}",
            "",
            "*Generated from the model's manifest by `tocsin model card`. **Not a medical device.***",
            "",
            "## For what",
            m.intended_use,
            "",
            f"**Not for:** {m.not_intended_for}",
            "",
            "## Learnt from",
            m.training_data,
            "",
            f"Trained on {m.trained_on.isoformat()} ({m.training_hardware}); code {m.code_version}; {m.license}.",
            "",
            "## Sees",
            _sees(m),
            "",
            "## Says",
            _says(m),
            "",
            "| threshold | value | negatives above | chosen on | how |",
            "|---|---|---|---|---|",
            _row("provisional (while slices arrive)", m.thresholds.provisional),
            _row("final (closed series)", m.thresholds.final),
            _row("single slice", m.thresholds.slice),
            "",
            "## Figures",
            *_metrics(m),
            *_volume_errors(m),
            "",
            "## Limits",
            *(f"- {limit}" for limit in m.limitations),
            "",
            "## Files",
            *(f"- `{name}` sha256 `{digest}`" for name, digest in m.files.items()),
            "",
        ]
    )


def _sees(m: Manifest) -> str:
    window = f"Hounsfield units {m.input.low_hu:g} to {m.input.high_hu:g} only"
    size = f"{m.input.size} × {m.input.size}"
    return f"The head's box of one axial slice, {size}, {window}; what lies outside that window cannot influence it."


def _says(m: Manifest) -> str:
    return (
        f"Six probabilities ({', '.join(m.labels)}), a heat map, areas per type, and a series score that is valid on "
        "any part of a series in any order. The probabilities are calibrated with both classes weighted equally, as if "
        "half of what is read showed the label." + _shift(m)
    )


def _shift(m: Manifest) -> str:
    fit = m.measurements.midline_shift_mm
    return (
        "" if fit is None else f" A midline shift, where it can be measured: {fit.low:+g} to {fit.high:+g} mm (95 %)."
    )


def _row(name: str, t: Threshold) -> str:
    cases = f"{t.n_negative} negative, {t.n_positive} positive, {t.chosen_on.isoformat()}"
    return f"| {name} | {t.value:.4f} | {t.alpha:.3f} | {cases} | {t.method} |"


def _metrics(m: Manifest) -> list[str]:
    if not m.metrics:
        return ["None recorded."]
    return [
        "| figure | value |",
        "|---|---|",
        *(f"| {name} | {value:g} |" for name, value in sorted(m.metrics.items())),
    ]


def _volume_errors(m: Manifest) -> list[str]:
    if not m.volume_errors:
        return []
    return [
        "",
        "True over measured volume where both are at least 0.5 mL:",
        "",
        "| type | 2.5 % | median | 97.5 % |",
        "|---|---|---|---|",
        *(f"| {name} | {low:g} | {middle:g} | {high:g} |" for name, (low, middle, high) in m.volume_errors.items()),
    ]
