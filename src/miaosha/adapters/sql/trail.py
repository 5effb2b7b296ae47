"""Trail: append-only in SQL (`ports.trail.Trail`); no statement changes an entry."""

from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select

from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.tables import audit
from miaosha.ports.trail import TrailEntry

ENTRIES_MAX = 1_000  # of one answer

_COLUMNS = [audit.c[name] for name in TrailEntry._fields]
_ENTRY = insert(audit)
_NEWEST = select(*_COLUMNS).order_by(audit.c.id.desc())


def write_entry(
    connection: Connection,
    at_ms: int,
    actor: str,
    action: str,
    subject: str,
    detail: dict[str, Any],
) -> None:
    """For an action whose entry belongs into its own transaction."""
    row = {"at_ms": at_ms, "actor": actor, "action": action, "subject": subject}
    connection.execute(_ENTRY, {**row, "detail": msgspec.json.encode(detail).decode()})


class SqlTrail:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def append(
        self, at_ms: int, actor: str, action: str, subject: str, detail: dict[str, Any]
    ) -> None:
        await self._db.write(lambda c: write_entry(c, at_ms, actor, action, subject, detail))

    async def entries(
        self, before_id: int | None, limit: int, *, subject: str | None = None
    ) -> list[TrailEntry]:
        query = _NEWEST
        if before_id is not None:
            query = query.where(audit.c.id < before_id)
        if subject is not None:
            query = query.where(audit.c.subject == subject)
        query = query.limit(min(limit, ENTRIES_MAX))
        rows = await self._db.read(lambda connection: connection.execute(query).all())
        return [TrailEntry(*row)._replace(detail=msgspec.json.decode(row.detail)) for row in rows]
