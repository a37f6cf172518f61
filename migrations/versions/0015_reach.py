"""How recipients are reached: the institution of an account, and the code that a recipient shows at a counter."""

from alembic import op

revision = "0015"
down_revision = "0014"

TABLES = """
-- The bank, or the wallet's operator, where an account's number doesn't say it: gateway.offramp.Institution.code.
ALTER TABLE recipients ADD COLUMN institution text CHECK (institution <> '');
ALTER TABLE recipient_ways ADD COLUMN institution text CHECK (institution <> '');

-- What the recipient shows to be paid in cash. Not in `attempts`, so that it is read only where it is shown.
CREATE TABLE pickups (
    attempt_id text PRIMARY KEY REFERENCES attempts (id),
    code text NOT NULL CHECK (code <> ''),
    expires_at timestamptz,
    place text,
    at timestamptz NOT NULL
);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
