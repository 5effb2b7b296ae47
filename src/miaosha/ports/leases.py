"""Port of leases: who may act alone. Part of the ledger.

A lease ends when its owner gives no sign of life. A candidate compares the row with the one it saw
before, by its own steady clock. No clock that may be set decides.
"""

from typing import NamedTuple, Protocol


class LeaseRow(NamedTuple):
    """`beat` rises with each sign of life of `owner` ("": nobody). `until_ms`: the owner's clock at
    the last one, plus the time it asked for."""

    owner: str
    beat: int
    until_ms: int


class Leases(Protocol):
    async def take(
        self, name: str, owner: str, until_ms: int, dead: LeaseRow | None
    ) -> tuple[LeaseRow, LeaseRow | None]:
        """Take it, prolong it, or see who has it. It is taken if nobody has it, and if it is still
        exactly `dead`, whose owner gave no sign of life for too long. Returns the row as it is
        then, and as it was before (None: there was none)."""

    async def free(self, name: str, owner: str) -> None:
        """If `owner` has it, give it up: nobody owns it then. The row and its time stay."""

    async def drop(self, name: str, owner: str) -> None:
        """Delete the row, if `owner` has it."""
