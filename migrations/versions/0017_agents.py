"""The network of cash agents: agents, codes, hand-over."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLES = """SELECT 1"""


def upgrade() -> None:
    op.execute(TABLES)
