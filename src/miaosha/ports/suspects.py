"""Port of what audits remember of a sale, in SQL: so that whoever leads next knows it, too."""

from typing import NamedTuple, Protocol


class Suspects(NamedTuple):
    """What differed when an audit last had the sale rebuilt, and nothing has been clean since.

    Attributes:
        things: as `Finding.thing` names them.
        rebuilds: how often an audit found a difference and had the sale rebuilt, in a row.
    """

    things: frozenset[str] = frozenset()
    rebuilds: int = 0


class SuspectsLedger(Protocol):
    """Part of `ports.ledger.Ledger`, whose first lines hold here, too."""

    async def suspects(self, sale_id: int) -> Suspects:
        """Nothing and 0 if nothing is remembered."""

    async def freeze_suspect(self, sale_id: int, epoch: int, why: str, suspects: Suspects) -> bool:
        """`Ledger.freeze`, and in the same transaction `suspects` replace what is remembered.
        False, with nothing changed, if the epoch had moved."""

    async def forget_suspects(self, sale_id: int) -> None: ...
