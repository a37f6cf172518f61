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
    expires_at timestamptz NOT NULL
);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("decisions are not forgotten; restore a backup instead")
