"""Orders whose recipients can be reached by several methods wait in lanes of their own."""

from alembic import op

revision = "0027"
down_revision = "0026"

TABLES = """
-- Such a lane names all the methods, "KE/KES/mobile_money+bank/standard": other rails serve it than that of orders with one
-- way only, so these never wait for each other. It follows the quote and the ways.
CREATE FUNCTION lane_with_ways(text, text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT concat_ws('/', q.country, q.receive_asset, concat_ws('+', q.method, (
        SELECT string_agg(DISTINCT w.method, '+') FROM recipient_ways AS w WHERE w.order_id = $1 AND w.method <> q.method
    )), q.speed) FROM quotes AS q WHERE q.id = $2
$$;

CREATE FUNCTION set_lane_of_ways() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE orders AS o SET lane = lane_with_ways(o.id, o.quote_id) FROM (SELECT DISTINCT order_id FROM added) AS a
    WHERE o.id = a.order_id AND o.lane <> lane_with_ways(o.id, o.quote_id);
    RETURN NULL;
END $$;
CREATE TRIGGER lane_follows_ways AFTER INSERT ON recipient_ways
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION set_lane_of_ways();

-- Triggers fire in the order of their names: this one after lane_follows_quote.
CREATE FUNCTION keep_ways_in_lane() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM recipient_ways WHERE order_id = NEW.id) THEN
        NEW.lane := lane_with_ways(NEW.id, NEW.quote_id);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER lane_keeps_ways BEFORE UPDATE OF quote_id ON orders
    FOR EACH ROW EXECUTE FUNCTION keep_ways_in_lane();

UPDATE orders AS o SET lane = lane_with_ways(o.id, o.quote_id)
WHERE EXISTS (SELECT FROM recipient_ways AS w WHERE w.order_id = o.id);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
