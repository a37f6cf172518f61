"""The payout queue: a lane per corridor, ways to be paid, speed."""

from alembic import op

revision = "0009"
down_revision = "0008"

TABLES = """
-- How soon a quote's payout is made: at once, or with others at the next drop.
ALTER TABLE quotes ADD COLUMN speed text NOT NULL DEFAULT 'standard' CHECK (speed IN ('standard', 'economy'));

-- Orders wait in a lane per corridor and speed, so that a rail without room holds up nobody else. The database keeps it:
-- it follows the quote.
ALTER TABLE orders ADD COLUMN lane text NOT NULL DEFAULT '';
UPDATE orders AS o SET lane = concat_ws('/', q.country, q.receive_asset, q.method, q.speed)
    FROM quotes AS q WHERE q.id = o.quote_id;

CREATE FUNCTION set_lane() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT concat_ws('/', country, receive_asset, method, speed) INTO NEW.lane FROM quotes WHERE id = NEW.quote_id;
    RETURN NEW;
END $$;
CREATE TRIGGER lane_follows_quote BEFORE INSERT OR UPDATE OF quote_id ON orders
    FOR EACH ROW EXECUTE FUNCTION set_lane();

-- Other ways to reach the recipient, best first: rank 1, 2, …; rank 0 is the quote's method and the recipient's account.
CREATE TABLE recipient_ways (
    order_id text NOT NULL REFERENCES orders (id),
    rank smallint NOT NULL CHECK (rank > 0),
    method text NOT NULL CHECK (method IN ('mobile_money', 'bank', 'card', 'cash', 'exchange')),
    account text NOT NULL,
    PRIMARY KEY (order_id, rank)
);
ALTER TABLE attempts ADD COLUMN way smallint NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN batch_id text;
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
