"""Scanners, the listener, its spool and its disk."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.grafana.panels import (
    BELOW,
    ORANGE,
    RED,
    bars,
    board,
    counted,
    figure,
    lines,
    per_second,
    quantile,
    rows,
)

HEARD = "tocsin_listener_scanner_last_slice_timestamp_seconds"


def ingest() -> Dashboard:
    chosen = '{scanner=~"$scanner"}'
    return rows(
        board("ingest", "ingest", "Scanners, the listener and its spool.", scanners=True),
        (
            "Scanners",
            (
                lines(
                    "Slices by scanner",
                    "Frames accepted.",
                    {"{{scanner}}": per_second("tocsin_listener_scanner_slices_total", "scanner", chosen)},
                    "cps",
                    stacked=True,
                ),
                bars(
                    "Since the last slice",
                    "Of each scanner that has been heard since the listener's start.",
                    {"{{scanner}}": f"time() - max by (scanner) ({HEARD}{chosen} > 0)"},
                    "s",
                    height=8,
                ),
                lines("Associations", "Established now.", {"open": "sum(tocsin_listener_associations_open)"}, "short"),
                lines(
                    "Associations ended and rejected",
                    "Per second, by reason.",
                    {
                        "{{how}}": per_second("tocsin_listener_associations_ended_total", "how"),
                        "rejected: {{reason}}": per_second("tocsin_listener_associations_rejected_total", "reason"),
                    },
                    "cps",
                    runbook="associations-rejected",
                ),
            ),
        ),
        (
            "Objects",
            (
                lines(
                    "Refused",
                    "Objects answered with a failure status, by reason.",
                    {"{{reason}}": counted("tocsin_listener_objects_refused_total", "reason", "$__rate_interval")},
                    "short",
                    runbook="slices-refused",
                ),
                lines(
                    "Repeated and conflicting",
                    "Objects that came before, unchanged or with other content.",
                    {
                        "repeated": "sum(increase(tocsin_listener_objects_repeated_total[$__rate_interval]))",
                        "conflicting": "sum(increase(tocsin_listener_objects_conflicting_total[$__rate_interval]))",
                    },
                    "short",
                ),
                lines(
                    "Request to disk",
                    "From a whole C-STORE request to its durability.",
                    {f"p{q}": quantile("tocsin_listener_store_seconds", f"0.{q}") for q in ("50", "95", "99")},
                    "s",
                ),
                lines(
                    "Bytes",
                    "Received from scanners.",
                    {"received": "sum(rate(tocsin_listener_bytes_received_total[$__rate_interval]))"},
                    "Bps",
                ),
            ),
        ),
        (
            "The spool",
            (
                lines(
                    "Age",
                    "Of the oldest slice that waits for Kafka.",
                    {"{{instance}}": "tocsin_listener_spool_oldest_seconds"},
                    "s",
                    ((10, RED),),
                    runbook="spool-ageing",
                ),
                lines(
                    "Filled",
                    "Share of the bytes that the spool may take.",
                    {"{{instance}}": "tocsin_listener_spool_bytes / tocsin_listener_spool_limit_bytes"},
                    "percentunit",
                    ((0.7, RED),),
                    runbook="spool-ageing",
                ),
                lines(
                    "Disk to Kafka",
                    "From durability to the broker's acknowledgement.",
                    {f"p{q}": quantile("tocsin_listener_publish_seconds", f"0.{q}") for q in ("50", "95", "99")},
                    "s",
                ),
                lines(
                    "Published",
                    "Messages that Kafka acknowledged, by topic; attempts that failed.",
                    {
                        "{{topic}}": per_second("tocsin_listener_published_total", "topic"),
                        "failed": "sum(rate(tocsin_listener_publish_failures_total[$__rate_interval]))",
                    },
                    "cps",
                    runbook="kafka-unreachable",
                ),
                lines(
                    "Disk free",
                    "Share of each disk that holds data of ours.",
                    {"{{job}} {{volume}}": "tocsin_disk_free_bytes / tocsin_disk_size_bytes"},
                    "percentunit",
                    runbook="disk-full",
                ),
                figure(
                    "Certificate ends in",
                    "The first of those that the listener uses.",
                    "min(tocsin_certificate_expiry_timestamp_seconds) - time()",
                    "s",
                    ((BELOW, RED), (2 * 86400, ORANGE), (21 * 86400, "green")),
                    runbook="certificate-expiring",
                    empty="no TLS",
                ),
            ),
        ),
    )
