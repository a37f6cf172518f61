"""The desk: offers of a new price, and what arrived outside of the listed coins."""

from alembic import op

revision = "0008"
down_revision = "0007"

TABLES = """
CREATE TABLE requotes (
    id text PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    order_id text NOT NULL REFERENCES orders (id),
    quote_id text NOT NULL UNIQUE REFERENCES quotes (id),
    order_version integer,
    offered_by text NOT NULL REFERENCES operators (name),
    offered_at timestamptz NOT NULL,
    consent_by text,
    consent_at timestamptz,
    consent_evidence text,
    new_order_id text UNIQUE REFERENCES orders (id),
    CHECK ((consent_at IS NULL) = (consent_by IS NULL)),
    CHECK ((consent_at IS NULL) = (consent_evidence IS NULL)),
    CHECK (new_order_id IS NULL OR (consent_at IS NOT NULL AND order_version IS NULL))
);
CREATE INDEX requotes_order ON requotes (order_id, number);

CREATE TABLE strays (
    chain_id bigint NOT NULL,
    identity text NOT NULL,
    address text NOT NULL REFERENCES deposit_addresses (address),
    token text NOT NULL CHECK (token ~ '^0x[0-9a-f]{40}$'),
    asset text REFERENCES assets (code),
    sender text,
    units numeric(78, 0) NOT NULL CHECK (units > 0),
    block_number bigint NOT NULL,
    found_at timestamptz NOT NULL,
    closed_at timestamptz,
    closed_by text REFERENCES operators (name),
    PRIMARY KEY (chain_id, identity),
    CHECK ((closed_at IS NULL) = (closed_by IS NULL))
);
CREATE INDEX strays_address ON strays (address);
CREATE INDEX strays_off_the_ledger ON strays (found_at) WHERE asset IS NULL AND closed_at IS NULL;

CREATE TABLE stray_cursors (
    chain_id bigint PRIMARY KEY,
    number bigint NOT NULL,
    looked_at text NOT NULL,
    updated_at timestamptz NOT NULL
);

-- Addresses of orders that stay open for long are searched however old they are.
CREATE INDEX orders_lasting ON orders (id) WHERE state IN ('held', 'uncertain', 'refunding');

-- An order can be funded by money that arrived for an earlier one.
ALTER TABLE order_events DROP CONSTRAINT order_events_event_check;
ALTER TABLE order_events ADD CONSTRAINT order_events_event_check CHECK (event IN ('deposit_seen', 'deposit_dropped',
    'deposit_final', 'deposit_mismatched', 'deadline_passed', 'hold_placed', 'hold_lifted', 'dispatched', 'outcome_paid',
    'outcome_failed', 'outcome_unknown', 'outcome_returned', 'refund_ordered', 'refund_final', 'refund_failed',
    'credit_applied'));
-- Finds the order that a replaced quote was used for.
CREATE INDEX order_events_replaced_quote ON order_events ((data ->> 'replaced_quote'))
    WHERE data ->> 'replaced_quote' IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
