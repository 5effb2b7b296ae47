"""Lease beats: a lease counts its owner's signs of life, and no clock that may be set ends it.
`until_ms` stays what it was for processes of the version before.
"""

import sqlalchemy as sa
from alembic import op

from miaosha.adapters.sql.schema_steps import add_column, has_column

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # SQLite would write the column behind the others' line; made anew it reads like a new table
    beat = sa.Column("beat", sa.BigInteger(), server_default="0", nullable=False)
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table("leases", recreate="always") as leases:
            leases.add_column(beat)
    else:
        add_column("leases", beat)


def downgrade() -> None:
    if has_column("leases", "beat"):
        with op.batch_alter_table("leases") as leases:
            leases.drop_column("beat")
