"""A step's guards ask less often for the same things, and its number has no index of its own: nobody looks for it."""

from alembic import op

revision = "0030"
down_revision = "0029"

# Numbers come from the sequence alone. Who follows `journal` or `outbox` by number makes the index that it needs.
NUMBERS = "DROP INDEX order_events_id"

# An order is dispatched and paid within moments, while others still look at how it was before: room in its page for all
# three keeps its indexes as they are (a third of the updates made new entries in all four). An attempt's end fits beside it.
ROOM = """
ALTER TABLE orders SET (fillfactor = 32);
ALTER TABLE attempts SET (fillfactor = 44);
"""

GUARDS = r"""
-- As before, but the sides of postings whose balances are kept are found once, and by LIKE: `^@` takes twice its time. And
-- new balances are looked for only where there are more than were changed.
CREATE OR REPLACE FUNCTION guard_postings() RETURNS trigger LANGUAGE plpgsql
    SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    senseless bigint;
    unknown bigint;
    unpaired bigint;
    nameless bigint;
BEGIN
    WITH line AS MATERIALIZED (
        SELECT id, (p).source, (p).destination, (p).asset, (p).units
        FROM (SELECT id, unnest(postings) AS p FROM added OFFSET 0) AS a
    ), side AS MATERIALIZED (
        SELECT destination AS account, asset, units, -units AS held, false AS top_up FROM line
        WHERE destination LIKE 'order:%' OR destination LIKE 'rail:%' OR destination LIKE 'wallet:%'
            OR destination LIKE 'treasury:%'
        UNION ALL
        SELECT source, asset, -units, units, destination = 'capital' FROM line
        WHERE source LIKE 'order:%' OR source LIKE 'rail:%' OR source LIKE 'wallet:%' OR source LIKE 'treasury:%'
    ), own AS MATERIALIZED (
        SELECT split_part(account, ':', 2) AS order_id, split_part(account, ':', 3) AS name, asset, units
        FROM side WHERE account LIKE 'order:%'
    ), change AS MATERIALIZED (
        SELECT order_id, asset, COALESCE(sum(units) FILTER (WHERE name = 'funds'), 0) AS funds,
            COALESCE(sum(units) FILTER (WHERE name = 'payout'), 0) AS payout,
            COALESCE(sum(units) FILTER (WHERE name = 'refund'), 0) AS refund,
            COALESCE(sum(units) FILTER (WHERE name = 'unallocated'), 0) AS unallocated,
            COALESCE(sum(units) FILTER (WHERE name = 'owed'), 0) AS owed
        FROM own GROUP BY order_id, asset
    ), kept AS (
        UPDATE order_balances AS b SET funds = b.funds + c.funds, payout = b.payout + c.payout, refund = b.refund + c.refund,
            unallocated = b.unallocated + c.unallocated, owed = b.owed + c.owed
        FROM change AS c WHERE b.order_id = c.order_id AND b.asset = c.asset
        RETURNING b.order_id, b.asset
    ), begun AS (
        INSERT INTO order_balances AS b
        SELECT * FROM change WHERE (SELECT count(*) FROM kept) < (SELECT count(*) FROM change)
            AND (order_id, asset) NOT IN (SELECT order_id, asset FROM kept)
        ON CONFLICT (order_id, asset) DO UPDATE SET funds = b.funds + excluded.funds, payout = b.payout + excluded.payout,
            refund = b.refund + excluded.refund, unallocated = b.unallocated + excluded.unallocated,
            owed = b.owed + excluded.owed
    ), rails AS (
        INSERT INTO rail_balances AS b (rail, asset, held, top_ups)
        SELECT substr(account, 6), asset, sum(held), count(*) FILTER (WHERE top_up)
        FROM side WHERE account LIKE 'rail:%' GROUP BY account, asset ORDER BY account, asset
        ON CONFLICT (rail, asset) DO UPDATE SET held = b.held + excluded.held, top_ups = b.top_ups + excluded.top_ups
    ), wallets AS (
        INSERT INTO wallet_balances AS b (account, asset, held)
        SELECT account, asset, sum(held) FROM side WHERE account LIKE 'wallet:%' OR account LIKE 'treasury:%'
        GROUP BY account, asset ORDER BY account, asset
        ON CONFLICT (account, asset) DO UPDATE SET held = b.held + excluded.held
    ), checked AS (
        SELECT count(*) FILTER (WHERE (units > 0 AND source <> destination) IS NOT TRUE) AS senseless,
            count(*) FILTER (WHERE asset IS NULL OR asset NOT IN (SELECT code FROM assets)) AS unknown
        FROM line
    ), entry AS (
        SELECT min(asset) FILTER (WHERE source = 'exchange') AS gave,
            max(asset) FILTER (WHERE source = 'exchange') AS gave_last,
            min(asset) FILTER (WHERE destination = 'exchange') AS took,
            max(asset) FILTER (WHERE destination = 'exchange') AS took_last
        FROM line WHERE source = 'exchange' OR destination = 'exchange' GROUP BY id
    )
    SELECT checked.senseless, checked.unknown,
        (SELECT count(*) FROM entry WHERE (gave = gave_last AND took = took_last AND gave <> took) IS NOT TRUE),
        (SELECT count(*) FROM own WHERE name NOT IN ('funds', 'payout', 'refund', 'unallocated', 'owed'))
    INTO senseless, unknown, unpaired, nameless FROM checked;
    IF senseless > 0 THEN
        RAISE EXCEPTION 'a posting moves some units from one account to another'
            USING ERRCODE = 'check_violation';
    END IF;
    IF unknown > 0 THEN
        RAISE EXCEPTION 'a posting is in a known asset'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF unpaired > 0 THEN
        RAISE EXCEPTION 'a change of asset has two legs through the exchange account, one in each asset'
            USING ERRCODE = 'check_violation';
    END IF;
    IF nameless > 0 THEN
        RAISE EXCEPTION 'an order has the accounts funds, payout, refund, unallocated and owed'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
"""


def upgrade() -> None:
    op.execute(NUMBERS)
    op.execute(ROOM)
    op.execute(GUARDS)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
