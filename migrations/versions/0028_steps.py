"""What a step posts stands in the step's own row, and an order's balances in one row per asset."""

from alembic import op

revision = "0028"
down_revision = "0027"

LEDGER = r"""
CREATE TYPE posting AS (source text, destination text, asset text, units numeric(78, 0));

-- An entry is one row: it can't be half written, nor added to later. An order's step is event, entry and news in one;
-- `journal_entries` has the others. Both are numbered by one sequence, and are read together as `journal` and `postings`.
ALTER TABLE journal RENAME TO journal_entries;
ALTER TABLE journal_entries ADD COLUMN postings posting[];
ALTER TABLE order_events ADD COLUMN id bigint, ADD COLUMN template text, ADD COLUMN postings posting[];

ALTER TABLE order_events DISABLE TRIGGER USER;
ALTER TABLE journal_entries DISABLE TRIGGER USER;
UPDATE journal_entries AS j SET postings = p.lines FROM (
    SELECT journal_id, array_agg(ROW(source, destination, asset, units)::posting ORDER BY line) AS lines
    FROM postings GROUP BY journal_id
) AS p WHERE p.journal_id = j.id;
UPDATE order_events AS e SET id = j.id, template = j.template, postings = COALESCE(j.postings, '{}')
    FROM journal_entries AS j WHERE j.cause = 'order:' || e.order_id || ':' || e.cause;
DELETE FROM journal_entries AS j USING order_events AS e WHERE e.id = j.id;
UPDATE order_events SET id = nextval('journal_id_seq') WHERE id IS NULL;
ALTER TABLE order_events ENABLE TRIGGER USER;
ALTER TABLE journal_entries ENABLE TRIGGER USER;

ALTER TABLE journal_entries ALTER COLUMN postings SET NOT NULL;
ALTER TABLE order_events ALTER COLUMN id SET NOT NULL, ALTER COLUMN id SET DEFAULT nextval('journal_id_seq'),
    ADD CONSTRAINT an_entry_has_postings CHECK ((template IS NULL) = (postings IS NULL));
CREATE UNIQUE INDEX order_events_id ON order_events (id);

-- A posting says what its entry says, too: an order's are found by the key of its events, and nothing is joined.
DROP TABLE postings;
CREATE VIEW journal AS
    SELECT id, cause, template, order_id, posted_at FROM journal_entries
    UNION ALL
    SELECT id, 'order:' || order_id || ':' || cause, template, order_id, at FROM order_events WHERE template IS NOT NULL;
CREATE VIEW postings AS
    SELECT e.id AS journal_id, p.line, p.source, p.destination, p.asset, p.units, e.cause, e.order_id, e.template,
        e.posted_at
    FROM journal_entries AS e
    CROSS JOIN LATERAL unnest(e.postings) WITH ORDINALITY AS p (source, destination, asset, units, line)
    UNION ALL
    SELECT e.id, p.line, p.source, p.destination, p.asset, p.units, 'order:' || e.order_id || ':' || e.cause,
        e.order_id, e.template, e.at
    FROM order_events AS e
    CROSS JOIN LATERAL unnest(e.postings) WITH ORDINALITY AS p (source, destination, asset, units, line);
"""

OUTBOX = """
-- A step is its own news: only what is no step has to be told otherwise. Both follow the same numbers.
DELETE FROM outbox WHERE version IS NOT NULL;
ALTER TABLE outbox RENAME TO order_messages;
ALTER TABLE order_messages DROP CONSTRAINT a_step_or_a_message, DROP COLUMN version,
    ALTER COLUMN kind SET NOT NULL, ALTER COLUMN payload SET NOT NULL,
    ALTER COLUMN id DROP IDENTITY, ALTER COLUMN id SET DEFAULT nextval('journal_id_seq');
UPDATE order_messages SET id = nextval('journal_id_seq');
CREATE VIEW outbox AS
    SELECT id, order_id, version, NULL AS kind, NULL::jsonb AS payload, at AS created_at FROM order_events
    UNION ALL
    SELECT id, order_id, NULL, kind, payload, created_at FROM order_messages;
"""

BALANCES = """
-- Running balances of an order's own accounts, which may not go below zero. Kept from the postings, by nobody else.
CREATE TABLE order_balances (
    order_id text NOT NULL,
    asset text NOT NULL,
    funds numeric(96, 0) NOT NULL,
    payout numeric(96, 0) NOT NULL,
    refund numeric(96, 0) NOT NULL,
    unallocated numeric(96, 0) NOT NULL,
    owed numeric(96, 0) NOT NULL,
    PRIMARY KEY (order_id, asset),
    CONSTRAINT no_account_below_zero CHECK (funds >= 0 AND payout >= 0 AND refund >= 0 AND unallocated >= 0 AND owed >= 0)
) WITH (fillfactor = 45);
INSERT INTO order_balances
    SELECT split_part(account, ':', 2), asset, COALESCE(sum(units) FILTER (WHERE split_part(account, ':', 3) = 'funds'), 0),
        COALESCE(sum(units) FILTER (WHERE split_part(account, ':', 3) = 'payout'), 0),
        COALESCE(sum(units) FILTER (WHERE split_part(account, ':', 3) = 'refund'), 0),
        COALESCE(sum(units) FILTER (WHERE split_part(account, ':', 3) = 'unallocated'), 0),
        COALESCE(sum(units) FILTER (WHERE split_part(account, ':', 3) = 'owed'), 0)
    FROM balances GROUP BY 1, 2;
CREATE INDEX order_balances_unallocated ON order_balances (order_id) WHERE unallocated > 0;
CREATE INDEX order_balances_owed ON order_balances (order_id) WHERE owed > 0;
DROP TABLE balances;
CREATE VIEW balances AS
    SELECT 'order:' || b.order_id || ':' || a.name AS account, b.asset, a.units, b.order_id, a.name
    FROM order_balances AS b CROSS JOIN LATERAL (VALUES ('funds', b.funds), ('payout', b.payout), ('refund', b.refund),
        ('unallocated', b.unallocated), ('owed', b.owed)) AS a (name, units)
    WHERE a.units <> 0;
CREATE TRIGGER follows_postings BEFORE INSERT OR UPDATE OR DELETE ON order_balances
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_direct_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON order_balances
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What lies in our own wallets, as the rails' balances say what lies there: the ledger's account with the sign turned round.
CREATE TABLE wallet_balances (
    account text NOT NULL,
    asset text NOT NULL,
    held numeric(96, 0) NOT NULL,
    PRIMARY KEY (account, asset)
) WITH (fillfactor = 50);
INSERT INTO wallet_balances
    SELECT account, asset, sum(units) FROM (
        SELECT source AS account, asset, units FROM postings UNION ALL SELECT destination, asset, -units FROM postings
    ) AS moves WHERE split_part(account, ':', 1) IN ('wallet', 'treasury') GROUP BY account, asset;
CREATE TRIGGER follows_postings BEFORE INSERT OR UPDATE OR DELETE ON wallet_balances
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_direct_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON wallet_balances
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

ATTEMPTS = """
-- One index instead of two: an order's attempts, of which one may be open.
DROP INDEX one_open_attempt_per_order, attempts_order;
CREATE UNIQUE INDEX one_open_attempt_per_order
    ON attempts (order_id, (CASE WHEN closed_at IS NULL THEN 'open' ELSE id END));
"""

GUARDS = r"""
DROP FUNCTION guard_postings, keep_rail_balances;

-- All asked for the statement as a whole. A posting moves something from one account to another, in a known asset; a change
-- of asset has both its legs; no order's account goes below zero; the running balances follow. The rows of rails and
-- wallets are taken in the order of their names: two sets that touch the same two wait for each other, not crosswise.
CREATE FUNCTION guard_postings() RETURNS trigger LANGUAGE plpgsql SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    senseless bigint;
    unknown bigint;
    unpaired bigint;
    nameless bigint;
BEGIN
    WITH line AS MATERIALIZED (
        SELECT id, (p).source, (p).destination, (p).asset, (p).units
        FROM (SELECT id, unnest(postings) AS p FROM added OFFSET 0) AS a
    ), own AS MATERIALIZED (
        SELECT split_part(account, ':', 2) AS order_id, split_part(account, ':', 3) AS name, asset, units FROM (
            SELECT destination AS account, asset, units FROM line WHERE destination ^@ 'order:'
            UNION ALL
            SELECT source, asset, -units FROM line WHERE source ^@ 'order:'
        ) AS moves
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
        SELECT * FROM change WHERE (order_id, asset) NOT IN (SELECT order_id, asset FROM kept)
        ON CONFLICT (order_id, asset) DO UPDATE SET funds = b.funds + excluded.funds, payout = b.payout + excluded.payout,
            refund = b.refund + excluded.refund, unallocated = b.unallocated + excluded.unallocated,
            owed = b.owed + excluded.owed
    ), outside AS MATERIALIZED (
        SELECT source AS account, asset, units, destination = 'capital' AS top_up FROM line
        WHERE source ^@ 'rail:' OR source ^@ 'wallet:' OR source ^@ 'treasury:'
        UNION ALL
        SELECT destination, asset, -units, false FROM line
        WHERE destination ^@ 'rail:' OR destination ^@ 'wallet:' OR destination ^@ 'treasury:'
    ), rails AS (
        INSERT INTO rail_balances AS b (rail, asset, held, top_ups)
        SELECT substr(account, 6), asset, sum(units), count(*) FILTER (WHERE top_up)
        FROM outside WHERE account ^@ 'rail:' GROUP BY account, asset ORDER BY account, asset
        ON CONFLICT (rail, asset) DO UPDATE SET held = b.held + excluded.held, top_ups = b.top_ups + excluded.top_ups
    ), wallets AS (
        INSERT INTO wallet_balances AS b (account, asset, held)
        SELECT account, asset, sum(units)
        FROM outside WHERE NOT account ^@ 'rail:' GROUP BY account, asset ORDER BY account, asset
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
CREATE TRIGGER guard_postings AFTER INSERT ON order_events
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION guard_postings();
CREATE TRIGGER guard_postings AFTER INSERT ON journal_entries
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION guard_postings();
"""


def upgrade() -> None:
    for part in (LEDGER, OUTBOX, BALANCES, ATTEMPTS, GUARDS):
        op.execute(part)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
