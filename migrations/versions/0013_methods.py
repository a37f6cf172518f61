"""Recipients' ranked ways to be paid: they are added to, never edited; and when the next drop of an economy quote is."""

from alembic import op

revision = "0013"
down_revision = "0012"

TABLES = """
-- A quote with speed economy is paid at a multiple of this many seconds since 1970-01-01T00:00Z.
ALTER TABLE quotes ADD COLUMN drop_every_s integer CHECK (drop_every_s > 0);

-- Who sent an order's money to another account than the one that was refused. The way itself is personal data and stands in
-- recipient_ways under its rank; here accounts are masked, so that this may stay when they are erased.
CREATE TABLE order_redirects (
    order_id text NOT NULL REFERENCES orders (id),
    rank smallint NOT NULL CHECK (rank > 0),
    method text NOT NULL,
    account_masked text NOT NULL,
    refused_rank smallint NOT NULL,
    refused_masked text NOT NULL,
    by text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (order_id, rank)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON order_redirects
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- An attempt names its way by rank, so what stands there must be what was paid. (Deleting is for erasure.)
CREATE FUNCTION refuse_edited_way() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a way to a recipient is not edited: add another one to recipient_ways'
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER never_edited BEFORE UPDATE OF order_id, account ON recipients
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_edited_way();
CREATE TRIGGER never_edited BEFORE UPDATE ON recipient_ways
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_edited_way();
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
