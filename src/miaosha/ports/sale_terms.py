"""Sale terms: the ledger row and the stored phase of a sale; epoch, freeze, stock, close, settle.

Part of `ports.ledger.Ledger`, whose first lines hold here, too.
"""

from enum import StrEnum
from typing import NamedTuple, Protocol

from miaosha.domain.money import Money
from miaosha.domain.sale import Phase


class Terms(NamedTuple):
    """The ledger row of a sale together with the terms that decide money and time."""

    sale_id: int
    epoch: int
    frozen: str | None
    stock: int
    granted: int
    sold: int
    phase: Phase  # stored: draft, scheduled, paused, settled
    opens_at_ms: int
    closes_at_ms: int
    pay_within_s: int
    standby_pay_within_s: int
    standby_limit: int
    price: Money


class Unpublished(StrEnum):
    """Why a sale was not published."""

    PHASE = "phase"  # it is no draft
    FULL = "live_sales_max"  # that many sales are live already


class SaleTerms(Protocol):
    async def terms(self, sale_id: int) -> Terms | None:
        """None if the sale is unknown."""

    async def live(self) -> list[Terms]:
        """Sales that are scheduled or paused (so also open, frozen and closed ones)."""

    async def live_ids(self) -> list[int]:
        """The ids of these."""

    async def settled_epochs(self, limit: int) -> dict[int, int]:
        """Of the settled sales the `limit` last ones, latest first: the epoch that each ended
        with."""

    async def publish(self, sale_id: int, live_max: int) -> Terms | Unpublished:
        """draft → scheduled, unless `live_max` sales are live. On a SQL server two calls at
        once may both pass, whatever the number."""

    async def freeze(self, sale_id: int, epoch: int, why: str) -> bool:
        """`epoch + 1, frozen = why WHERE epoch = :epoch`. False if the epoch had moved."""

    async def raise_stock(self, sale_id: int, stock: int, now_ms: int) -> Terms | None:
        """None if it would not rise, or the sale is past closes_at or settled."""

    async def lower_stock(self, sale_id: int, stock: int) -> Terms | None:
        """`stock = :new, epoch + 1 WHERE granted <= :new`, else None; the rebuild follows."""

    async def set_phase(self, sale_id: int, old: Phase, new: Phase) -> Terms | None:
        """Stored phase by compare-and-set (scheduled ↔ paused)."""

    async def close(self, sale_id: int, now_ms: int, *, if_sold_out: bool = False) -> Terms | None:
        """closes_at = now unless it is past already (or, with `if_sold_out`, a unit is not paid).
        Returns the terms as they are then."""

    async def settle(self, sale_id: int, verdict: str, now_ms: int) -> bool:
        """Phase settled, the audit's verdict kept; only if nothing is HELD, PAYING or unsynced."""
