"""How rails did: learned times and successes, and their weather."""

from alembic import op

revision = "0021"
down_revision = "0020"

# All of it is derived from attempts: emptied, with experience_progress set back to '', it is learned anew.
TABLES = """
CREATE TABLE experience_progress (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    upto text NOT NULL,
    half_life interval NOT NULL CHECK (half_life > interval '0'),
    now_half_life interval NOT NULL CHECK (now_half_life > interval '0'),
    learned_at timestamptz
);
INSERT INTO experience_progress (upto, half_life, now_half_life) VALUES ('', interval '14 days', interval '30 minutes');

-- Numbers of payments, as they count at the time `at`: half as much a half-life later. Slots are the buckets of the time
-- that they took, and behind them the paid and the failed ones (gateway.routing.experience).
CREATE TABLE experience (
    span text NOT NULL CHECK (span IN ('usual', 'now')),
    rail text NOT NULL,
    asset text NOT NULL,
    institution text NOT NULL,
    hour smallint NOT NULL CHECK (hour BETWEEN 0 AND 23),
    band smallint NOT NULL,
    slot smallint NOT NULL CHECK (slot >= 0),
    weight double precision NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (span, rail, asset, institution, hour, band, slot)
);

-- Attempts that were open when they were come to.
CREATE TABLE experience_waiting (
    attempt_id text PRIMARY KEY,
    rail text NOT NULL,
    asset text NOT NULL,
    institution text NOT NULL,
    hour smallint NOT NULL,
    band smallint NOT NULL,
    sent_at timestamptz NOT NULL,
    timed boolean NOT NULL
);

-- What counts of attempts of which the rail said something else after they were closed.
CREATE TABLE experience_turned (
    attempt_id text PRIMARY KEY,
    turns smallint NOT NULL,
    paid boolean NOT NULL,
    failed boolean NOT NULL
);
CREATE INDEX attempts_turned ON attempts (id) WHERE turns > 0;

-- When a rail last answered anything.
CREATE TABLE rail_heard (
    rail text PRIMARY KEY,
    heard_at timestamptz NOT NULL
);

CREATE TABLE rail_weather (
    rail text NOT NULL,
    country text NOT NULL,
    currency text NOT NULL,
    method text NOT NULL,
    institution text NOT NULL,
    state text NOT NULL CHECK (state IN ('operational', 'delayed', 'closed')),
    reason text NOT NULL,
    since timestamptz NOT NULL,
    changes_at timestamptz,
    as_of timestamptz NOT NULL,
    PRIMARY KEY (rail, country, currency, method, institution)
);

-- What a quote said of when the money is there: seconds after it is sent.
ALTER TABLE quotes ADD COLUMN delivery_p50_s integer CHECK (delivery_p50_s > 0);
ALTER TABLE quotes ADD COLUMN delivery_p95_s integer CHECK (delivery_p95_s >= delivery_p50_s);
ALTER TABLE quotes ADD CHECK ((delivery_p50_s IS NULL) = (delivery_p95_s IS NULL));
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
