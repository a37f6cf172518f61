"""Why each payout went where it went."""

from alembic import op

revision = "0022"
down_revision = "0021"

TABLES = """
-- What choices look at and what seldom changes: each once, by the hash of its content. No foreign key leads here: claims by
-- the thousand would lock the same row. What is still in use is kept (kept_at).
CREATE TABLE route_scenes (
    id bytea PRIMARY KEY CHECK (length(id) = 32),
    body bytea NOT NULL,
    kept_at timestamptz NOT NULL
);

-- What experience said when it was asked, each answer once per snapshot of it (twice, if two claims asked at once).
CREATE TABLE route_outlooks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    experience text NOT NULL,
    body bytea NOT NULL,
    kept_at timestamptz NOT NULL
);
CREATE INDEX route_outlooks_of ON route_outlooks (experience);
CREATE INDEX route_outlooks_kept ON route_outlooks (kept_at);

-- One row per claim. Who was asked for an order stands in its attempt: those from `first` to `last` made at `at` are the
-- claim's, in the order in which they were placed. Everything else is worked out again from scene, experience and choices.
CREATE TABLE route_decisions (
    at timestamptz NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    policy text NOT NULL,
    scene_id bytea NOT NULL,
    experience text NOT NULL,
    first text,
    last text,
    choices jsonb NOT NULL,
    PRIMARY KEY (at, id),
    CHECK ((first IS NULL) = (last IS NULL))
);
CREATE TRIGGER kept BEFORE UPDATE OR TRUNCATE ON route_decisions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER kept BEFORE UPDATE OR TRUNCATE ON route_outlooks FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Which rail an order of a backlog had best take. Only hints, which are worked out again: nothing is lost with them.
CREATE UNLOGGED TABLE backlog_hints (
    order_id text PRIMARY KEY,
    rail text NOT NULL,
    until timestamptz NOT NULL
);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
