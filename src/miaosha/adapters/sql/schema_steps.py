"""Schema steps: parts of a migration that may be repeated, so that one cut off is run again.

MariaDB and MySQL commit each change of the schema by itself. PostgreSQL does so with an index that
it makes beside writers. Both come before the revision is recorded. A finished step is passed over.
"""

from collections.abc import Sequence
from typing import Any

from alembic import op
from sqlalchemy import Column, Inspector, inspect
from sqlalchemy.schema import SchemaItem


def create_table(name: str, *items: SchemaItem, **options: Any) -> None:
    if not _found().has_table(name):
        op.create_table(name, *items, **options)


def drop_table(name: str) -> None:
    if _found().has_table(name):
        op.drop_table(name)


def create_index(name: str, table: str, columns: Sequence[str]) -> None:
    if not _has_index(name, table):
        op.create_index(name, table, columns)


def drop_index(name: str, table: str) -> None:
    if _has_index(name, table):
        op.drop_index(name, table_name=table)


def add_column(table: str, column: Column[Any]) -> None:
    if not has_column(table, column.name):
        op.add_column(table, column)


def has_column(table: str, name: str) -> bool:
    return name in {column["name"] for column in _found().get_columns(table)}


def _has_index(name: str, table: str) -> bool:
    found = _found()
    return found.has_table(table) and name in {one["name"] for one in found.get_indexes(table)}


def _found() -> Inspector:
    """What is there now: a fresh look, since an inspector remembers what it saw."""
    return inspect(op.get_bind())
