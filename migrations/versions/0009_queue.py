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

-- Each lane's oldest order is found however long the others' queues are.
DROP INDEX orders_to_dispatch;
CREATE INDEX orders_to_dispatch ON orders (lane, due_at) WHERE state = 'funded';

-- A rail that says something else later: how often that happened, what was delivered if not all, and whether the payment is
-- one that the order didn't need (what the rail took without right stands on claims:<rail>).
ALTER TABLE attempts ADD COLUMN source text NOT NULL DEFAULT 'rail';
ALTER TABLE attempts ADD COLUMN turns smallint NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN delivered_units numeric(78, 0) CHECK (delivered_units BETWEEN 1 AND deliver_units - 1);
ALTER TABLE attempts ADD COLUMN claimed boolean NOT NULL DEFAULT false CHECK (NOT claimed OR outcome = 'paid');

-- The latest report stands in the attempt. What it replaced, and what changed nothing, is kept here.
CREATE TABLE attempt_reports (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    attempt_id text NOT NULL REFERENCES attempts (id),
    at timestamptz NOT NULL,
    source text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('pending', 'available', 'unknown', 'paid', 'failed', 'returned')),
    fault text CHECK (fault IN ('recipient', 'rail', 'float', 'transient')),
    reason text,
    provider_ref text,
    evidence jsonb NOT NULL
);
CREATE INDEX attempt_reports_attempt ON attempt_reports (attempt_id, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON attempt_reports
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A payment in part is an event of its own.
ALTER TABLE order_events DROP CONSTRAINT order_events_event_check;
ALTER TABLE order_events ADD CONSTRAINT order_events_event_check CHECK (event IN ('deposit_seen', 'deposit_dropped',
    'deposit_final', 'deposit_mismatched', 'deadline_passed', 'hold_placed', 'hold_lifted', 'dispatched', 'outcome_paid',
    'outcome_partial', 'outcome_failed', 'outcome_unknown', 'outcome_returned', 'refund_ordered', 'refund_final',
    'refund_failed', 'credit_applied'));

-- A message that tells of a step is that step's number: what happened stands in order_events. It is deleted when it has been
-- published, so that no index has to tell which ones wait.
DROP INDEX outbox_to_publish;
ALTER TABLE outbox DROP COLUMN published_at;
ALTER TABLE outbox ADD COLUMN version integer;
ALTER TABLE outbox ALTER COLUMN kind DROP NOT NULL;
ALTER TABLE outbox ALTER COLUMN payload DROP NOT NULL;
ALTER TABLE outbox ADD CONSTRAINT a_step_or_a_message
    CHECK (num_nonnulls(version, kind) = 1 AND num_nonnulls(version, payload) = 1);
"""

SPEED = r"""
-- What most rows of a payout stood in the way of: rows are changed in their page.
ALTER TABLE orders SET (fillfactor = 80);
ALTER TABLE attempts SET (fillfactor = 70);
ALTER TABLE balances SET (fillfactor = 60);

-- Asked for a statement as a whole what foreign keys and a second unique index asked row by row: those cost a third of a
-- payout. Just as strong: whoever takes a step holds its order's row, and no order is ever deleted or renamed.
ALTER TABLE order_events DROP CONSTRAINT order_events_order_id_fkey, DROP CONSTRAINT a_cause_acts_once;
ALTER TABLE attempts DROP CONSTRAINT attempts_order_id_fkey, DROP CONSTRAINT attempts_deliver_asset_fkey;
ALTER TABLE balances DROP CONSTRAINT balances_asset_fkey;

CREATE FUNCTION guard_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added AS a LEFT JOIN orders AS o ON o.id = a.order_id
               WHERE o.id IS NULL OR o.version <> a.version OR o.state <> a.to_state) THEN
        RAISE EXCEPTION 'an event belongs to an order, and tells of the step that it has just taken'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'order_events_order_id_fkey';
    END IF;
    IF EXISTS (SELECT FROM added AS a JOIN order_events AS e ON e.order_id = a.order_id AND e.version < a.version
               WHERE e.cause = a.cause) THEN
        RAISE EXCEPTION 'a cause acts once on an order'
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'a_cause_acts_once';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER guard_events AFTER INSERT ON order_events
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION guard_events();

CREATE FUNCTION guard_attempts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added AS a LEFT JOIN orders AS o ON o.id = a.order_id WHERE o.id IS NULL) THEN
        RAISE EXCEPTION 'an attempt belongs to an order'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'attempts_order_id_fkey';
    END IF;
    IF EXISTS (SELECT FROM added WHERE deliver_asset NOT IN (SELECT code FROM assets)) THEN
        RAISE EXCEPTION 'an attempt delivers a known asset'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'attempts_deliver_asset_fkey';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER guard_attempts AFTER INSERT ON attempts
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION guard_attempts();

CREATE FUNCTION refuse_other_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% belongs to its order for ever: make another one instead of %', TG_TABLE_NAME, lower(TG_OP)
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER never_moved BEFORE UPDATE OF order_id, deliver_asset, deliver_units OR DELETE OR TRUNCATE ON attempts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_other_order();
CREATE TRIGGER never_gone BEFORE UPDATE OF id OR DELETE OR TRUNCATE ON orders
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_other_order();

-- The same guards as before, with fewer passes over what was added. A balance's asset is its postings', so it is known.
CREATE OR REPLACE FUNCTION guard_postings() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    entries bigint;
    broken bigint;
    unpaired bigint;
    lowest numeric;
BEGIN
    SELECT count(*), count(*) FILTER (WHERE beginnings <> 1),
        count(*) FILTER (WHERE (gave IS NULL) <> (took IS NULL) OR gave <> gave_last OR took <> took_last OR gave = took)
    INTO entries, broken, unpaired
    FROM (
        SELECT count(*) FILTER (WHERE line = 1) AS beginnings,
            min(asset) FILTER (WHERE source = 'exchange') AS gave,
            max(asset) FILTER (WHERE source = 'exchange') AS gave_last,
            min(asset) FILTER (WHERE destination = 'exchange') AS took,
            max(asset) FILTER (WHERE destination = 'exchange') AS took_last
        FROM added GROUP BY journal_id
    ) AS entry;
    IF broken > 0 THEN
        RAISE EXCEPTION 'a journal entry is written once and whole, from line 1: post a new entry'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (SELECT count(*) FROM added AS a JOIN journal AS j ON j.id = a.journal_id WHERE a.line = 1) <> entries
        OR EXISTS (SELECT FROM added WHERE asset NOT IN (SELECT code FROM assets)) THEN
        RAISE EXCEPTION 'a posting belongs to a journal entry and is in a known asset'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF unpaired > 0 THEN
        RAISE EXCEPTION 'a change of asset has two legs through the exchange account, one in each asset'
            USING ERRCODE = 'check_violation';
    END IF;
    WITH kept AS (
        INSERT INTO balances (account, asset, units)
        SELECT account, asset, sum(units) FROM (
            SELECT destination AS account, asset, units FROM added WHERE destination ^@ 'order:'
            UNION ALL
            SELECT source, asset, -units FROM added WHERE source ^@ 'order:'
        ) AS moves
        GROUP BY account, asset
        HAVING sum(units) <> 0
        ON CONFLICT (account, asset) DO UPDATE SET units = balances.units + excluded.units
        RETURNING units
    ) SELECT min(units) INTO lowest FROM kept;
    IF lowest < 0 THEN
        RAISE EXCEPTION 'no account of an order goes below zero: more was taken than is there'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'no_account_below_zero';
    END IF;
    RETURN NULL;
END $$;
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(SPEED)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
