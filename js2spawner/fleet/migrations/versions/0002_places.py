"""Places in the line."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "js2_place",
        sa.Column("place_id", sa.String(64), primary_key=True),
        sa.Column("hub_id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(512), nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("turn_at", sa.Float, nullable=False),
        sa.Column("candidates", sa.Text, nullable=False),
        sa.Column("wish", sa.Text, nullable=False),
    )
    op.create_index("js2_place_hub", "js2_place", ["hub_id"])


def downgrade() -> None:
    op.drop_table("js2_place")
