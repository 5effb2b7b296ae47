"""Audits port: what differed in a sale, for the next leader, and whether an audit is under way.

Part of `ports.ledger.Ledger`, whose first lines hold here, too.
"""

from typing import Final, NamedTuple, Protocol

import msgspec

ALIVE_MS: Final = 15_000  # an audit that has not said so for longer has died


class Suspects(NamedTuple):
    """What differed when an audit last had the sale rebuilt, and nothing has been clean since.

    Attributes:
        things: as `Finding.thing` names them.
        rebuilds: how often an audit found a difference and had the sale rebuilt, in a row.
    """

    things: frozenset[str] = frozenset()
    rebuilds: int = 0


class AuditRun(msgspec.Struct, frozen=True):
    """An audit of a whole sale that is under way. `looked`: rows, places and batches so far."""

    started_at_ms: int
    looked: int


class Audits(Protocol):
    async def suspects(self, sale_id: int) -> Suspects:
        """Nothing and 0 if nothing is remembered."""

    async def freeze_suspect(self, sale_id: int, epoch: int, why: str, suspects: Suspects) -> bool:
        """`SaleTerms.freeze`, and in the same transaction `suspects` replace what is remembered.
        False, with nothing changed, if the epoch had moved."""

    async def forget_suspects(self, sale_id: int) -> None:
        """An audit was clean. Nothing if nothing is remembered."""

    async def begin(self, sale_id: int, owner: str, run: AuditRun, now_ms: int) -> bool:
        """Write down that it is under way. False while another owner's is alive (by its beats)."""

    async def beat(self, sale_id: int, owner: str, looked: int, now_ms: int) -> None:
        """The audit of this owner goes on. Nothing if it is another's by now."""

    async def end(self, sale_id: int, owner: str) -> None:
        """No audit is under way any more. Nothing if it is another owner's by now."""

    async def under_way(self, sale_id: int, now_ms: int) -> AuditRun | None:
        """The audit that is alive, if any."""

    async def keep_verdict(self, sale_id: int, verdict: str) -> None:
        """Remember what the audit said (JSON) of a sale that runs; a settled one keeps its own."""

    async def verdict(self, sale_id: int) -> str | None:
        """What the audit last said, "" if it said nothing yet; None for an unknown sale."""
