"""What is still owed to recipients, beside what they have been paid without need."""

from alembic import op

revision = "0029"
down_revision = "0028"

VIEW = """
-- Of a payment in part the rest is owed, unless a payment that its rail had called failed has reached the recipient after
-- all. The books have both, gross: should that payment come back, the rest is owed again.
CREATE VIEW owed_to_recipients AS
    SELECT order_id, asset, units FROM (
        SELECT b.order_id, b.asset, b.owed - COALESCE((
            SELECT sum(a.deliver_units) FROM attempts AS a
            WHERE a.order_id = b.order_id AND a.claimed AND a.deliver_asset = b.asset
        ), 0) AS units
        FROM order_balances AS b WHERE b.owed > 0
    ) AS rest WHERE units > 0;
"""


def upgrade() -> None:
    op.execute(VIEW)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
