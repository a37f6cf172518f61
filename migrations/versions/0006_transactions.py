"""Transactions that we send, and the sweeps they make."""

from alembic import op

revision = "0006"
down_revision = "0005"

TABLES = """
-- One row per key and chain: whoever gives out a nonce holds its lock.
CREATE TABLE chain_accounts (
    chain_id bigint NOT NULL,
    address text NOT NULL CHECK (address ~ '^0x[0-9a-f]{40}$'),
    next_nonce bigint NOT NULL CHECK (next_nonce >= 0),
    PRIMARY KEY (chain_id, address)
);

CREATE TABLE chain_transactions (
    id text PRIMARY KEY,
    chain_id bigint NOT NULL,
    sender text NOT NULL CHECK (sender ~ '^0x[0-9a-f]{40}$'),
    purpose text NOT NULL,
    reference text NOT NULL UNIQUE,
    to_address text NOT NULL CHECK (to_address ~ '^0x[0-9a-f]{40}$'),
    data bytea NOT NULL,
    value numeric(78, 0) NOT NULL CHECK (value >= 0),
    gas_limit bigint NOT NULL CHECK (gas_limit > 0),
    state text NOT NULL CHECK (state IN ('queued', 'sending', 'mined', 'succeeded', 'reverted', 'displaced', 'refused')),
    nonce bigint CHECK (nonce >= 0),
    hash text,
    block_number bigint,
    fee_units numeric(78, 0) CHECK (fee_units >= 0),
    reason text,
    stuck_at timestamptz,
    gone_number bigint,
    gone_hash text,
    due_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT a_nonce_is_used_once UNIQUE (chain_id, sender, nonce),
    CONSTRAINT what_was_not_sent_has_no_nonce CHECK ((nonce IS NULL) = (state IN ('queued', 'refused'))),
    CONSTRAINT what_is_over_is_not_due CHECK (
        (due_at IS NULL) = (state IN ('succeeded', 'reverted', 'displaced', 'refused'))),
    CONSTRAINT what_is_mined_has_a_place CHECK (
        state NOT IN ('mined', 'succeeded', 'reverted') OR (hash, block_number, fee_units) IS NOT NULL)
);
CREATE INDEX chain_transactions_due ON chain_transactions (chain_id, sender, due_at) WHERE due_at IS NOT NULL;

-- Every form in which a transaction was ever signed: any of them may be the one that is mined.
CREATE TABLE chain_transaction_sends (
    transaction_id text NOT NULL REFERENCES chain_transactions (id),
    number integer NOT NULL CHECK (number > 0),
    hash text NOT NULL UNIQUE CHECK (hash ~ '^0x[0-9a-f]{64}$'),
    raw bytea NOT NULL,
    fee_per_gas numeric(78, 0) NOT NULL,
    tip_per_gas numeric(78, 0),
    signed_at timestamptz NOT NULL,
    signed_block bigint NOT NULL,
    PRIMARY KEY (transaction_id, number)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON chain_transaction_sends
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE sweep_schedules (
    chain_id bigint PRIMARY KEY,
    due_at timestamptz NOT NULL,
    said text NOT NULL
);

CREATE TABLE sweeps (
    id text PRIMARY KEY,
    chain_id bigint NOT NULL,
    operator text REFERENCES operators (name),
    reference text UNIQUE REFERENCES chain_transactions (reference),
    outcome text,
    created_at timestamptz NOT NULL,
    closed_at timestamptz,
    CHECK ((closed_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX sweeps_open ON sweeps (chain_id, created_at) WHERE closed_at IS NULL;

CREATE TABLE sweep_items (
    sweep_id text NOT NULL REFERENCES sweeps (id),
    chain_id bigint NOT NULL,
    address text NOT NULL REFERENCES deposit_addresses (address),
    token text NOT NULL CHECK (token ~ '^0x[0-9a-f]{40}$'),
    state text NOT NULL CHECK (state IN ('open', 'flushed', 'failed', 'nothing')),
    asset text REFERENCES assets (code),
    sent numeric(78, 0) CHECK (sent >= 0),
    arrived numeric(78, 0) CHECK (arrived >= 0),
    tx_hash text,
    log_index integer,
    block_number bigint,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (sweep_id, address, token),
    CHECK (state <> 'flushed' OR (sent, arrived, tx_hash, log_index, block_number) IS NOT NULL)
);
CREATE UNIQUE INDEX sweep_items_open ON sweep_items (chain_id, address, token) WHERE state = 'open';
CREATE INDEX sweep_items_place ON sweep_items (chain_id, address, token, state);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("what was sent is not forgotten; restore a backup instead")
