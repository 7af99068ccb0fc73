"""Kafka and the stream workers: do they keep up?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.grafana.panels import (
    ANY,
    MUST_BE_ONE,
    RED,
    SERVICES,
    board,
    counted,
    figure,
    lines,
    per_second,
    quantile,
    rows,
)


def streams() -> Dashboard:
    return rows(
        board("streams", "streams", "Kafka and the stream workers: do they keep up?"),
        (
            "The broker",
            (
                lines(
                    "Messages that wait",
                    "Beyond what each group has committed, asked of the broker.",
                    {"{{group}} {{topic}}": "max by (group, topic) (tocsin_kafka_consumer_lag_messages)"},
                    "short",
                    runbook="consumer-lag",
                ),
                lines(
                    "Age of the oldest of them",
                    "The promise is 30 s.",
                    {"{{group}} {{topic}}": "max by (group, topic) (tocsin_kafka_consumer_oldest_waiting_seconds)"},
                    "s",
                    ((10, RED),),
                    runbook="consumer-lag",
                ),
                lines(
                    "Consumers",
                    "Members of each group.",
                    {"{{group}}": "max by (group) (tocsin_kafka_group_members)"},
                    "short",
                    runbook="consumer-lag",
                ),
                lines(
                    "Messages",
                    "Written per second, by topic.",
                    {"{{topic}}": "max by (topic) (deriv(tocsin_kafka_topic_end_offset[$__rate_interval]))"},
                    "cps",
                ),
                figure(
                    "Dead letters",
                    "Put there in the time shown.",
                    'max(increase(tocsin_kafka_topic_end_offset{topic="triage.deadletter.v1"}[$__range]))',
                    "short",
                    ANY,
                    runbook="dead-letters",
                ),
                figure(
                    "Brokers",
                    "Of the cluster, that are there.",
                    "max(tocsin_kafka_brokers)",
                    "short",
                    MUST_BE_ONE,
                    runbook="kafka-unreachable",
                ),
                figure(
                    "Partitions short of copies",
                    "Of our topics.",
                    "max(tocsin_kafka_under_replicated_partitions)",
                    "short",
                    ANY,
                    runbook="kafka-under-replicated",
                ),
            ),
        ),
        (
            "The workers",
            (
                lines(
                    "Slices worked",
                    "Per second, by what became of them.",
                    {"{{outcome}}": per_second("tocsin_streams_slices_total", "outcome")},
                    "cps",
                    stacked=True,
                    runbook="series-failed",
                ),
                lines(
                    "Slice accepted to read",
                    "From a slice's C-STORE to its reading being durable.",
                    {
                        f"p{q}": quantile("tocsin_streams_slice_accepted_to_processed_seconds", f"0.{q}")
                        for q in ("50", "95", "99")
                    },
                    "s",
                    ((10, RED),),
                    runbook="consumer-lag",
                ),
                lines(
                    "Series that are arriving",
                    "Open now, by worker.",
                    {"{{instance}}": "tocsin_streams_open_series"},
                    "short",
                ),
                lines(
                    "Series closed",
                    "Per hour, by the evidence that they were complete.",
                    {"{{closed_by}}": counted("tocsin_streams_series_closed_total", "closed_by", "1h")},
                    "short",
                    stacked=True,
                ),
                lines(
                    "Last slice to final result",
                    "Series whose association was released close within seconds; others wait for quiet.",
                    {
                        f"p{q}": quantile("tocsin_streams_last_slice_to_final_seconds", f"0.{q}", "1h")
                        for q in ("50", "95")
                    },
                    "s",
                ),
                lines(
                    "Findings",
                    "Published per hour, by status.",
                    {"{{status}}": counted("tocsin_streams_findings_total", "status", "1h")},
                    "short",
                    stacked=True,
                ),
            ),
        ),
        (
            "The processes",
            (
                lines(
                    "Processor",
                    "Cores in use.",
                    {"{{job}} {{instance}}": f"rate(process_cpu_seconds_total{SERVICES}[$__rate_interval])"},
                    "short",
                ),
                lines(
                    "Memory",
                    "Resident.",
                    {"{{job}} {{instance}}": f"process_resident_memory_bytes{SERVICES}"},
                    "bytes",
                ),
                lines(
                    "Starts",
                    "Within the last hour.",
                    {"{{job}} {{instance}}": f"changes(process_start_time_seconds{SERVICES}[1h])"},
                    "short",
                    runbook="service-restarting",
                ),
                lines(
                    "Clocks",
                    "Difference from Prometheus's clock.",
                    {"{{job}} {{instance}}": "abs(tocsin_clock_seconds - timestamp(tocsin_clock_seconds))"},
                    "s",
                    ((2, RED),),
                    runbook="clock-wrong",
                ),
            ),
        ),
    )
