"""Columns: the kinds that tables are made of, and how constraints get their names."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    MetaData,
    String,
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
Id = BigInteger().with_variant(Integer(), "sqlite")
Rid = String(48)  # `batch_id.index`: a UUID, a dot, at most three digits
Currency = String(3)
OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",  # ids and e-mails compare byte by byte, as elsewhere
}


def ms(name: str, doc: str = "", *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null, doc=doc or None)


def count(name: str, doc: str = "") -> Column[int]:
    return Column(name, BigInteger, nullable=False, doc=doc or None)


def text(name: str, length: int, doc: str = "", *, null: bool = False) -> Column[str]:
    return Column(name, String(length), nullable=null, doc=doc or None)


def one_of(column: str, *values: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(v) for v in values)})", name=column)
