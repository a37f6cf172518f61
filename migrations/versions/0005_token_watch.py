"""Tokens as they were found, and freezes of assets."""

from alembic import op

revision = "0005"
down_revision = "0004"

TABLES = """
CREATE TABLE asset_freezes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset text NOT NULL REFERENCES assets (code),
    kind text NOT NULL CHECK (kind IN ('paused', 'blocked', 'changed', 'replaced', 'by_hand')),
    reason text NOT NULL CHECK (reason <> ''),
    frozen_at timestamptz NOT NULL,
    lifted_at timestamptz,
    lifted_by text REFERENCES operators (name),
    CHECK ((lifted_at IS NULL) = (lifted_by IS NULL))
);
CREATE UNIQUE INDEX one_freeze_of_a_kind ON asset_freezes (asset, kind) WHERE lifted_at IS NULL;

CREATE TABLE token_looks (
    asset text PRIMARY KEY REFERENCES assets (code),
    baseline jsonb NOT NULL,
    found jsonb NOT NULL,
    found_at timestamptz NOT NULL
);

-- A contract can emit the largest number there is again and again. Whatever an order has of it still adds up.
ALTER TABLE balances ALTER COLUMN units TYPE numeric(96, 0);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("a freeze is not forgotten; restore a backup instead")
