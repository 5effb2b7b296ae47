"""Large audits: indexes of rows, holds and trail, and the table of what audits remember."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from miaosha.adapters.sql.schema_steps import create_index, create_table, drop_index, drop_table

revision = "0002"
down_revision = "0001"

BIG = sa.BigInteger()
OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
INDEXES = (
    ("holds", ("sale_id", "rid")),
    ("holds", ("sale_id", "state", "reason", "promoted")),
    ("payments", ("sale_id", "rid")),
    ("orders", ("sale_id", "rid")),
    ("outbox", ("sale_id", "rid")),
    ("audit", ("subject", "id")),
)


def upgrade() -> None:
    create_table(
        "audit_state",
        sa.Column(
            "sale_id", BIG.with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("things", sa.Text(), nullable=True),
        sa.Column("rebuilds", BIG, nullable=False),
        sa.Column("owner", sa.String(length=80), nullable=False),
        sa.Column("started_at_ms", BIG, nullable=False),
        sa.Column("beat_ms", BIG, nullable=False),
        sa.Column("looked", BIG, nullable=False),
        sa.PrimaryKeyConstraint("sale_id", name="pk_audit_state"),
        **OPTIONS,
    )
    if op.get_bind().dialect.name == "postgresql":
        _beside_writers()
        return
    for table, columns in INDEXES:
        create_index(_name(table, columns), table, list(columns))


def downgrade() -> None:
    for table, columns in reversed(INDEXES):
        drop_index(_name(table, columns), table)
    drop_table("audit_state")


def _beside_writers() -> None:
    """PostgreSQL keeps writers out while it makes an index, unless it is told otherwise. What an
    upgrade that was cut off has left is unusable, and is made anew."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for transactions that are under way
        for table, columns in INDEXES:
            name = _name(table, columns)
            op.drop_index(name, table_name=table, if_exists=True, postgresql_concurrently=True)
            op.create_index(name, table, list(columns), postgresql_concurrently=True)


def _name(table: str, columns: tuple[str, ...]) -> str:
    return f"ix_{table}_{'_'.join(columns)}"
