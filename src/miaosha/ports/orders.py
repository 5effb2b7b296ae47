"""Orders port: paid orders as buyers and the shop read them; part of the ledger."""

from typing import NamedTuple, Protocol

import msgspec


class Delivery(msgspec.Struct, frozen=True):
    """Where the goods go. Stored, never logged."""

    name: str
    phone: str
    address: str


class Order(msgspec.Struct, frozen=True):
    id: str  # UUID
    order_no: str
    rid: str
    sale_id: int
    user_id: int
    state: str  # paid | refunded
    amount: int
    currency: str
    created_at_ms: int


class OrderPage(NamedTuple):
    items: list[Order]
    next_cursor: str | None


class Orders(Protocol):
    async def by_rid(self, rid: str, user_id: int) -> Order | None:
        """The order of a hold; None: it is not paid, or another user's."""

    async def by_id(self, order_id: str, user_id: int) -> Order | None:
        """None: it is unknown, or another user's."""

    async def page(
        self, user_id: int | None, cursor: str | None, limit: int, *, sale_id: int | None = None
    ) -> OrderPage:
        """Newest first; user_id None: everybody's (admin)."""

    async def delivery(self, order_id: str) -> Delivery | None:
        """Where an order goes; None: it is unknown."""
