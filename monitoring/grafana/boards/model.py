"""The reader: which one, how fast, and does it see what it was calibrated on?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.grafana.panels import (
    ANY,
    MUST_BE_ONE,
    RED,
    bars,
    board,
    figure,
    lines,
    quantile,
    rows,
)

WORKERS_BY_MODEL = "count by (name, version, runtime) (tocsin_streams_model_info)"
READINGS = "sum by (instance) (rate(tocsin_streams_inference_seconds_count[$__rate_interval]))"


def model() -> Dashboard:
    total = "(sum(increase(tocsin_streams_series_score_count[$__range])) > 0)"
    scored = 'sum by (le) (increase(tocsin_streams_series_score_bucket{le!="+Inf"}[$__range]))'
    observed = f"{scored} / on () group_left () {total}"
    return rows(
        board("model", "model", "The reader: which one, how fast, and does it see what it was calibrated on?"),
        (
            "In use",
            (
                bars(
                    "Model and runtime",
                    "Workers by what they read with.",
                    {"{{name}} {{version}} on {{runtime}}": WORKERS_BY_MODEL},
                    "short",
                    span=16,
                    height=4,
                ),
                figure(
                    "Model loaded",
                    "1 while every worker has one.",
                    "min(tocsin_streams_model_loaded)",
                    "short",
                    MUST_BE_ONE,
                    runbook="no-model",
                ),
                figure(
                    "Degraded workers",
                    "That read on a slower device than configured.",
                    "sum(tocsin_streams_model_degraded)",
                    "short",
                    ANY,
                    runbook="model-degraded",
                ),
                lines(
                    "Inference",
                    "Reading one slice or slab.",
                    {f"p{q}": quantile("tocsin_streams_inference_seconds", f"0.{q}") for q in ("50", "95", "99")},
                    "s",
                    ((1, RED),),
                    runbook="inference-slow",
                ),
                lines(
                    "Readings",
                    "Per second, by worker.",
                    {"{{instance}}": READINGS},
                    "cps",
                ),
            ),
        ),
        (
            "Drift, without any label",
            (
                bars(
                    "Scores of the time shown",
                    "Share of series with a score of at most …",
                    {"{{le}}": observed},
                    "percentunit",
                    height=12,
                ),
                bars(
                    "Reference at a prevalence of 10 %",
                    "The same share on the calibration set.",
                    {"{{le}}": 'max by (le) (tocsin_streams_reference_score_share{prevalence="0.1"})'},
                    "percentunit",
                    height=12,
                ),
                lines(
                    "Distance from the reference",
                    "Kolmogorov-Smirnov, of the last week, at the prevalence that fits best; tolerance at 1 %.",
                    {"distance": "tocsin:score_drift:distance1w", "tolerance": "tocsin:score_drift:tolerance1w"},
                    "percentunit",
                    runbook="model-drift",
                ),
                lines(
                    "Share of positives",
                    "Of the decided series of the last day and of the last four weeks.",
                    {
                        "last day": "tocsin:positive_series:increase1d / (tocsin:decided_series:increase1d > 0)",
                        "last four weeks": "tocsin:positive_series:ratio4w",
                    },
                    "percentunit",
                    runbook="model-drift",
                ),
                lines(
                    "Slices not read",
                    "Per hour, by reason.",
                    {"{{outcome}}": 'sum by (outcome) (increase(tocsin_streams_slices_total{outcome!="read"}[1h]))'},
                    "short",
                    runbook="series-failed",
                    span=24,
                ),
            ),
        ),
    )
