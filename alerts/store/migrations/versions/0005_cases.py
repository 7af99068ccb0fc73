"""cases."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("alerts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("studies", sa.Text(), nullable=False, server_default=""))

    with op.batch_alter_table("studies", schema=None) as batch_op:
        batch_op.add_column(sa.Column("patient_key", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("case_key", sa.String(length=32), nullable=False, server_default=""))
        batch_op.create_index(batch_op.f("ix_studies_case_key"), ["case_key"], unique=False)
        batch_op.create_index(batch_op.f("ix_studies_patient_key"), ["patient_key"], unique=False)
    op.execute("UPDATE studies SET case_key = study_key")
