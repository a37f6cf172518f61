"""Evidence that people give for unknown outcomes."""

from alembic import op

revision = "0012"
down_revision = "0011"

TABLES = """
SELECT 1
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
