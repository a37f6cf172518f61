"""How long a source's price may be used: each source has its own measure of age."""

from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    # NULL: as long as [pricing] max_age_s says.
    op.execute("ALTER TABLE rate_observations ADD COLUMN good_until timestamptz")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
