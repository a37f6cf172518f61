"""Payouts that partner exchanges fill for us."""

from alembic import op

revision = "0018"
down_revision = "0017"

TABLES = """
-- Gateways that may offer. Their secrets are made from our key, so none is kept; another version makes another secret.
CREATE TABLE fill_clients (
    id text PRIMARY KEY CHECK (id ~ '^flc_.'),
    name text NOT NULL UNIQUE CHECK (name <> ''),
    secret_version integer NOT NULL CHECK (secret_version > 0),
    created_at timestamptz NOT NULL,
    disabled_at timestamptz
);

CREATE TABLE fills (
    id text PRIMARY KEY CHECK (id ~ '^fil_.'),
    client_id text NOT NULL REFERENCES fill_clients (id),
    reference text NOT NULL,
    request_hash bytea NOT NULL CHECK (length(request_hash) = 32),
    partner_id text NOT NULL REFERENCES partners (id),
    state text NOT NULL
        CHECK (state IN ('offered', 'accepted', 'declined', 'expired', 'cancelled', 'fulfilled', 'returned')),
    asset text NOT NULL,
    decimals smallint NOT NULL CHECK (decimals >= 0),
    units numeric(78, 0) NOT NULL CHECK (units > 0),
    country text NOT NULL,
    method text NOT NULL,
    institution text,
    account text NOT NULL,
    holder text NOT NULL,
    offered_until timestamptz NOT NULL,
    fulfil_within interval NOT NULL CHECK (fulfil_within > interval '0'),
    fulfil_by timestamptz,
    reason text,
    proof text,
    late_proof text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (client_id, reference),
    CHECK (state NOT IN ('accepted', 'fulfilled', 'returned') OR fulfil_by IS NOT NULL),
    CHECK ((proof IS NOT NULL) = (state IN ('fulfilled', 'returned'))),
    CHECK ((reason IS NOT NULL) = (state IN ('declined', 'returned')))
);
CREATE INDEX fills_of_partner ON fills (partner_id, state, id);
CREATE INDEX fills_offered ON fills (offered_until) WHERE state = 'offered';

-- What nobody will pay is never paid later, and what was paid only comes back.
CREATE TRIGGER ended BEFORE UPDATE OF state ON fills
    FOR EACH ROW WHEN (NEW.state <> OLD.state AND (
        OLD.state IN ('declined', 'expired', 'cancelled', 'returned')
        OR (OLD.state = 'fulfilled' AND NEW.state <> 'returned')
        OR (OLD.state = 'accepted' AND NEW.state NOT IN ('fulfilled', 'declined'))
    ))
    EXECUTE FUNCTION refuse_revival();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON fills FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
