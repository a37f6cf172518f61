"""What waits stands in a table of its own, so that a step changes an order's row in its place."""

from alembic import op

revision = "0025"
down_revision = "0024"

TABLES = r"""
-- The orders that somebody has to look at one day, but for those that a rail has: the queues of dispatch and deadlines. The
-- database keeps it. As indexes on `orders`, these queues made every step write all of an order's index entries anew.
CREATE TABLE waiting_orders (
    order_id text PRIMARY KEY,
    state text NOT NULL,
    lane text NOT NULL,
    due_at timestamptz NOT NULL
);
CREATE INDEX waiting_to_dispatch ON waiting_orders (lane, due_at) WHERE state = 'funded';
CREATE INDEX waiting_to_expire ON waiting_orders (due_at) WHERE state = 'awaiting_deposit';
CREATE INDEX waiting_overdue ON waiting_orders (due_at) WHERE state IN ('confirming', 'held', 'uncertain', 'refunding');
CREATE INDEX waiting_lasting ON waiting_orders (order_id) WHERE state IN ('held', 'uncertain', 'refunding');
INSERT INTO waiting_orders SELECT id, state, lane, due_at FROM orders
    WHERE state IN ('awaiting_deposit', 'confirming', 'funded', 'held', 'uncertain', 'refunding');

DROP INDEX orders_to_dispatch, orders_to_expire, orders_overdue, orders_lasting;
-- Room for a second version of every row of a page: a set of orders changes whole pages at once.
ALTER TABLE orders SET (fillfactor = 45);
ALTER TABLE balances SET (fillfactor = 45);

-- The planner knows nothing of how many rows a statement changes: these are found by their keys, however long the queue is.
CREATE FUNCTION add_waiting_orders() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO waiting_orders (order_id, state, lane, due_at)
    SELECT id, state, lane, due_at FROM became
    WHERE state IN ('awaiting_deposit', 'confirming', 'funded', 'held', 'uncertain', 'refunding');
    RETURN NULL;
END $$;
CREATE TRIGGER add_waiting_orders AFTER INSERT ON orders
    REFERENCING NEW TABLE AS became FOR EACH STATEMENT EXECUTE FUNCTION add_waiting_orders();

CREATE FUNCTION keep_waiting_orders() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    IF EXISTS (SELECT FROM was WHERE state NOT IN ('paying', 'paid', 'expired', 'refunded')) THEN
        DELETE FROM waiting_orders AS w USING became AS n
        WHERE w.order_id = n.id AND n.state IN ('paying', 'paid', 'expired', 'refunded');
    END IF;
    INSERT INTO waiting_orders AS w (order_id, state, lane, due_at)
    SELECT id, state, lane, due_at FROM became
    WHERE state IN ('awaiting_deposit', 'confirming', 'funded', 'held', 'uncertain', 'refunding')
    ON CONFLICT (order_id) DO UPDATE SET state = excluded.state, lane = excluded.lane, due_at = excluded.due_at
        WHERE (w.state, w.lane, w.due_at) IS DISTINCT FROM (excluded.state, excluded.lane, excluded.due_at);
    RETURN NULL;
END $$;
CREATE TRIGGER keep_waiting_orders AFTER UPDATE ON orders
    REFERENCING OLD TABLE AS was NEW TABLE AS became FOR EACH STATEMENT EXECUTE FUNCTION keep_waiting_orders();

CREATE FUNCTION refuse_other_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() > 1 THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'waiting_orders follows the orders: change the order instead of %', lower(TG_OP)
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER follows_orders BEFORE INSERT OR UPDATE OR DELETE ON waiting_orders
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_other_queue();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON waiting_orders
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
