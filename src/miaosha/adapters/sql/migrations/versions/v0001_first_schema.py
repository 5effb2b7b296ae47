"""The first schema: people, catalogue, ledger, payments, outbox, trail, leases, sandbox."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from miaosha.adapters.sql.schema_steps import create_index, create_table, drop_table

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BIG = sa.BigInteger()
OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
SALES = ("products", "sales", "ledger", "holds", "payments", "orders")
RECORDS = ("users", "outbox", "audit", "leases", "sandbox_charges")


def _one_of(table: str, column: str, *values: str) -> sa.CheckConstraint:
    listed = ", ".join(repr(value) for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=op.f(f"ck_{table}_{column}"))


def upgrade() -> None:
    for part in (_people, _catalogue, _ledger, _holds, _payments, _orders, _outbox, _records):
        part()
    _sandbox()


def downgrade() -> None:
    for table in reversed(SALES + RECORDS):
        drop_table(table)


def _people() -> None:
    create_table(
        "users",
        sa.Column("id", ID, nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("created_at_ms", BIG, nullable=False),
        _one_of("users", "role", "buyer", "admin"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
        **OPTIONS,
    )


def _catalogue() -> None:
    create_table(
        "products",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("picture_url", sa.String(length=500), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.CheckConstraint(
            "amount >= 0",
            name=op.f("ck_products_amount"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_products"),
        sqlite_autoincrement=True,
        **OPTIONS,
    )
    create_table(
        "sales",
        sa.Column("id", ID, nullable=False),
        sa.Column("product_id", ID, nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("mode", sa.String(length=8), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("opens_at_ms", BIG, nullable=False),
        sa.Column("closes_at_ms", BIG, nullable=False),
        sa.Column("pay_within_s", BIG, nullable=False),
        sa.Column("standby_pay_within_s", BIG, nullable=False),
        sa.Column("standby_limit", BIG, nullable=False),
        sa.Column("questions", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("settled_at_ms", BIG, nullable=True),
        _one_of("sales", "mode", "fifo", "draw"),
        _one_of("sales", "phase", "draft", "scheduled", "paused", "settled"),
        sa.CheckConstraint(
            "amount >= 0",
            name=op.f("ck_sales_amount"),
        ),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_sales_product_id"),
        sa.PrimaryKeyConstraint("id", name="pk_sales"),
        sqlite_autoincrement=True,
        **OPTIONS,
    )
    create_index("ix_sales_opens_at_ms", "sales", ["opens_at_ms"])
    create_index("ix_sales_phase", "sales", ["phase"])


def _ledger() -> None:
    create_table(
        "ledger",
        sa.Column("sale_id", ID, autoincrement=False, nullable=False),
        sa.Column("epoch", BIG, nullable=False),
        sa.Column("frozen", sa.String(length=500), nullable=True),
        sa.Column("stock", BIG, nullable=False),
        sa.Column("granted", BIG, nullable=False),
        sa.Column("sold", BIG, nullable=False),
        sa.CheckConstraint(
            "granted >= 0 AND granted <= stock",
            name=op.f("ck_ledger_granted"),
        ),
        sa.CheckConstraint(
            "sold >= 0 AND sold <= granted",
            name=op.f("ck_ledger_sold"),
        ),
        sa.ForeignKeyConstraint(["sale_id"], ["sales.id"], name="fk_ledger_sale_id"),
        sa.PrimaryKeyConstraint("sale_id", name="pk_ledger"),
        **OPTIONS,
    )


def _holds() -> None:
    create_table(
        "holds",
        sa.Column("rid", sa.String(length=48), nullable=False),
        sa.Column("sale_id", ID, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("live_user", BIG, nullable=True),
        sa.Column("grant_id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.String(length=8), nullable=True),
        sa.Column("pay_by_ms", BIG, nullable=False),
        sa.Column("paying_since_ms", BIG, nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("rank", BIG, nullable=False),
        sa.Column("version", BIG, nullable=False),
        sa.Column("promoted", sa.Boolean(), nullable=False),
        sa.Column("extended", sa.Boolean(), nullable=False),
        sa.Column("synced", sa.Boolean(), nullable=False),
        sa.Column("created_at_ms", BIG, nullable=False),
        sa.CheckConstraint(
            "(state = 'PAYING') = (paying_since_ms IS NOT NULL)",
            name=op.f("ck_holds_paying"),
        ),
        sa.CheckConstraint(
            "(state = 'RELEASED') = (live_user IS NULL)",
            name=op.f("ck_holds_live"),
        ),
        sa.CheckConstraint(
            "reason IN ('expired', 'declined') OR reason IS NULL",
            name=op.f("ck_holds_reason"),
        ),
        _one_of("holds", "state", "HELD", "PAYING", "PAID", "RELEASED"),
        sa.ForeignKeyConstraint(["sale_id"], ["sales.id"], name="fk_holds_sale_id"),
        sa.PrimaryKeyConstraint("rid", name="pk_holds"),
        sa.UniqueConstraint("sale_id", "live_user", name="uq_holds_sale_id_live_user"),
        **OPTIONS,
    )
    create_index("ix_holds_sale_id_user_id", "holds", ["sale_id", "user_id"])
    create_index("ix_holds_state_pay_by_ms", "holds", ["state", "pay_by_ms"])
    create_index("ix_holds_synced_state", "holds", ["synced", "state"])


def _payments() -> None:
    create_table(
        "payments",
        sa.Column("id", ID, nullable=False),
        sa.Column("rid", sa.String(length=48), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("captured_rid", sa.String(length=48), nullable=True),
        sa.Column("sale_id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("phone", sa.String(length=40), nullable=False),
        sa.Column("address", sa.String(length=500), nullable=False),
        sa.Column("created_at_ms", BIG, nullable=False),
        sa.Column("changed_at_ms", BIG, nullable=False),
        sa.CheckConstraint(
            "(state = 'captured') = (captured_rid IS NOT NULL)",
            name=op.f("ck_payments_captured"),
        ),
        _one_of("payments", "state", "started", "captured", "refused", "voided", "refunded"),
        sa.ForeignKeyConstraint(["rid"], ["holds.rid"], name="fk_payments_rid"),
        sa.PrimaryKeyConstraint("id", name="pk_payments"),
        sa.UniqueConstraint("captured_rid", name="uq_payments_captured_rid"),
        sa.UniqueConstraint("rid", "attempt", name="uq_payments_rid_attempt"),
        **OPTIONS,
    )


def _orders() -> None:
    create_table(
        "orders",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("order_no", sa.String(length=16), nullable=False),
        sa.Column("rid", sa.String(length=48), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("sale_id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("created_at_ms", BIG, nullable=False),
        _one_of("orders", "state", "paid", "refunded"),
        sa.ForeignKeyConstraint(["rid"], ["holds.rid"], name="fk_orders_rid"),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.UniqueConstraint("order_no", name="uq_orders_order_no"),
        sa.UniqueConstraint("rid", name="uq_orders_rid"),
        **OPTIONS,
    )
    create_index("ix_orders_created_at_ms_id", "orders", ["created_at_ms", "id"])
    create_index("ix_orders_sale_id_created_at_ms_id", "orders", ["sale_id", "created_at_ms", "id"])
    create_index("ix_orders_user_id_created_at_ms_id", "orders", ["user_id", "created_at_ms", "id"])


def _outbox() -> None:
    create_table(
        "outbox",
        sa.Column("id", ID, nullable=False),
        sa.Column("dedupe_key", sa.String(length=80), nullable=False),
        sa.Column("event", sa.String(length=16), nullable=False),
        sa.Column("rid", sa.String(length=48), nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("sale_id", BIG, nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at_ms", BIG, nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.Column("created_at_ms", BIG, nullable=False),
        sa.Column("sent_at_ms", BIG, nullable=True),
        _one_of("outbox", "event", "won", "your_turn", "paid", "expired", "refunded"),
        _one_of("outbox", "state", "new", "queued", "sent", "parked"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("dedupe_key", name="uq_outbox_dedupe_key"),
        **OPTIONS,
    )
    create_index("ix_outbox_state_next_at_ms", "outbox", ["state", "next_at_ms"])


def _records() -> None:
    create_table(
        "audit",
        sa.Column("id", ID, nullable=False),
        sa.Column("at_ms", BIG, nullable=False),
        sa.Column("actor", sa.String(length=40), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        **OPTIONS,
    )
    create_table(
        "leases",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("owner", sa.String(length=80), nullable=False),
        sa.Column("until_ms", BIG, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
        **OPTIONS,
    )


def _sandbox() -> None:
    create_table(
        "sandbox_charges",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("behaviour", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=80), nullable=True),
        sa.Column("return_url", sa.String(length=500), nullable=False),
        sa.Column("secret", sa.String(length=43), nullable=False),
        sa.Column("ready_at_ms", BIG, nullable=False),
        sa.Column("created_at_ms", BIG, nullable=False),
        sa.Column("changed_at_ms", BIG, nullable=False),
        _one_of(
            "sandbox_charges",
            "state",
            "pending",
            "requires_action",
            "charged",
            "refused",
            "voided",
            "refunded",
        ),
        sa.PrimaryKeyConstraint("key", name="pk_sandbox_charges"),
        sa.UniqueConstraint("secret", name="uq_sandbox_charges_secret"),
        **OPTIONS,
    )
