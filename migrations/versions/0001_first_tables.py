"""First tables: assets, ledger, quotes, orders, chain, payouts, partners; the ledger's guards."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE assets (
    code text PRIMARY KEY,
    decimals smallint NOT NULL CHECK (decimals BETWEEN 0 AND 36)
);

CREATE TABLE journal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cause text NOT NULL UNIQUE,
    template text NOT NULL,
    order_id text,
    posted_at timestamptz NOT NULL
);
CREATE INDEX journal_order_id ON journal (order_id) WHERE order_id IS NOT NULL;

CREATE TABLE postings (
    journal_id bigint NOT NULL,
    line smallint NOT NULL,
    source text NOT NULL,
    destination text NOT NULL,
    asset text NOT NULL,
    units numeric(78, 0) NOT NULL CHECK (units > 0),
    PRIMARY KEY (journal_id, line),
    CHECK (source <> destination)
);

CREATE TABLE balances (
    account text NOT NULL,
    asset text NOT NULL REFERENCES assets (code),
    units numeric(78, 0) NOT NULL,
    PRIMARY KEY (account, asset)
);

CREATE TABLE rate_observations (
    source text NOT NULL,
    base text NOT NULL,
    quote text NOT NULL,
    num numeric(78, 0) NOT NULL CHECK (num > 0),
    den numeric(78, 0) NOT NULL CHECK (den > 0),
    as_of timestamptz NOT NULL,
    fetched_at timestamptz NOT NULL,
    PRIMARY KEY (source, base, quote)
);

CREATE TABLE partners (
    id text PRIMARY KEY,
    name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    disabled_at timestamptz
);

CREATE TABLE partner_clients (
    client_id text PRIMARY KEY,
    partner_id text NOT NULL REFERENCES partners (id),
    secret_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);

CREATE TABLE idempotency_keys (
    partner_id text NOT NULL REFERENCES partners (id),
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status integer NOT NULL,
    response jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (partner_id, key)
);

CREATE TABLE quotes (
    id text PRIMARY KEY,
    partner_id text REFERENCES partners (id),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    chain_id bigint NOT NULL,
    send_asset text NOT NULL REFERENCES assets (code),
    send_units numeric(78, 0) NOT NULL CHECK (send_units > 0),
    receive_asset text NOT NULL REFERENCES assets (code),
    receive_units numeric(78, 0) NOT NULL CHECK (receive_units > 0),
    country text NOT NULL,
    method text NOT NULL CHECK (method IN ('mobile_money', 'bank', 'card', 'cash', 'exchange')),
    mid_num numeric(78, 0) NOT NULL CHECK (mid_num > 0),
    mid_den numeric(78, 0) NOT NULL CHECK (mid_den > 0),
    applied_num numeric(78, 0) NOT NULL CHECK (applied_num > 0),
    applied_den numeric(78, 0) NOT NULL CHECK (applied_den > 0),
    mid_as_of timestamptz NOT NULL,
    sources jsonb NOT NULL,
    mid_units numeric(78, 0) NOT NULL,
    margin_units numeric(78, 0) NOT NULL CHECK (margin_units >= 0),
    fee_units numeric(78, 0) NOT NULL CHECK (fee_units >= 0),
    rounding_units numeric(78, 0) NOT NULL CHECK (rounding_units >= 0),
    CHECK (expires_at > created_at),
    CONSTRAINT quote_adds_up CHECK (mid_units = margin_units + fee_units + rounding_units + receive_units)
);

CREATE TABLE chain_cursors (
    chain_id bigint PRIMARY KEY,
    number bigint NOT NULL,
    hash text NOT NULL,
    finalized_number bigint NOT NULL,
    finalized_hash text NOT NULL,
    halted text,
    updated_at timestamptz NOT NULL
);

CREATE TABLE chain_blocks (
    chain_id bigint NOT NULL,
    number bigint NOT NULL,
    hash text NOT NULL,
    parent_hash text NOT NULL,
    time timestamptz NOT NULL,
    PRIMARY KEY (chain_id, number)
);

CREATE TABLE deposit_addresses (
    address text PRIMARY KEY CHECK (address ~ '^0x[0-9a-f]{40}$'),
    factory text NOT NULL,
    salt text NOT NULL,
    owner text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL
);

CREATE TABLE deposits (
    chain_id bigint NOT NULL,
    tx_hash text NOT NULL CHECK (tx_hash ~ '^0x[0-9a-f]{64}$'),
    log_index integer NOT NULL,
    block_number bigint NOT NULL,
    block_hash text NOT NULL,
    block_time timestamptz NOT NULL,
    asset text NOT NULL REFERENCES assets (code),
    sender text NOT NULL,
    address text NOT NULL REFERENCES deposit_addresses (address),
    units numeric(78, 0) NOT NULL CHECK (units > 0),
    status text NOT NULL CHECK (status IN ('seen', 'final', 'orphaned')),
    booked text CHECK (booked IN ('seen', 'final', 'orphaned')),
    seen_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (chain_id, tx_hash, log_index)
);
CREATE INDEX deposits_address ON deposits (address);
CREATE INDEX deposits_to_book ON deposits (block_number, log_index) WHERE booked IS DISTINCT FROM status;
CREATE INDEX deposits_not_final ON deposits (chain_id, block_number) WHERE status = 'seen';

CREATE TABLE orders (
    id text PRIMARY KEY,
    partner_id text REFERENCES partners (id),
    quote_id text NOT NULL UNIQUE REFERENCES quotes (id),
    tracking_token text NOT NULL UNIQUE,
    state text NOT NULL CHECK (state IN ('awaiting_deposit', 'confirming', 'expired', 'funded', 'held', 'paying',
                                         'uncertain', 'paid', 'refunding', 'refunded')),
    version integer NOT NULL,
    due_at timestamptz,
    deposit_address text NOT NULL REFERENCES deposit_addresses (address),
    refund_address text,
    reference text,
    details jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX orders_to_dispatch ON orders (due_at) WHERE state = 'funded';
CREATE INDEX orders_to_expire ON orders (due_at) WHERE state = 'awaiting_deposit';
CREATE INDEX orders_partner ON orders (partner_id, created_at) WHERE partner_id IS NOT NULL;

CREATE TABLE recipients (
    order_id text PRIMARY KEY REFERENCES orders (id),
    name text NOT NULL,
    account text NOT NULL
);

CREATE TABLE order_events (
    order_id text NOT NULL REFERENCES orders (id),
    version integer NOT NULL,
    event text NOT NULL CHECK (event IN ('deposit_seen', 'deposit_dropped', 'deposit_final', 'deposit_mismatched',
        'deadline_passed', 'hold_placed', 'hold_lifted', 'dispatched', 'outcome_paid', 'outcome_failed',
        'outcome_unknown', 'outcome_returned', 'refund_ordered', 'refund_final', 'refund_failed')),
    from_state text NOT NULL,
    to_state text NOT NULL,
    cause text NOT NULL,
    data jsonb NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (order_id, version),
    CONSTRAINT a_cause_acts_once UNIQUE (order_id, cause)
);

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id text NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    published_at timestamptz
);
CREATE INDEX outbox_to_publish ON outbox (id) WHERE published_at IS NULL;

CREATE TABLE incidents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cause text NOT NULL UNIQUE,
    kind text NOT NULL,
    order_id text,
    detail jsonb NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    closed_by text,
    CHECK ((closed_at IS NULL) = (closed_by IS NULL))
);

CREATE TABLE attempts (
    id text PRIMARY KEY,
    order_id text NOT NULL REFERENCES orders (id),
    adapter text NOT NULL,
    deliver_asset text NOT NULL REFERENCES assets (code),
    deliver_units numeric(78, 0) NOT NULL CHECK (deliver_units > 0),
    outcome text NOT NULL CHECK (outcome IN ('sending', 'pending', 'available', 'unknown', 'paid', 'failed', 'returned')),
    fault text CHECK (fault IN ('recipient', 'rail', 'float', 'transient')),
    provider_ref text,
    receipt text,
    reason text,
    evidence jsonb NOT NULL,
    asks integer NOT NULL,
    due_at timestamptz,
    lease_token bigint NOT NULL,
    lease_until timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    closed_at timestamptz,
    CHECK ((closed_at IS NULL) = (outcome IN ('sending', 'pending', 'available', 'unknown'))),
    CHECK (outcome <> 'paid' OR provider_ref IS NOT NULL)
);
CREATE UNIQUE INDEX one_open_attempt_per_order ON attempts (order_id) WHERE closed_at IS NULL;
CREATE INDEX attempts_order ON attempts (order_id);
CREATE INDEX attempts_due ON attempts (due_at) WHERE closed_at IS NULL;
CREATE SEQUENCE lease_tokens;

CREATE TABLE callbacks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    adapter text NOT NULL,
    event_id text NOT NULL,
    attempt_id text NOT NULL,
    label text NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    received_at timestamptz NOT NULL,
    handled_at timestamptz,
    result text,
    CONSTRAINT an_event_is_stored_once UNIQUE (adapter, event_id)
);
CREATE INDEX callbacks_to_handle ON callbacks (id) WHERE handled_at IS NULL;
"""

GUARDS = """
-- What is written stays as it is: corrections are new entries.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: post a correcting entry instead of %', TG_TABLE_NAME, lower(TG_OP)
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON assets
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON postings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON order_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Balances follow the postings and nothing else.
CREATE FUNCTION refuse_direct_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() > 1 THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'balances follow the postings: post an entry instead of %', lower(TG_OP)
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER follows_postings BEFORE INSERT OR UPDATE OR DELETE ON balances
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_direct_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON balances
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- An entry is written whole, in one statement: every statement has to bring line 1 of the entries it writes to, and there is
-- only one. A change of asset has both its legs. No order's account goes below zero. All asked for the statement as a whole:
-- foreign keys and CHECKs are asked row by row, which cost more than everything else together.
CREATE FUNCTION guard_postings() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    entries bigint;
    beginnings bigint;
    lowest numeric;
BEGIN
    SELECT count(DISTINCT journal_id), count(*) FILTER (WHERE line = 1) INTO entries, beginnings FROM added;
    IF beginnings <> entries THEN
        RAISE EXCEPTION 'a journal entry is written once and whole, from line 1: post a new entry'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (SELECT count(*) FROM journal WHERE id IN (SELECT journal_id FROM added)) <> entries
        OR EXISTS (SELECT asset FROM added EXCEPT SELECT code FROM assets) THEN
        RAISE EXCEPTION 'a posting belongs to a journal entry and is in a known asset'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF EXISTS (
        SELECT FROM added WHERE source = 'exchange' OR destination = 'exchange' GROUP BY journal_id
        HAVING count(DISTINCT asset) FILTER (WHERE source = 'exchange') <> 1
            OR count(DISTINCT asset) FILTER (WHERE destination = 'exchange') <> 1
            OR min(asset) FILTER (WHERE source = 'exchange') = min(asset) FILTER (WHERE destination = 'exchange')
    ) THEN
        RAISE EXCEPTION 'a change of asset has two legs through the exchange account, one in each asset'
            USING ERRCODE = 'check_violation';
    END IF;
    WITH kept AS (
        INSERT INTO balances (account, asset, units)
        SELECT account, asset, sum(units) FROM (
            SELECT destination AS account, asset, units FROM added WHERE destination LIKE 'order:%'
            UNION ALL
            SELECT source, asset, -units FROM added WHERE source LIKE 'order:%'
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

CREATE TRIGGER guard_postings AFTER INSERT ON postings
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION guard_postings();
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(GUARDS)


def downgrade() -> None:
    raise NotImplementedError("there is nothing before the first tables; restore a backup instead")
