"""Attempts and timings."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "js2_attempt",
        sa.Column("attempt_id", sa.String(64), primary_key=True),
        sa.Column("hub_id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(512), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("changed_at", sa.Float, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("js2_attempt_hub_state", "js2_attempt", ["hub_id", "state"])
    op.create_table(
        "js2_timing",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("hub_id", sa.String(64), nullable=False),
        sa.Column("image", sa.String(255), nullable=False),
        sa.Column("flavor", sa.String(255), nullable=False),
        sa.Column("stage", sa.String(32), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_index("js2_timing_hub_at", "js2_timing", ["hub_id", "at"])


def downgrade() -> None:
    op.drop_table("js2_timing")
    op.drop_table("js2_attempt")
