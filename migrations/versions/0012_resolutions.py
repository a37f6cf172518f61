"""Evidence that people give for unknown outcomes, and payouts that they stop."""

from alembic import op

revision = "0012"
down_revision = "0011"

TABLES = """
-- What a person says became of an attempt, with what shows it, and who else agreed. Two persons are two: the database sees
-- to it.
CREATE TABLE resolutions (
    id text PRIMARY KEY,
    attempt_id text NOT NULL REFERENCES attempts (id),
    order_id text NOT NULL REFERENCES orders (id),
    verdict text NOT NULL CHECK (verdict IN ('paid', 'paid_in_part', 'failed', 'returned', 'discharged')),
    said text NOT NULL CHECK (said <> ''),
    place text NOT NULL CHECK (place <> ''),
    seen_at timestamptz NOT NULL,
    provider_ref text,
    receipt text,
    asset text REFERENCES assets (code),
    units numeric(78, 0) CHECK (units > 0),
    fault text CHECK (fault IN ('recipient', 'rail', 'float', 'transient')),
    standing jsonb NOT NULL,
    persons smallint NOT NULL CHECK (persons IN (1, 2)),
    proposed_by text NOT NULL REFERENCES operators (name),
    proposed_at timestamptz NOT NULL,
    outcome text CHECK (outcome IN ('recorded', 'refused', 'void')),
    decided_by text REFERENCES operators (name),
    decided_at timestamptz,
    CHECK ((asset IS NULL) = (units IS NULL)),
    CHECK (verdict NOT IN ('paid', 'paid_in_part', 'discharged') OR (provider_ref IS NOT NULL AND units IS NOT NULL)),
    CHECK (verdict NOT IN ('failed', 'returned') OR fault IS NOT NULL),
    CHECK ((outcome IS NULL) = (decided_at IS NULL)),
    CHECK (outcome IS DISTINCT FROM 'recorded' OR persons = 1 OR (decided_by IS NOT NULL AND decided_by <> proposed_by)),
    CHECK (outcome IS DISTINCT FROM 'refused' OR decided_by IS NOT NULL)
);
CREATE UNIQUE INDEX one_open_proposal_per_attempt ON resolutions (attempt_id) WHERE outcome IS NULL;
CREATE INDEX resolutions_order ON resolutions (order_id);

-- Payments in part, of which the rest may still be owed.
CREATE INDEX attempts_in_part ON attempts (order_id) WHERE delivered_units IS NOT NULL;

-- Files that show something of an attempt: a page of a statement, a letter.
CREATE TABLE evidence_files (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    attempt_id text NOT NULL REFERENCES attempts (id),
    name text NOT NULL CHECK (name <> ''),
    size integer NOT NULL CHECK (size BETWEEN 1 AND 5242880),
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    content bytea NOT NULL CHECK (octet_length(content) = size),
    added_by text NOT NULL REFERENCES operators (name),
    added_at timestamptz NOT NULL,
    CONSTRAINT a_file_is_kept_once UNIQUE (attempt_id, sha256)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON evidence_files
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Orders that a person stopped while a rail had them: held, not sent again, as soon as they are funded.
CREATE TABLE order_stops (
    order_id text PRIMARY KEY REFERENCES orders (id),
    stopped_by text NOT NULL REFERENCES operators (name),
    stopped_at timestamptz NOT NULL
);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
