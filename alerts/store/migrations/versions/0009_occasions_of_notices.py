"""How often what an alert says has changed: the same words on another occasion are another message."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("alerts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("changes", sa.Integer(), nullable=False, server_default="0"))

    with op.batch_alter_table("notices", schema=None) as batch_op:
        batch_op.add_column(sa.Column("change", sa.Integer(), nullable=False, server_default="0"))
        batch_op.drop_constraint("once", type_="unique")
        batch_op.create_unique_constraint(
            "once",
            ["study_key", "series_key", "finding_revision", "purpose", "round", "change", "recipient", "channel"],
        )
