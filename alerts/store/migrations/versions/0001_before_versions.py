"""The tables as they were before their versions were kept."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.String(length=32), nullable=False),
        sa.Column("study_key", sa.String(length=32), nullable=False),
        sa.Column("topic", sa.String(length=32), nullable=False),
        sa.Column("claim", sa.String(length=32), nullable=False),
        sa.Column("answer", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("sides", sa.String(length=120), nullable=False),
        sa.Column("leading", sa.String(length=120), nullable=True),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("series_key", sa.String(length=32), nullable=True),
        sa.Column("finding_revision", sa.Integer(), nullable=True),
        sa.Column("raised_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=120), nullable=True),
        sa.Column("acknowledged_via", sa.String(length=32), nullable=True),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("rings_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("alert_id"),
        sa.UniqueConstraint("study_key"),
    )
    op.create_index("ix_alerts_answer", "alerts", ["answer"])
    op.create_index("ix_alerts_rings_at", "alerts", ["rings_at"])

    op.create_table(
        "events",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("alert_id", sa.String(length=32), nullable=False),
        sa.Column("study_key", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("ix_events_alert_id", "events", ["alert_id"])
    op.create_index("ix_events_published_at", "events", ["published_at"])

    op.create_table(
        "findings",
        sa.Column("series_key", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("study_key", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("sides", sa.String(length=120), nullable=False),
        sa.Column("leading", sa.String(length=120), nullable=True),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("first_slice_at", sa.BigInteger(), nullable=False),
        sa.Column("decisive_slice_at", sa.BigInteger(), nullable=True),
        sa.Column("last_slice_at", sa.BigInteger(), nullable=False),
        sa.Column("produced_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("series_key", "revision"),
    )
    op.create_index("ix_findings_study_key", "findings", ["study_key"])

    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("holder", sa.String(length=120), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "pictures",
        sa.Column("series_key", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("png", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("series_key", "revision", "number", "kind"),
    )
    op.create_table(
        "record",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("study_key", sa.String(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("ix_record_study_key", "record", ["study_key"])

    op.create_table(
        "record_head",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "series",
        sa.Column("series_key", sa.String(length=32), nullable=False),
        sa.Column("study_key", sa.String(length=32), nullable=False),
        sa.Column("identity", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("series_key"),
    )
    op.create_index("ix_series_study_key", "series", ["study_key"])

    op.create_table(
        "studies",
        sa.Column("study_key", sa.String(length=32), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("look_again_at", sa.BigInteger(), nullable=True),
        sa.Column("verdict", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("result_unreadable", sa.Boolean(), nullable=False),
        sa.Column("identity", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("study_key"),
    )
    op.create_index("ix_studies_changed_at", "studies", ["changed_at"])
    op.create_index("ix_studies_look_again_at", "studies", ["look_again_at"])

    op.create_table(
        "notices",
        sa.Column("notice_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("alert_id", sa.String(length=32), nullable=False),
        sa.Column("study_key", sa.String(length=32), nullable=False),
        sa.Column("series_key", sa.String(length=32), nullable=True),
        sa.Column("finding_revision", sa.Integer(), nullable=True),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("recipient", sa.String(length=120), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("leased_until", sa.BigInteger(), nullable=True),
        sa.Column("leased_by", sa.String(length=120), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("failure", sa.String(length=32), nullable=True),
        sa.Column("failure_detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["alert_id"],
            ["alerts.alert_id"],
        ),
        sa.PrimaryKeyConstraint("notice_id"),
        sa.UniqueConstraint(
            "study_key", "series_key", "finding_revision", "purpose", "round", "recipient", "channel", name="once"
        ),
    )
    op.create_index("due", "notices", ["state", "due_at"])
    op.create_index("ix_notices_alert_id", "notices", ["alert_id"])
    op.create_index("ix_notices_number", "notices", ["number"])
    op.create_index("lane", "notices", ["recipient", "channel", "state"])
