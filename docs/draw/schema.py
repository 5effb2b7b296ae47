"""Schema: `python -m docs.draw.schema docs/schema.md` draws that page from tables.py."""

import sys
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import CheckConstraint, Column, Table, UniqueConstraint

from miaosha.adapters.sql.tables import metadata

HEADER = """# The SQL schema

Drawn from `src/miaosha/adapters/sql/tables.py` by `make docs`; do not edit.
Times are Unix milliseconds (`…_ms`), money is integer minor units.
"""


def render() -> str:
    """The whole page, in Markdown with a Mermaid diagram."""
    parts = [HEADER, _diagram()]
    parts += [_section(table) for table in metadata.tables.values()]
    return "\n".join(parts)


def _diagram() -> str:
    lines = ["```mermaid", "erDiagram"]
    for table in metadata.tables.values():
        for column in table.columns:
            for key in column.foreign_keys:
                many = "|o" if column.primary_key else "o{"
                lines.append(f"    {key.column.table.name} ||--{many} {table.name} : {column.name}")
    lonely = [t.name for t in metadata.tables.values() if not _linked(t)]
    lines += [f"    {name}" for name in lonely]
    return "\n".join([*lines, "```", ""])


def _linked(table: Table) -> bool:
    referred = {fk.column.table.name for t in metadata.tables.values() for fk in t.foreign_keys}
    return bool(table.foreign_keys) or table.name in referred


def _section(table: Table) -> str:
    lines = [f"## {table.name}", "", str(table.info["doc"]), ""]
    lines += ["| column | type | | |", "|---|---|---|---|"]
    lines += [_line(column) for column in table.columns]
    rules = sorted(_rules(table))
    return "\n".join([*lines, "", *rules, ""] if rules else [*lines, ""])


def _line(column: Column[object]) -> str:
    marks = ["PK"] if column.primary_key else []
    marks += [f"→ {key.target_fullname}" for key in column.foreign_keys]
    marks += ["NULL"] if column.nullable else []
    return f"| {column.name} | {column.type} | {', '.join(marks)} | {column.doc or ''} |"


def _rules(table: Table) -> Iterator[str]:
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield f"- unique ({', '.join(column.name for column in constraint.columns)})"
        elif isinstance(constraint, CheckConstraint):
            yield f"- check `{constraint.sqltext}`"
    for index in table.indexes:
        yield f"- index ({', '.join(column.name for column in index.columns)})"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), "utf-8")
