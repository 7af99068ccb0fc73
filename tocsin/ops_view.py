"""What an engineer on call would ask a node first, from the services' own ``/metrics``: a small table.

Prometheus and Grafana keep the history (docs/monitoring.md); this is the moment.
"""

from collections.abc import Mapping

from rich.table import Table

from tocsin.samples import Samples

PROMISE_SECONDS = "30.0"
"""The bucket of the promise."""
ALERTED = "tocsin_alerts_decisive_slice_to_alert_delivered_seconds"
READ = "tocsin_streams_slice_accepted_to_processed_seconds"


def ops_table(seen: Samples) -> Table:
    """The table."""
    table = Table(title="What ops see", title_justify="left", show_header=False)
    for question, answer in rows(seen):
        table.add_row(question, answer)
    return table


def rows(seen: Samples) -> list[tuple[str, str]]:
    """Question and answer."""
    alerts, in_time = seen.total(f"{ALERTED}_count"), seen.total(f"{ALERTED}_bucket", le=PROMISE_SECONDS)
    accepted, refused = (seen.total(f"tocsin_listener_{what}_total") for what in ("slices_accepted", "objects_refused"))
    lag = "tocsin_kafka_consumer_lag_messages"
    return [
        ("Alerts within 30 s of the decisive slice", f"{in_time:.0f} of {alerts:.0f}, {_mean(seen, ALERTED)}"),
        ("Slices accepted, refused", f"{accepted:.0f}, {refused:.0f}"),
        (
            "Waiting in the spool, at the broker",
            f"{seen.total('tocsin_listener_spool_messages'):.0f}, {seen.total(lag):.0f}",
        ),
        ("Slices worked", f"{_listed(seen.by('tocsin_streams_slices_total', 'outcome'))}; {_mean(seen, READ)}"),
        ("Series closed", _listed(seen.by("tocsin_streams_series_total", "outcome"))),
        ("Messages to doctors", _listed(seen.by("tocsin_alerts_notifications_total", "outcome"))),
        ("Dead letters", f"{seen.total('tocsin_kafka_topic_end_offset', topic='triage.deadletter.v1'):.0f}"),
        ("Broken laws, by the auditor", f"{seen.total('tocsin_alerts_audit_violations'):.0f}"),
    ]


def _mean(seen: Samples, histogram: str) -> str:
    count = seen.total(f"{histogram}_count")
    return f"{seen.total(f'{histogram}_sum') / count:.2f} s on average" if count else "none yet"


def _listed(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {count:.0f}" for name, count in counts.items()) or "none"
