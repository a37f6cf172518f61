"""Statements of rails and what reconciliation found."""

from alembic import op

revision = "0014"
down_revision = "0013"

TABLES = """
SELECT 1
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
