"""Trail port: what admins and the system did, in SQL, never changed."""

from typing import Any, NamedTuple, Protocol


class TrailEntry(NamedTuple):
    id: int
    at_ms: int
    actor: str  # user:<id>, cli or system
    action: str
    subject: str  # sale:7, product:3 …
    detail: dict[str, Any]


class Trail(Protocol):
    """The append-only trail of what admins and the system did."""

    async def append(
        self, at_ms: int, actor: str, action: str, subject: str, detail: dict[str, Any]
    ) -> None:
        """Add an entry (`at_ms`: Unix ms); a repeat adds another."""

    async def entries(
        self, before_id: int | None, limit: int, *, subject: str | None = None
    ) -> list[TrailEntry]:
        """Newest first; with `subject` only what concerns it."""
