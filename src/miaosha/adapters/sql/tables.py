"""Every table, in SQLAlchemy Core: the one place where the schema is written down.

Times are Unix milliseconds (BIGINT, `…_ms`), money is integer minor units plus a currency. Every
constraint has a name, so that a migration can drop it. `doc` says what the name does not;
docs/schema.md is drawn from here. The same definitions serve SQLite, MariaDB/MySQL and PostgreSQL.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in a column declared exactly INTEGER.
_Id = BigInteger().with_variant(Integer(), "sqlite")
_Rid = String(48)  # `batch_id.index`: a UUID, a dot, at most three digits
_Currency = String(3)
_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",  # ids and e-mails compare byte by byte, as elsewhere
}


def _ms(name: str, doc: str = "", *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null, doc=doc or None)


def _count(name: str, doc: str = "") -> Column[int]:
    return Column(name, BigInteger, nullable=False, doc=doc or None)


def _text(name: str, length: int, doc: str = "", *, null: bool = False) -> Column[str]:
    return Column(name, String(length), nullable=null, doc=doc or None)


def _one_of(column: str, *values: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(v) for v in values)})", name=column)


users = Table(
    "users",
    metadata,
    Column("id", _Id, primary_key=True),
    _text("email", 254, "canonical: trimmed, lower case"),
    _text("name", 200),
    _text("role", 16),
    _text("password_hash", 255, "argon2id; empty for one that cannot sign in"),
    _ms("created_at_ms"),
    UniqueConstraint("email"),
    _one_of("role", "buyer", "admin"),
    info={"doc": "People who may sign in. Never deleted."},
    **_OPTIONS,
)

products = Table(
    "products",
    metadata,
    Column("id", _Id, primary_key=True),
    _text("name", 200),
    Column("description", Text, nullable=False),
    _text("picture_url", 500),
    _count("amount", "list price, minor units"),
    Column("currency", _Currency, nullable=False),
    CheckConstraint("amount >= 0", name="amount"),
    info={"doc": "What can be put on sale."},
    sqlite_autoincrement=True,  # an id is never given twice, though a product may be deleted
    **_OPTIONS,
)

sales = Table(
    "sales",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("product_id", _Id, ForeignKey("products.id"), nullable=False),
    _text("title", 200),
    _text("mode", 8),
    _text("phase", 16, "as stored; open, closed and frozen are derived"),
    _count("amount", "price of one unit, minor units"),
    Column("currency", _Currency, nullable=False),
    _ms("opens_at_ms"),
    _ms("closes_at_ms"),
    _count("pay_within_s", "seconds a direct winner has to pay"),
    _count("standby_pay_within_s", "seconds a promoted buyer has to pay"),
    _count("standby_limit"),
    Column("questions", Text, nullable=False, doc="JSON list of questions, answers included"),
    Column("verdict", Text, doc="what the audit last said; of a settled sale, when it was settled"),
    _ms("settled_at_ms", null=True),
    CheckConstraint("amount >= 0", name="amount"),
    _one_of("mode", "fifo", "draw"),
    _one_of("phase", "draft", "scheduled", "paused", "settled"),
    Index(None, "phase"),
    Index(None, "opens_at_ms"),
    info={"doc": "The terms of a sale; its units are in `ledger`."},
    sqlite_autoincrement=True,
    **_OPTIONS,
)

ledger = Table(
    "ledger",
    metadata,
    Column("sale_id", _Id, ForeignKey("sales.id"), primary_key=True, autoincrement=False),
    _count("epoch", "0 until armed; a freeze, a rebuild or a lowered stock raises it"),
    _text("frozen", 500, "why the system stopped the sale; NULL: it has not", null=True),
    _count("stock"),
    _count("granted", "holds that are HELD, PAYING or PAID"),
    _count("sold", "holds that are PAID"),
    CheckConstraint("granted >= 0 AND granted <= stock", name="granted"),
    CheckConstraint("sold >= 0 AND sold <= granted", name="sold"),
    info={"doc": "One row per sale: the guard that nothing is oversold."},
    **_OPTIONS,
)

# Foreign keys of the rows below name `sales`, never `ledger`: a child's insert would take a shared
# lock on the very ledger row that its transaction updates last, and two of them would deadlock.
holds = Table(
    "holds",
    metadata,
    Column("rid", _Rid, primary_key=True, doc="id of the request that won this hold"),
    Column("sale_id", _Id, ForeignKey("sales.id"), nullable=False),
    _count("user_id"),
    Column("live_user", BigInteger, doc="= user_id, NULL once released: one live hold per user"),
    _text("grant_id", 36, "the call that inserted the row, or released it"),
    _text("state", 8),
    _text("reason", 8, "why it was RELEASED", null=True),
    _ms("pay_by_ms"),
    _ms("paying_since_ms", "while PAYING", null=True),
    Column("attempt", Integer, nullable=False, doc="payments begun so far"),
    _count("rank", "order among the places of the sale"),
    _count("version", "of the buyer's place; every change of state raises it"),
    Column("promoted", Boolean, nullable=False, doc="came from standby"),
    Column("extended", Boolean, nullable=False, doc="pay_by was lengthened on request"),
    Column("synced", Boolean, nullable=False, doc="Redis has been told of this state"),
    _ms("created_at_ms"),
    UniqueConstraint("sale_id", "live_user"),
    _one_of("state", "HELD", "PAYING", "PAID", "RELEASED"),
    CheckConstraint("reason IN ('expired', 'declined') OR reason IS NULL", name="reason"),
    CheckConstraint("(state = 'RELEASED') = (live_user IS NULL)", name="live"),
    CheckConstraint("(state = 'PAYING') = (paying_since_ms IS NOT NULL)", name="paying"),
    Index(None, "state", "pay_by_ms"),
    Index(None, "synced", "state"),
    Index(None, "sale_id", "user_id"),
    info={"doc": "Units given to buyers, live and ended."},
    **_OPTIONS,
)

payments = Table(
    "payments",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("rid", _Rid, ForeignKey("holds.rid"), nullable=False),
    Column("attempt", Integer, nullable=False, doc="provider's idempotency key: `rid:attempt`"),
    Column("captured_rid", _Rid, doc="= rid once captured: at most one per hold"),
    _count("sale_id"),
    _count("user_id"),
    _text("state", 16),
    _count("amount", "minor units"),
    Column("currency", _Currency, nullable=False),
    _text("name", 200, "delivery; personal, never logged"),
    _text("phone", 40, "delivery; personal, never logged"),
    _text("address", 500, "delivery; personal, never logged"),
    _ms("created_at_ms"),
    _ms("changed_at_ms"),
    UniqueConstraint("rid", "attempt"),
    UniqueConstraint("captured_rid"),
    _one_of("state", "started", "captured", "refused", "voided", "refunded"),
    CheckConstraint("(state = 'captured') = (captured_rid IS NOT NULL)", name="captured"),
    info={"doc": "One row per attempt to pay a hold."},
    **_OPTIONS,
)

orders = Table(
    "orders",
    metadata,
    Column("id", String(36), primary_key=True, doc="UUID"),
    _text("order_no", 16, "short number for people"),
    Column("rid", _Rid, ForeignKey("holds.rid"), nullable=False),
    Column("attempt", Integer, nullable=False, doc="the payment that was captured"),
    _count("sale_id"),
    _count("user_id"),
    _text("state", 16),
    _count("amount", "minor units"),
    Column("currency", _Currency, nullable=False),
    _ms("created_at_ms"),
    UniqueConstraint("rid"),
    UniqueConstraint("order_no"),
    _one_of("state", "paid", "refunded"),
    Index(None, "user_id", "created_at_ms", "id"),
    Index(None, "sale_id", "created_at_ms", "id"),
    Index(None, "created_at_ms", "id"),
    info={"doc": "Units sold."},
    **_OPTIONS,
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _Id, primary_key=True),
    _text("dedupe_key", 80, "`event:rid`, or `refunded:rid:attempt`: one mail per event"),
    _text("event", 16),
    Column("rid", _Rid, nullable=False),
    _count("user_id"),
    _count("sale_id"),
    _text("state", 8),
    Column("attempts", Integer, nullable=False, doc="sendings that failed"),
    _ms("next_at_ms", "when the relay looks at it again"),
    _text("reason", 200, "of the last failure", null=True),
    _ms("created_at_ms"),
    _ms("sent_at_ms", null=True),
    UniqueConstraint("dedupe_key"),
    _one_of("event", "won", "your_turn", "paid", "expired", "refunded"),
    _one_of("state", "new", "queued", "sent", "parked"),
    Index(None, "state", "next_at_ms"),
    info={"doc": "Mails to send, written in the transaction of what they tell."},
    **_OPTIONS,
)

audit = Table(
    "audit",
    metadata,
    Column("id", _Id, primary_key=True),
    _ms("at_ms"),
    _text("actor", 40, "user:<id>, cli or system"),
    _text("action", 60),
    _text("subject", 80, "sale:7, product:3 …"),
    Column("detail", Text, nullable=False, doc="JSON object"),
    info={"doc": "What admins and the system did; append-only."},
    **_OPTIONS,
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(80), primary_key=True),
    _text("owner", 80),
    _ms("until_ms"),
    info={"doc": "Who may act alone, and until when; changed by compare-and-set."},
    **_OPTIONS,
)

sandbox_charges = Table(
    "sandbox_charges",
    metadata,
    Column("key", String(64), primary_key=True, doc="idempotency key `rid:attempt`"),
    _text("state", 16),
    _count("amount", "minor units"),
    Column("currency", _Currency, nullable=False),
    _text("behaviour", 16, "what the test card does; the number itself is not kept"),
    _text("reason", 80, "why it was refused", null=True),
    _text("return_url", 500, "where the redirect page sends the buyer back to"),
    _text("secret", 43, "in the redirect page's address, so that nobody can guess it"),
    _ms("ready_at_ms", "when a pending charge becomes charged"),
    _ms("created_at_ms"),
    _ms("changed_at_ms"),
    UniqueConstraint("secret"),
    _one_of("state", "pending", "requires_action", "charged", "refused", "voided", "refunded"),
    info={"doc": "State of the sandbox payment provider; nothing else reads it."},
    **_OPTIONS,
)
