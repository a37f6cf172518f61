"""Statements of rails and what reconciliation found."""

from alembic import op

revision = "0014"
down_revision = "0013"

TABLES = """
-- What rails say moved on our accounts there. A line is stored once, however often its statement is read.
CREATE TABLE statement_lines (
    rail text NOT NULL,
    line_id text NOT NULL CHECK (line_id <> ''),
    kind text NOT NULL CHECK (kind IN ('payout', 'return', 'top_up', 'fee', 'other')),
    asset text NOT NULL REFERENCES assets (code),
    units numeric(78, 0) NOT NULL CHECK (units >= 0),
    leaves boolean NOT NULL,
    at timestamptz NOT NULL,
    attempt_id text,
    provider_ref text,
    imported_at timestamptz NOT NULL,
    PRIMARY KEY (rail, line_id)
);
CREATE INDEX statement_lines_attempt ON statement_lines (attempt_id) WHERE attempt_id IS NOT NULL;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON statement_lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Of which time we have all lines: only there is a payment without a line missing.
CREATE TABLE statement_periods (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rail text NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL CHECK (until >= since),
    source text NOT NULL CHECK (source IN ('asked', 'file')),
    lines integer NOT NULL,
    added integer NOT NULL,
    imported_at timestamptz NOT NULL
);
CREATE INDEX statement_periods_rail ON statement_periods (rail, until);

-- Lines that a person explained, each by one entry of the journal.
CREATE TABLE statement_bookings (
    rail text NOT NULL,
    line_id text NOT NULL,
    cause text NOT NULL REFERENCES journal (cause),
    PRIMARY KEY (rail, line_id),
    FOREIGN KEY (rail, line_id) REFERENCES statement_lines (rail, line_id)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON statement_bookings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- One row per run. A run of the schedule names its period, so that a period has one.
CREATE TABLE reconciliations (
    id text PRIMARY KEY,
    period timestamptz UNIQUE,
    started_at timestamptz NOT NULL,
    lease_until timestamptz NOT NULL,
    finished_at timestamptz,
    outcome text CHECK (outcome IN ('equal', 'breaks', 'incomplete')),
    breaks integer NOT NULL DEFAULT 0,
    blocks jsonb NOT NULL DEFAULT '{}',
    report jsonb NOT NULL DEFAULT '{}',
    CHECK ((finished_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX reconciliations_finished ON reconciliations (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE reconciliation_breaks (
    id text PRIMARY KEY,
    cause text NOT NULL,
    checked_by text NOT NULL,
    kind text NOT NULL,
    place text NOT NULL,
    asset text,
    ours numeric(96, 0),
    theirs numeric(96, 0),
    effect numeric(96, 0) NOT NULL,
    order_id text,
    attempt_id text,
    rail text,
    line_id text,
    detail jsonb NOT NULL,
    said text NOT NULL,
    next_step text NOT NULL,
    since timestamptz,
    found_at timestamptz NOT NULL,
    found_by text NOT NULL REFERENCES reconciliations (id),
    seen_at timestamptz NOT NULL,
    closed_at timestamptz,
    closed_because text CHECK (closed_because IN ('gone', 'booked')),
    closed_by text REFERENCES operators (name),
    booked_cause text REFERENCES journal (cause),
    CHECK ((closed_at IS NULL) = (closed_because IS NULL)),
    CHECK (closed_because IS DISTINCT FROM 'booked' OR (booked_cause IS NOT NULL AND closed_by IS NOT NULL))
);
CREATE UNIQUE INDEX one_open_break_per_cause ON reconciliation_breaks (cause) WHERE closed_at IS NULL;
CREATE INDEX reconciliation_breaks_found ON reconciliation_breaks (found_at);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
