"""Inserts: one that passes over rows a UNIQUE constraint refuses, one that returns the new id.

Never trust the row count of the former: MariaDB swallows and counts as it likes. Read back.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Insert, Table, insert
from sqlalchemy.dialects import postgresql, sqlite


@cache
def ignoring_insert(table: Table, dialect: str) -> Insert:
    """`dialect` is SQLAlchemy's name of it. SQLite's and PostgreSQL's form passes over uniqueness
    alone; MySQL's IGNORE over more, which is why every caller reads back."""
    if dialect == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return insert(table).prefix_with("IGNORE")


def insert_ignoring(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]
) -> None:
    if rows:
        connection.execute(ignoring_insert(table, connection.dialect.name), rows)


def inserted_id(connection: Connection, statement: Insert) -> int:
    """Insert one row; the id the database gave it."""
    key = connection.execute(statement).inserted_primary_key
    assert key is not None
    return int(key[0])
