"""Operators, and what they decided."""

from alembic import op

revision = "0002"
down_revision = "0001"

TABLES = """
CREATE TABLE operators (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9._-]{0,63}$'),
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL,
    disabled_at timestamptz
);

CREATE TABLE operator_actions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator text NOT NULL REFERENCES operators (name),
    action text NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    detail jsonb NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX operator_actions_subject ON operator_actions (subject);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON operator_actions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE operator_sessions (
    token_hash bytea PRIMARY KEY,
    operator text NOT NULL REFERENCES operators (name),
    created_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX operator_sessions_operator ON operator_sessions (operator);

CREATE TABLE sign_in_attempts (
    counted text PRIMARY KEY,
    attempts integer NOT NULL CHECK (attempts > 0),
    since timestamptz NOT NULL
);
CREATE INDEX sign_in_attempts_since ON sign_in_attempts (since);
CREATE INDEX incidents_open ON incidents (opened_at) WHERE closed_at IS NULL;

-- What operators look at often, found without reading what is over.
CREATE INDEX deposits_orphaned ON deposits (chain_id) WHERE status = 'orphaned';
CREATE INDEX balances_unallocated ON balances (account, asset) WHERE account LIKE 'order:%\\:unallocated';
CREATE INDEX postings_into_wallets ON postings (destination, asset) INCLUDE (units) WHERE destination LIKE 'wallet:%';
CREATE INDEX postings_out_of_wallets ON postings (source, asset) INCLUDE (units) WHERE source LIKE 'wallet:%';
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("decisions are not forgotten; restore a backup instead")
