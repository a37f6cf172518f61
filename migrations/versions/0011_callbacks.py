"""Callbacks that can't be handled are parked; deadlines of everything."""

from alembic import op

revision = "0011"
down_revision = "0010"

TABLES = """
-- Asked about: open attempts, and closed ones whose money may still come back or of which a rail says something else. By
-- rail, so that one that doesn't answer keeps nobody else's questions waiting.
DROP INDEX attempts_due;
-- When it may have been sent again last: what a person has seen before that says nothing of it.
ALTER TABLE attempts ADD COLUMN resent_at timestamptz;
CREATE INDEX attempts_due ON attempts (adapter, due_at) WHERE due_at IS NOT NULL;

-- Every order that isn't at rest has a time at which somebody looks at it. Funded and unpaid ones had theirs before.
UPDATE orders SET due_at = updated_at WHERE due_at IS NULL AND state NOT IN ('expired', 'paid', 'refunded');
ALTER TABLE orders ADD CONSTRAINT what_waits_is_due
    CHECK (due_at IS NOT NULL OR state IN ('expired', 'paid', 'refunded'));
CREATE INDEX orders_overdue ON orders (due_at) WHERE state IN ('confirming', 'held', 'uncertain', 'refunding');
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
