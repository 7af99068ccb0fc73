"""An index for whether somebody is being told on a channel right now, however many notices they have had."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("notices", schema=None) as batch_op:
        batch_op.create_index("lane_leased", ["recipient", "channel", "leased_until"])
