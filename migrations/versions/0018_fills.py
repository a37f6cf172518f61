"""Payouts that partner exchanges fill for us."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TABLES = """SELECT 1"""


def upgrade() -> None:
    op.execute(TABLES)
