"""Are we keeping the promise? The page for the wall, and the first one to look at."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.grafana.panels import (
    ALERTED,
    ANY,
    BELOW,
    MUST_BE_ONE,
    ORANGE,
    PROMISE,
    RED,
    SERVICES,
    board,
    counted,
    figure,
    heat,
    lines,
    quantile,
    rows,
)


def overview() -> Dashboard:
    in_time = f'sum(increase({ALERTED}_bucket{{le="30.0"}}[$__range])) / (sum(increase({ALERTED}_count[$__range])) > 0)'
    return rows(
        board("overview", "overview", "Are we keeping the promise? From the decisive slice to the doctor within 30 s."),
        (
            "The promise",
            (
                figure(
                    "Alerts in time",
                    "Share that a channel accepted within 30 s of the decisive slice; 99 % are promised.",
                    in_time,
                    "percentunit",
                    ((BELOW, RED), (0.99, "green")),
                    runbook="alerts-are-late",
                    empty="no alert",
                ),
                figure(
                    "Decisive slice to delivery, p95",
                    "Of the alerts in the time shown.",
                    quantile(ALERTED, "0.95", "$__range"),
                    "s",
                    PROMISE,
                    runbook="alerts-are-late",
                    empty="no alert",
                ),
                figure(
                    "Oldest study without a result",
                    "Since its first slice.",
                    "max(tocsin_alerts_studies_without_result_oldest_seconds)",
                    "s",
                    ((120, ORANGE), (300, RED)),
                    runbook="outcome-missing",
                ),
                figure(
                    "Oldest undelivered message",
                    "To a doctor.",
                    "max(tocsin_alerts_outbox_oldest_seconds)",
                    "s",
                    PROMISE,
                    runbook="alert-not-delivered",
                ),
                figure(
                    "Alerts without an answer",
                    "That wait for a human.",
                    "max(tocsin_alerts_unacknowledged)",
                    "short",
                    ((1, ORANGE),),
                    runbook="alert-unanswered",
                ),
                figure(
                    "Rules that fire",
                    "Of severity warning or critical.",
                    'count(ALERTS{alertstate="firing",severity!="none",alertname=~"Tocsin.*"}) or vector(0)',
                    "short",
                    ANY,
                ),
            ),
        ),
        (
            "The parts",
            (
                figure(
                    "Services that answer",
                    "Of listener, streams, alerts and monitoring.",
                    f"count(up{SERVICES} == 1)",
                    "short",
                    ((BELOW, RED), (4, "green")),
                    runbook="target-down",
                ),
                figure(
                    "Kafka",
                    "1 while the broker answers.",
                    "max(tocsin_kafka_up)",
                    "short",
                    MUST_BE_ONE,
                    runbook="kafka-unreachable",
                ),
                figure(
                    "Model",
                    "1 while every worker has one.",
                    "min(tocsin_streams_model_loaded)",
                    "short",
                    MUST_BE_ONE,
                    runbook="no-model",
                ),
                figure(
                    "Oldest slice in the spool",
                    "Accepted and not yet in Kafka.",
                    "max(tocsin_listener_spool_oldest_seconds)",
                    "s",
                    ((5, ORANGE), (10, RED)),
                    runbook="spool-ageing",
                ),
                figure(
                    "Oldest unread message",
                    "At the broker, over all consumers.",
                    "max(tocsin_kafka_consumer_oldest_waiting_seconds)",
                    "s",
                    ((5, ORANGE), (10, RED)),
                    runbook="consumer-lag",
                ),
                figure(
                    "Last dead-man's study",
                    "Since one came through; tocsin heartbeat.",
                    "time() - max(tocsin_heartbeat_last_success_timestamp_seconds > 0)",
                    "s",
                    runbook="heartbeat-late",
                    empty="not set up",
                ),
            ),
        ),
        (
            "Over time",
            (
                lines(
                    "Late alerts",
                    "Share that took more than 30 s, by window; 1 % may.",
                    {
                        "last hour": "tocsin:late_alerts:ratio1h",
                        "last 6 hours": "tocsin:late_alerts:ratio6h",
                        "last 3 days": "tocsin:late_alerts:ratio3d",
                    },
                    "percentunit",
                    ((0.01, RED),),
                    runbook="alerts-are-late",
                ),
                heat("Decisive slice to delivery", "How many alerts took how long.", ALERTED),
                lines(
                    "Slices",
                    "Accepted from scanners, and worked by the streams.",
                    {
                        "accepted": "sum(rate(tocsin_listener_slices_accepted_total[$__rate_interval]))",
                        "worked": "sum(rate(tocsin_streams_slices_total[$__rate_interval]))",
                    },
                    "cps",
                ),
                lines(
                    "Series by outcome",
                    "Closed per hour.",
                    {"{{outcome}}": counted("tocsin_streams_series_total", "outcome", "1h")},
                    "short",
                    stacked=True,
                    runbook="series-failed",
                ),
            ),
        ),
    )
