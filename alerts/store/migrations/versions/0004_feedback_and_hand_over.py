"""Feedback and hand-over."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = depends_on = None


def upgrade() -> None:
    op.create_table(
        "feedback",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("study_key", sa.String(length=32), nullable=False),
        sa.Column("series_key", sa.String(length=32), nullable=True),
        sa.Column("finding_revision", sa.Integer(), nullable=True),
        sa.Column("says", sa.String(length=32), nullable=False),
        sa.Column("by", sa.String(length=120), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    with op.batch_alter_table("feedback", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_feedback_study_key"), ["study_key"], unique=False)
    with op.batch_alter_table("alerts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("handed_to", sa.String(length=120), nullable=True))
        batch_op.add_column(sa.Column("handed_by", sa.String(length=120), nullable=True))
        batch_op.add_column(sa.Column("handovers", sa.Integer(), nullable=False, server_default="0"))
