"""What quotes promise: every fee, and how much may be promised at once."""

from alembic import op

revision = "0020"
down_revision = "0019"

FEES = """
-- Beside our own (margin, fee): what the partner, the rail and the network get; and, out of what is received, what the
-- recipient pays others to have it in cash.
ALTER TABLE quotes
    ADD COLUMN partner_fee_units numeric(78, 0) NOT NULL DEFAULT 0 CHECK (partner_fee_units >= 0),
    ADD COLUMN rail_fee_units numeric(78, 0) NOT NULL DEFAULT 0 CHECK (rail_fee_units >= 0),
    ADD COLUMN network_fee_units numeric(78, 0) NOT NULL DEFAULT 0 CHECK (network_fee_units >= 0),
    ADD COLUMN cash_out_units numeric(78, 0) NOT NULL DEFAULT 0
        CHECK (cash_out_units BETWEEN 0 AND receive_units),
    ADD CONSTRAINT partner_fee_has_a_partner CHECK (partner_fee_units = 0 OR partner_id IS NOT NULL),
    DROP CONSTRAINT quote_adds_up,
    ADD CONSTRAINT quote_adds_up CHECK (mid_units = margin_units + fee_units + partner_fee_units + rail_fee_units
        + network_fee_units + rounding_units + receive_units);
ALTER TABLE partners ADD COLUMN fee_bps integer NOT NULL DEFAULT 0 CHECK (fee_bps BETWEEN 0 AND 9999);
"""

EXPOSURE = """
-- What is promised and not yet paid for, in US cents, summed by when the promises end: a new quote adds to one row. Whoever
-- adds holds the advisory lock of (holder, corridor); whoever takes away locks the rows in the order of their key.
CREATE TABLE exposures (
    holder text NOT NULL,
    corridor text NOT NULL,
    until timestamptz NOT NULL,
    units numeric(78, 0) NOT NULL,
    PRIMARY KEY (holder, corridor, until)
);
-- With how much a quote stands in which row; NULL: in none.
ALTER TABLE quotes
    ADD COLUMN exposed_units numeric(78, 0) CHECK (exposed_units > 0),
    ADD COLUMN exposed_until timestamptz CHECK (exposed_until >= expires_at),
    ADD CONSTRAINT exposed_somewhere CHECK ((exposed_units IS NULL) = (exposed_until IS NULL));
"""

FIRM = """
-- A quote is bound to all that it says, whoever writes.
CREATE TRIGGER firm BEFORE UPDATE ON quotes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    op.execute(FEES)
    op.execute(EXPOSURE)
    op.execute(FIRM)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
