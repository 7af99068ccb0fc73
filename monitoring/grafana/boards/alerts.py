"""From a finding to a doctor's answer."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.grafana.panels import (
    ANY,
    MUST_BE_ONE,
    ORANGE,
    PROMISE,
    RED,
    board,
    counted,
    figure,
    heat,
    lines,
    quantile,
    rows,
)


def alerts() -> Dashboard:
    return rows(
        board("alerts", "alerts", "From a finding to a doctor's answer."),
        (
            "Now",
            (
                figure(
                    "Without an answer",
                    "Alerts that wait for a human.",
                    "max(tocsin_alerts_unacknowledged)",
                    "short",
                    ((1, ORANGE),),
                    runbook="alert-unanswered",
                ),
                figure(
                    "Oldest of them",
                    "Since it was raised.",
                    "max(tocsin_alerts_unacknowledged_oldest_seconds)",
                    "s",
                    ((900, ORANGE), (1800, RED)),
                    runbook="alert-unanswered",
                ),
                figure(
                    "Messages to deliver",
                    "In the outbox.",
                    "max(tocsin_alerts_outbox_depth)",
                    "short",
                    ((5, ORANGE),),
                    runbook="alert-not-delivered",
                ),
                figure(
                    "Oldest of them",
                    "Since it was written.",
                    "max(tocsin_alerts_outbox_oldest_seconds)",
                    "s",
                    PROMISE,
                    runbook="alert-not-delivered",
                ),
                figure(
                    "Broken laws",
                    "What the auditor finds.",
                    "sum(tocsin_alerts_audit_violations)",
                    "short",
                    ANY,
                    runbook="auditor-alarm",
                ),
                figure(
                    "Recipients",
                    "Who are told.",
                    "max(tocsin_alerts_recipients)",
                    "short",
                    MUST_BE_ONE,
                    runbook="nobody-to-tell",
                ),
            ),
        ),
        (
            "Delivery",
            (
                lines(
                    "Notifications",
                    "Attempts per hour, by channel and outcome.",
                    {"{{channel}} {{outcome}}": counted("tocsin_alerts_notifications_total", "channel, outcome", "1h")},
                    "short",
                    stacked=True,
                    runbook="channel-failing",
                ),
                lines(
                    "Finding to delivery",
                    "Until the first channel accepted.",
                    {
                        f"p{q}": quantile("tocsin_alerts_finding_to_delivered_seconds", f"0.{q}", "1h")
                        for q in ("50", "95")
                    },
                    "s",
                    PROMISE,
                    runbook="channel-failing",
                ),
                lines(
                    "Receives findings",
                    "1 while the service is connected.",
                    {"{{instance}}": "tocsin_alerts_consumer_connected"},
                    "short",
                    runbook="findings-not-received",
                ),
                lines(
                    "Events to publish",
                    "On triage.alerts.v1.",
                    {"{{instance}}": "tocsin_alerts_events_unpublished"},
                    "short",
                    runbook="kafka-unreachable",
                ),
            ),
        ),
        (
            "Decisions and answers",
            (
                lines(
                    "Findings",
                    "Taken in per hour, by status.",
                    {"{{status}}": counted("tocsin_alerts_findings_total", "status", "1h")},
                    "short",
                    stacked=True,
                ),
                lines(
                    "Decisions",
                    "Per hour, by reason.",
                    {"{{reason}}": counted("tocsin_alerts_decisions_total", "reason", "1h")},
                    "short",
                    stacked=True,
                    runbook="outcome-missing",
                ),
                lines(
                    "Alerts by answer",
                    "Of the last days.",
                    {"{{answer}}": "max by (answer) (tocsin_alerts_alerts)"},
                    "short",
                    stacked=True,
                ),
                lines(
                    "Events",
                    "Per hour: raised, sent, delivered, escalated, acknowledged, …",
                    {"{{state}}": counted("tocsin_alerts_events_published_total", "state", "1h")},
                    "short",
                    stacked=True,
                ),
                heat(
                    "Raised to acknowledged",
                    "How long until a human answered.",
                    "tocsin_alerts_raised_to_acknowledged_seconds",
                ),
                lines(
                    "Broken laws",
                    "What the auditor finds, by law.",
                    {"{{violation}}": "max by (violation) (tocsin_alerts_audit_violations)"},
                    "short",
                    ((1, RED),),
                    runbook="auditor-alarm",
                ),
            ),
        ),
    )
