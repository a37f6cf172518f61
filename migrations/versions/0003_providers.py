"""Several nodes per chain: how far each is trusted, why a chain waits, who watches it, deposits that were final and went."""

from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = """
ALTER TABLE chain_cursors ADD COLUMN waiting text;
ALTER TABLE deposits ADD COLUMN vanished_at timestamptz;
CREATE INDEX deposits_place ON deposits (chain_id, block_number);

CREATE TABLE chain_leases (
    chain_id bigint PRIMARY KEY,
    holder text NOT NULL,
    until timestamptz NOT NULL
);

CREATE TABLE chain_providers (
    chain_id bigint NOT NULL,
    name text NOT NULL,
    state text NOT NULL CHECK (state IN ('trusted', 'demoted')),
    reason text,
    since timestamptz NOT NULL,
    head bigint,
    final bigint,
    faults bigint NOT NULL,
    asked_at timestamptz NOT NULL,
    PRIMARY KEY (chain_id, name),
    CHECK ((state = 'demoted') = (reason IS NOT NULL))
);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
