"""Rails' health, limits and float; batches."""

from alembic import op

revision = "0010"
down_revision = "0009"

TABLES = """
-- What all processes together know of a rail: its breaker, and when it may be called again. No row: nothing ever happened.
CREATE TABLE rail_states (
    rail text PRIMARY KEY,
    state text NOT NULL DEFAULT 'closed' CHECK (state IN ('closed', 'open', 'half_open', 'stopped')),
    since timestamptz,
    reason text,
    stopped_by text REFERENCES operators (name),
    open_until timestamptz,
    openings integer NOT NULL DEFAULT 0,
    in_row integer NOT NULL DEFAULT 0,
    good integer NOT NULL DEFAULT 0,
    bad integer NOT NULL DEFAULT 0,
    window_from timestamptz,
    next_call_at timestamptz,
    call_interval interval,
    CHECK ((state = 'stopped') = (stopped_by IS NOT NULL)),
    CHECK (state <> 'open' OR open_until IS NOT NULL),
    CHECK ((bad = 0) = (window_from IS NULL))
);

-- Counts what is under way at a rail, and adds up what it will take of our float.
CREATE INDEX attempts_at_rail ON attempts (adapter, outcome) WHERE closed_at IS NULL;

CREATE TABLE batches (
    id text PRIMARY KEY,
    rail text NOT NULL,
    slot timestamptz NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON batches
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE INDEX attempts_batch ON attempts (batch_id) WHERE batch_id IS NOT NULL;
"""

FLOAT = """
-- What we hold at each rail: the ledger's account of it, with the sign turned round. Kept from the postings, by nobody else.
CREATE TABLE rail_balances (
    rail text NOT NULL,
    asset text NOT NULL REFERENCES assets (code),
    held numeric(96, 0) NOT NULL,
    top_ups bigint NOT NULL,
    PRIMARY KEY (rail, asset)
) WITH (fillfactor = 50);

-- Rows are taken in the order of their names: two sets that touch the same two rails wait for each other, not crosswise.
CREATE FUNCTION keep_rail_balances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rail_balances AS b (rail, asset, held, top_ups)
    SELECT rail, asset, sum(held), sum(top_ups) FROM (
        SELECT substr(source, 6) AS rail, asset, units AS held, (destination = 'capital')::integer AS top_ups
        FROM added WHERE source ^@ 'rail:'
        UNION ALL
        SELECT substr(destination, 6), asset, -units, 0 FROM added WHERE destination ^@ 'rail:'
    ) AS moves
    GROUP BY rail, asset
    ORDER BY rail, asset
    ON CONFLICT (rail, asset) DO UPDATE SET held = b.held + excluded.held, top_ups = b.top_ups + excluded.top_ups;
    RETURN NULL;
END $$;

CREATE TRIGGER keep_rail_balances AFTER INSERT ON postings
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION keep_rail_balances();

-- What was posted before. Making the trigger locked the table against postings that would be counted twice or not at all.
INSERT INTO rail_balances (rail, asset, held, top_ups)
SELECT rail, asset, sum(held), sum(top_ups) FROM (
    SELECT substr(source, 6) AS rail, asset, units AS held, (destination = 'capital')::integer AS top_ups
    FROM postings WHERE source ^@ 'rail:'
    UNION ALL
    SELECT substr(destination, 6), asset, -units, 0 FROM postings WHERE destination ^@ 'rail:'
) AS moves
GROUP BY rail, asset;

CREATE TRIGGER follows_postings BEFORE INSERT OR UPDATE OR DELETE ON rail_balances
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_direct_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON rail_balances
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(FLOAT)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
