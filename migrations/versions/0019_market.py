"""What prices are made of: middle rates as they were, and what stops them."""

from alembic import op

revision = "0019"
down_revision = "0018"

TABLES = """
-- Prices are exact ratios, as in "1292/10".
CREATE FUNCTION is_ratio(price text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT price ~ '^[1-9][0-9]*(/[1-9][0-9]*)?$'
$$;

-- What was published of a pair last. What was before is its history.
CREATE TABLE market_pairs (
    base text NOT NULL,
    quote text NOT NULL,
    price text NOT NULL CHECK (is_ratio(price)),
    at timestamptz NOT NULL,
    low text NOT NULL CHECK (is_ratio(low)),
    high text NOT NULL CHECK (is_ratio(high)),
    since timestamptz NOT NULL,
    moves numeric(78, 6) NOT NULL CHECK (moves >= 0),
    newest timestamptz NOT NULL,
    pending text CHECK (is_ratio(pending)),
    rounds integer NOT NULL DEFAULT 0 CHECK (rounds >= 0),
    PRIMARY KEY (base, quote),
    CHECK ((pending IS NULL) = (rounds = 0))
);

-- Every middle rate that was found: published, or not believed yet.
CREATE TABLE market_history (
    base text NOT NULL,
    quote text NOT NULL,
    at timestamptz NOT NULL,
    price text NOT NULL CHECK (is_ratio(price)),
    as_of timestamptz NOT NULL,
    sources jsonb NOT NULL,
    published boolean NOT NULL,
    PRIMARY KEY (base, quote, at)
);
CREATE INDEX market_history_at ON market_history (at);
CREATE TRIGGER kept BEFORE UPDATE OR TRUNCATE ON market_history FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What stops quotes, and what did. One of a kind is open at a time.
CREATE TABLE market_stops (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    breaker text NOT NULL CHECK (breaker IN ('stale', 'spread', 'jump', 'depeg', 'by_hand')),
    subject text NOT NULL CHECK (subject <> ''),
    reason text NOT NULL CHECK (reason <> ''),
    since timestamptz NOT NULL,
    stopped_by text REFERENCES operators (name),
    well_since timestamptz,
    lifted_at timestamptz CHECK (lifted_at >= since),
    lifted_by text REFERENCES operators (name),
    CHECK ((breaker = 'by_hand') = (stopped_by IS NOT NULL)),
    CHECK (breaker <> 'by_hand' OR (lifted_at IS NULL) = (lifted_by IS NULL)),
    CHECK (lifted_by IS NULL OR lifted_at IS NOT NULL)
);
CREATE UNIQUE INDEX one_stop_of_a_kind ON market_stops (breaker, subject) WHERE lifted_at IS NULL;
-- Whether a deposit fell into one is asked for each deposit.
CREATE INDEX market_stops_of ON market_stops (subject, since) WHERE breaker IN ('depeg', 'by_hand');
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON market_stops FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ended BEFORE UPDATE ON market_stops FOR EACH ROW
    WHEN (OLD.lifted_at IS NOT NULL OR (NEW.breaker, NEW.subject, NEW.reason, NEW.since, NEW.stopped_by)
        IS DISTINCT FROM (OLD.breaker, OLD.subject, OLD.reason, OLD.since, OLD.stopped_by))
    EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
