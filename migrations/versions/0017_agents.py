"""The network of cash agents: clients and their accounts, agents and their floats, codes, hand-over."""

from alembic import op

revision = "0017"
down_revision = "0016"

TABLES = """
-- Whoever may make codes, and what he has with us: free, and held for codes that nobody has redeemed.
CREATE TABLE network_clients (
    id text PRIMARY KEY CHECK (id ~ '^ncl_.'),
    name text NOT NULL UNIQUE CHECK (name <> ''),
    key_hash bytea NOT NULL CHECK (length(key_hash) = 32),
    created_at timestamptz NOT NULL,
    disabled_at timestamptz
);
CREATE TABLE network_accounts (
    id text PRIMARY KEY CHECK (id ~ '^acc_.'),
    client_id text NOT NULL REFERENCES network_clients (id),
    asset text NOT NULL REFERENCES assets (code),
    free_units numeric(78, 0) NOT NULL CONSTRAINT enough_is_free CHECK (free_units >= 0),
    held_units numeric(78, 0) NOT NULL CHECK (held_units >= 0),
    UNIQUE (client_id, asset)
);

-- Whoever gives the cash. What we owe him rises with it; below zero he holds cash of ours.
CREATE TABLE agents (
    id text PRIMARY KEY CHECK (id ~ '^agt_.'),
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z][a-z0-9._-]{0,63}$'),
    shop text NOT NULL CHECK (shop <> ''),
    password_hash text NOT NULL,
    key_hash bytea NOT NULL CHECK (length(key_hash) = 32),
    created_at timestamptz NOT NULL,
    disabled_at timestamptz
);
CREATE TABLE agent_floats (
    agent_id text NOT NULL REFERENCES agents (id),
    asset text NOT NULL REFERENCES assets (code),
    owed_units numeric(78, 0) NOT NULL,
    reserved_units numeric(78, 0) NOT NULL CHECK (reserved_units >= 0),
    most_units numeric(78, 0) NOT NULL CHECK (most_units >= 0),
    PRIMARY KEY (agent_id, asset)
);
CREATE TABLE agent_sessions (
    token_hash bytea PRIMARY KEY,
    agent_id text NOT NULL REFERENCES agents (id),
    created_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX agent_sessions_agent ON agent_sessions (agent_id);

-- Of the digits only a keyed hash is kept.
CREATE TABLE pickup_codes (
    id text PRIMARY KEY CHECK (id ~ '^cod_.'),
    client_id text NOT NULL REFERENCES network_clients (id),
    account_id text NOT NULL REFERENCES network_accounts (id),
    correlation_id text NOT NULL,
    reference text NOT NULL,
    code_hash bytea NOT NULL UNIQUE CHECK (length(code_hash) = 32),
    state text NOT NULL CHECK (state IN ('active', 'claimed', 'redeemed', 'cancelled', 'expired')),
    asset text NOT NULL REFERENCES assets (code),
    units numeric(78, 0) NOT NULL CHECK (units > 0),
    country text NOT NULL,
    holder text NOT NULL,
    msisdn text NOT NULL,
    misses integer NOT NULL CHECK (misses >= 0),
    renewals integer NOT NULL CHECK (renewals >= 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    UNIQUE (client_id, correlation_id),
    UNIQUE (client_id, reference)
);
CREATE INDEX pickup_codes_expiring ON pickup_codes (expires_at) WHERE state = 'active';
CREATE INDEX pickup_codes_of_account ON pickup_codes (account_id, created_at);

CREATE TABLE pickup_claims (
    id text PRIMARY KEY CHECK (id ~ '^wdr_.'),
    code_id text NOT NULL REFERENCES pickup_codes (id),
    agent_id text NOT NULL REFERENCES agents (id),
    agent_reference text NOT NULL,
    state text NOT NULL CHECK (state IN ('reserved', 'confirmed', 'released')),
    document text,
    reserved_at timestamptz NOT NULL,
    closed_at timestamptz,
    UNIQUE (agent_id, agent_reference),
    CHECK ((closed_at IS NULL) = (state = 'reserved')),
    CHECK ((document IS NULL) = (state <> 'confirmed'))
);
-- Two agents never have one code, whoever writes.
CREATE UNIQUE INDEX one_claim_per_code ON pickup_claims (code_id) WHERE state <> 'released';
CREATE INDEX pickup_claims_open ON pickup_claims (reserved_at) WHERE state = 'reserved';

CREATE TABLE pickup_misses (
    agent_id text PRIMARY KEY REFERENCES agents (id),
    misses integer NOT NULL CHECK (misses >= 0),
    since timestamptz NOT NULL
);

-- What has ended stays so.
CREATE FUNCTION refuse_revival() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% % is %: it has ended', TG_TABLE_NAME, OLD.id, OLD.state USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER ended BEFORE UPDATE OF state ON pickup_codes
    FOR EACH ROW WHEN (OLD.state IN ('redeemed', 'cancelled', 'expired') AND NEW.state <> OLD.state)
    EXECUTE FUNCTION refuse_revival();
CREATE TRIGGER ended BEFORE UPDATE OF state ON pickup_claims
    FOR EACH ROW WHEN (OLD.state <> 'reserved' AND NEW.state <> OLD.state)
    EXECUTE FUNCTION refuse_revival();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON pickup_codes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON pickup_claims FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
