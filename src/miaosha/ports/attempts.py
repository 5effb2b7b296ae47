"""Attempts: payments of holds as SQL has them. The provider's side is `ports.payments`.

Part of `ports.ledger.Ledger`, whose first lines hold here, too.
"""

from enum import StrEnum
from typing import NamedTuple, Protocol

from miaosha.domain.money import Money
from miaosha.ports.holds import Hold, Released
from miaosha.ports.orders import Delivery, Order


def attempt_key(rid: str, attempt: int) -> str:
    return f"{rid}:{attempt}"


class Attempt(NamedTuple):
    """A payment under way. `key` is the provider's idempotency key."""

    rid: str
    sale_id: int
    user_id: int
    attempt: int
    amount: Money
    paying_since_ms: int

    @property
    def key(self) -> str:
        """As `attempt_key` writes it: rid:attempt."""
        return attempt_key(self.rid, self.attempt)


class BegunAttempt(NamedTuple):
    """A payment that has begun, and the row it pinned."""

    attempt: Attempt
    hold: Hold


class NotPayable(StrEnum):
    UNKNOWN = "unknown"  # no such hold of this user
    PAYING = "paying"
    PAID = "paid"
    RELEASED = "released"


class Captured(NamedTuple):
    """`order` None: this attempt does not own the hold any more (the charge goes back)."""

    order: Order | None
    epoch: int
    hold: Hold | None


class Attempts(Protocol):
    async def begin(
        self, rid: str, user_id: int, delivery: Delivery, now_ms: int
    ) -> BegunAttempt | NotPayable:
        """HELD → PAYING, attempt + 1 (at most MAX_ATTEMPTS), with its payments row."""

    async def capture(self, rid: str, attempt: int, now_ms: int) -> Captured:
        """PAYING → PAID by this attempt: order, `paid` mail, sold + 1. If it is PAID by this
        attempt already: the same order."""

    async def refuse(
        self, rid: str, attempt: int, now_ms: int, *, state: str = "refused"
    ) -> Released:
        """PAYING → HELD, or → RELEASED (expired) past pay_by or at the last attempt; `holds`
        holds the row only if it was released. Nothing if this attempt does not own the row.
        `state`: what the payments row becomes, refused or voided."""

    async def stale(self, before_ms: int, limit: int) -> list[Attempt]:
        """PAYING since before `before_ms`."""

    async def by_key(self, key: str) -> Attempt | None:
        """The attempt in whatever state; None: there is no such one."""

    async def mark_refunded(self, key: str, now_ms: int) -> None:
        """A charge of a hold that it did not pay was given back; queues the `refunded` mail."""
