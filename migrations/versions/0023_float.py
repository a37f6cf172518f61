"""Floats as they were, what is needed of them, plans."""

from alembic import op

revision = "0023"
down_revision = "0022"

TABLES = """
-- Each float as it was seen last: what the rail told, what its marks came to, since when it is below one of them.
CREATE TABLE floats (
    rail text NOT NULL,
    asset text NOT NULL REFERENCES assets (code),
    told numeric(96, 0),
    told_at timestamptz,
    available numeric(96, 0),
    low numeric(96, 0) CHECK (low >= 0),
    critical numeric(96, 0) CHECK (critical >= 0),
    low_since timestamptz,
    critical_since timestamptz,
    chance_6h integer CHECK (chance_6h BETWEEN 0 AND 10000),
    chance_24h integer CHECK (chance_24h BETWEEN 0 AND 10000),
    chance_72h integer CHECK (chance_72h BETWEEN 0 AND 10000),
    seen_at timestamptz,
    PRIMARY KEY (rail, asset),
    CHECK ((told IS NULL) = (told_at IS NULL))
) WITH (fillfactor = 50);

-- The same as it was at each look, for pictures; pruned.
CREATE TABLE float_levels (
    rail text NOT NULL,
    asset text NOT NULL REFERENCES assets (code),
    at timestamptz NOT NULL,
    available numeric(96, 0) NOT NULL,
    PRIMARY KEY (rail, asset, at)
);
CREATE INDEX float_levels_at ON float_levels (at);

-- What was paid by each rail in each hour, of the payouts that were or may be paid. Summed again until they are settled.
CREATE TABLE float_demand (
    rail text NOT NULL,
    asset text NOT NULL REFERENCES assets (code),
    hour timestamptz NOT NULL,
    units numeric(96, 0) NOT NULL CHECK (units > 0),
    payouts integer NOT NULL CHECK (payouts > 0),
    PRIMARY KEY (rail, asset, hour)
);
CREATE INDEX float_demand_hour ON float_demand (hour);

-- Plans and their moves stay as they were made: what a person approved can be read for ever.
CREATE TABLE float_plans (
    id text PRIMARY KEY CHECK (id ~ '^pln_.'),
    made_at timestamptz NOT NULL,
    valid_until timestamptz NOT NULL CHECK (valid_until > made_at),
    notes jsonb NOT NULL
);
CREATE TABLE float_moves (
    id text PRIMARY KEY CHECK (id ~ '^mov_.'),
    plan_id text NOT NULL REFERENCES float_plans (id),
    number integer NOT NULL CHECK (number > 0),
    source text NOT NULL,
    give_asset text NOT NULL REFERENCES assets (code),
    give_units numeric(78, 0) NOT NULL CHECK (give_units > 0),
    by text,
    to_rail text NOT NULL,
    asset text NOT NULL REFERENCES assets (code),
    units numeric(78, 0) NOT NULL CHECK (units > 0),
    cost_units numeric(78, 0) NOT NULL CHECK (cost_units >= 0),
    at timestamptz NOT NULL,
    arrives_at timestamptz NOT NULL CHECK (arrives_at >= at),
    why text NOT NULL CHECK (why <> ''),
    country text,
    method text,
    account text NOT NULL,
    holder text,
    institution text,
    after text REFERENCES float_moves (id),
    UNIQUE (plan_id, number),
    CHECK (num_nonnulls(by, country, method, holder) IN (0, 4))
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON float_plans
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON float_moves
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What lies in the treasury is summed at each look.
CREATE INDEX postings_into_treasury ON postings (destination, asset) INCLUDE (units) WHERE destination LIKE 'treasury:%';
CREATE INDEX postings_out_of_treasury ON postings (source, asset) INCLUDE (units) WHERE source LIKE 'treasury:%';
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
