"""Refunds: confirmed addresses and attempts."""

from alembic import op

revision = "0007"
down_revision = "0006"

TABLES = """
CREATE TABLE refund_addresses (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id text NOT NULL REFERENCES orders (id),
    address text NOT NULL CHECK (address ~ '^0x[0-9a-f]{40}$'),
    source text NOT NULL CHECK (source IN ('partner', 'signature', 'operator')),
    confirmed_by text NOT NULL CHECK (confirmed_by <> ''),
    evidence jsonb NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX refund_addresses_order ON refund_addresses (order_id, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON refund_addresses
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE refunds (
    id text PRIMARY KEY,
    order_id text NOT NULL REFERENCES orders (id),
    taken_from text NOT NULL CHECK (taken_from IN ('funds', 'unallocated')),
    chain_id bigint NOT NULL,
    asset text NOT NULL REFERENCES assets (code),
    units numeric(78, 0) NOT NULL CHECK (units > 0),
    address text NOT NULL CHECK (address ~ '^0x[0-9a-f]{40}$'),
    owner text NOT NULL CHECK (owner ~ '^(operator|partner):.'),
    reason text NOT NULL CHECK (reason <> ''),
    outcome text NOT NULL CHECK (outcome IN ('sending', 'pending', 'unknown', 'paid', 'failed')),
    wallet text,
    token text CHECK (token ~ '^0x[0-9a-f]{40}$'),
    tx_hash text CHECK (tx_hash ~ '^0x[0-9a-f]{64}$'),
    note text,
    evidence jsonb NOT NULL,
    due_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    closed_at timestamptz,
    CHECK ((closed_at IS NULL) = (outcome IN ('sending', 'pending', 'unknown'))),
    CHECK ((closed_at IS NULL) = (due_at IS NOT NULL)),
    CHECK (outcome <> 'paid' OR (tx_hash IS NOT NULL AND wallet IS NOT NULL))
);
CREATE UNIQUE INDEX one_open_refund_per_order_and_asset ON refunds (order_id, asset) WHERE closed_at IS NULL;
CREATE INDEX refunds_order ON refunds (order_id);
CREATE INDEX refunds_due ON refunds (due_at) WHERE closed_at IS NULL;
CREATE INDEX refunds_of_a_day ON refunds (asset, closed_at);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("what was sent back is not forgotten; restore a backup instead")
