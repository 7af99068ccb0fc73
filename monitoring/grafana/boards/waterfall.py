"""Where the seconds of a case go, stage by stage."""

from grafana_foundation_sdk.builders.dashboard import CustomVariable, Dashboard

from monitoring.grafana.panels import (
    ALERTED,
    ORANGE,
    PROMISE,
    RED,
    bars,
    board,
    heat,
    quantile,
    rows,
)

STAGES = {
    "scanner request to disk": "tocsin_listener_store_seconds",
    "disk to Kafka": "tocsin_listener_publish_seconds",
    "slice accepted to read": "tocsin_streams_slice_accepted_to_processed_seconds",
    "of that, inference": "tocsin_streams_inference_seconds",
    "decisive slice to finding": "tocsin_streams_decisive_slice_to_finding_seconds",
    "finding to delivery": "tocsin_alerts_finding_to_delivered_seconds",
    "decisive slice to delivery": ALERTED,
}
CLOCKS = {
    "first slice to delivery": "tocsin_alerts_first_slice_to_alert_delivered_seconds",
    "first slice to final result": "tocsin_streams_first_slice_to_final_seconds",
    "last slice to final result": "tocsin_streams_last_slice_to_final_seconds",
}


def waterfall() -> Dashboard:
    made = board(
        "waterfall",
        "case waterfall",
        "Where the seconds of a case go. Metrics carry no key of a case: this is the case at the chosen quantile.",
    ).with_variable(CustomVariable("quantile").label("Quantile").values("0.5,0.9,0.95,0.99"))
    return rows(
        made,
        (
            "A case at the chosen quantile, in the time shown",
            (
                bars(
                    "Stages",
                    "From the scanner's request to the channel's acceptance.",
                    {name: quantile(metric, "$quantile", "$__range") for name, metric in STAGES.items()},
                    "s",
                    PROMISE,
                ),
                bars(
                    "Clocks",
                    "From the first and the last slice.",
                    {name: quantile(metric, "$quantile", "$__range") for name, metric in CLOCKS.items()},
                    "s",
                    ((60, ORANGE), (300, RED)),
                ),
            ),
        ),
        (
            "Each stage over time",
            tuple(
                heat(name[0].upper() + name[1:], "How many took how long.", metric)
                for name, metric in (STAGES | CLOCKS).items()
            ),
        ),
    )
