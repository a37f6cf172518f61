"""Moves of float that are approved: who decided, and the order of the house that carries one out."""

from alembic import op

revision = "0026"
down_revision = "0025"

TABLES = """
-- Whose orders the moves are. No client is ever made for it, and it is disabled: nobody signs in as the house.
INSERT INTO partners (id, name, created_at, disabled_at) VALUES ('house', 'house', now(), now());

-- The house's orders wait in a lane of their own, which no rail serves: only their move says who pays them, and when.
CREATE OR REPLACE FUNCTION set_lane() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT CASE WHEN partner_id = 'house' THEN '-/-/-/house' ELSE concat_ws('/', country, receive_asset, method, speed) END
    INTO NEW.lane FROM quotes WHERE id = NEW.quote_id;
    RETURN NEW;
END $$;

-- What people decided about a move of a plan, and how it ended. How it stands in between its order says.
CREATE TABLE float_runs (
    move_id text PRIMARY KEY REFERENCES float_moves (id),
    persons smallint NOT NULL CHECK (persons IN (1, 2)),
    proposed_by text NOT NULL REFERENCES operators (name),
    proposed_at timestamptz NOT NULL,
    approved_by text REFERENCES operators (name),
    approved_at timestamptz,
    order_id text UNIQUE REFERENCES orders (id),
    outcome text CHECK (outcome IN ('refused', 'cancelled', 'failed', 'arrived')),
    ended_at timestamptz,
    reason text,
    CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    CHECK (approved_by IS DISTINCT FROM proposed_by OR persons = 1),
    CHECK (order_id IS NULL OR approved_at IS NOT NULL),
    CHECK (num_nonnulls(outcome, ended_at, reason) IN (0, 3)),
    CHECK (approved_at IS NULL OR outcome IS DISTINCT FROM 'refused')
);
CREATE INDEX float_runs_open ON float_runs (move_id) WHERE ended_at IS NULL;
CREATE TRIGGER never_gone BEFORE DELETE OR TRUNCATE OR UPDATE OF move_id, persons, proposed_by, proposed_at ON float_runs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What approved moves will take from where it lies, and have not taken yet. What an open attempt or leg takes isn't here.
CREATE VIEW float_reserved AS
SELECT m.id AS move_id, m.source AS account, m.give_asset AS asset, m.give_units AS units
FROM float_runs AS r JOIN float_moves AS m ON m.id = r.move_id LEFT JOIN orders AS o ON o.id = r.order_id
WHERE r.approved_at IS NOT NULL AND r.ended_at IS NULL AND (
    r.order_id IS NULL
    OR o.state IN ('funded', 'held') AND NOT EXISTS (SELECT FROM attempts AS a WHERE a.order_id = o.id)
    OR o.state IN ('paying', 'uncertain') AND m.give_asset <> m.asset AND NOT EXISTS (
        SELECT FROM attempts AS a JOIN legs AS l ON l.attempt_id = a.id
        WHERE a.order_id = o.id AND l.gave_asset = m.give_asset AND (l.on_chain OR l.outcome = 'paid'))
);

-- What they bring to rails, and what isn't known to be there yet.
CREATE VIEW float_incoming AS
SELECT m.id AS move_id, m.to_rail AS rail, m.asset, m.units
FROM float_runs AS r JOIN float_moves AS m ON m.id = r.move_id
WHERE r.approved_at IS NOT NULL AND r.ended_at IS NULL;
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
