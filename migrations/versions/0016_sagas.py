"""Payments in several steps: a row per leg."""

from alembic import op

revision = "0016"
down_revision = "0015"

TABLES = """
CREATE TABLE legs (
    id text PRIMARY KEY CHECK (id ~ '^leg_.'),
    attempt_id text NOT NULL REFERENCES attempts (id),
    rail text NOT NULL,
    number smallint NOT NULL CHECK (number > 0),
    name text NOT NULL CHECK (name <> ''),
    on_chain boolean NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('sending', 'pending', 'available', 'unknown', 'paid', 'failed', 'returned')),
    provider_ref text,
    receipt text,
    gave_asset text REFERENCES assets (code),
    gave_units numeric(78, 0) CHECK (gave_units >= 0),
    got_asset text REFERENCES assets (code),
    got_units numeric(78, 0) CHECK (got_units >= 0),
    fee_asset text REFERENCES assets (code),
    fee_units numeric(78, 0) CHECK (fee_units >= 0),
    facts jsonb NOT NULL,
    fault text CHECK (fault IN ('recipient', 'rail', 'float', 'transient')),
    reason text,
    evidence jsonb NOT NULL,
    asks integer NOT NULL,
    due_at timestamptz,
    lease_token bigint NOT NULL,
    lease_until timestamptz,
    created_at timestamptz NOT NULL,
    sent_at timestamptz,
    updated_at timestamptz NOT NULL,
    closed_at timestamptz,
    UNIQUE (attempt_id, number),
    CHECK ((closed_at IS NULL) = (outcome IN ('sending', 'pending', 'available', 'unknown'))),
    CHECK (closed_at IS NOT NULL OR due_at IS NOT NULL),
    CHECK (outcome NOT IN ('pending', 'available', 'paid', 'returned') OR sent_at IS NOT NULL),
    CHECK (outcome <> 'paid' OR provider_ref IS NOT NULL),
    CHECK (outcome NOT IN ('failed', 'returned') OR fault IS NOT NULL),
    CHECK ((gave_asset IS NULL) = (gave_units IS NULL)),
    CHECK ((got_asset IS NULL) = (got_units IS NULL)),
    CHECK ((fee_asset IS NULL) = (fee_units IS NULL))
);
CREATE UNIQUE INDEX one_open_leg_per_attempt ON legs (attempt_id) WHERE closed_at IS NULL;
CREATE INDEX legs_due ON legs (rail, due_at) WHERE due_at IS NOT NULL;
CREATE TRIGGER never_moved BEFORE UPDATE OF id, attempt_id, rail, number, name, on_chain OR DELETE OR TRUNCATE ON legs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A leg begins when the one before it is paid, and never twice: whoever writes.
CREATE FUNCTION guard_legs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_legs AS n WHERE n.number > 1 AND NOT EXISTS (
            SELECT FROM legs AS b WHERE b.attempt_id = n.attempt_id AND b.number = n.number - 1 AND b.outcome = 'paid')
    ) THEN
        RAISE EXCEPTION 'a leg begins when the one before it is paid' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER guard_legs AFTER INSERT ON legs REFERENCING NEW TABLE AS new_legs
    FOR EACH STATEMENT EXECUTE FUNCTION guard_legs();
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
