"""Recipients' ranked ways to be paid."""

from alembic import op

revision = "0013"
down_revision = "0012"

TABLES = """
SELECT 1
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
