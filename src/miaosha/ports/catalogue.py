"""Catalogue: products and sales, in SQL."""

from typing import NamedTuple, Protocol

import msgspec

from miaosha.domain.money import Money
from miaosha.domain.sale import Mode, Phase, Question, Sale


class Product(msgspec.Struct, frozen=True):
    id: int
    name: str
    description: str
    picture_url: str
    list_price: Money


class SaleDraft(msgspec.Struct, frozen=True):
    """What an admin sets of a sale (validated by the use case `manage`)."""

    product_id: int
    title: str
    price: Money
    stock: int
    opens_at_ms: int
    closes_at_ms: int
    pay_within_s: int
    standby_pay_within_s: int
    standby_limit: int
    questions: list[Question]
    mode: Mode = Mode.FIFO


class SalePage(NamedTuple):
    """`next_cursor` None: the last page."""

    items: list[Sale]
    next_cursor: str | None


class Catalogue(Protocol):
    async def create_product(self, product: Product) -> Product:
        """`product.id` is ignored. Returns the product with its id."""

    async def update_product(self, product: Product, was: Product | None = None) -> Product | None:
        """Everything but the picture, and, with `was`, only while that is still the same. Returns
        the product as it is now; None: unknown, or another by now."""

    async def set_picture(self, product_id: int, url: str) -> Product | None:
        """The picture alone; the product as it is now, None if it is unknown."""

    async def delete_product(self, product_id: int) -> bool:
        """False if it is unknown. Raises Problem("conflict") while a sale uses it."""

    async def product(self, product_id: int) -> Product | None:
        """None if it is unknown."""

    async def products(self, before_id: int | None, limit: int) -> list[Product]:
        """Newest first; with `before_id` of those made before that one."""

    async def create_sale(self, draft: SaleDraft, phase: Phase) -> Sale:
        """The sale, its questions and its ledger row, in one transaction."""

    async def update_sale(
        self, sale_id: int, draft: SaleDraft, was: SaleDraft | None = None
    ) -> Sale | None:
        """Only while it is a draft, or scheduled and not yet armed (ledger epoch 0). With `was`,
        only while its terms are still these. Else None."""

    async def delete_sale(self, sale_id: int) -> bool:
        """Only a draft."""

    async def sale(self, sale_id: int) -> Sale | None:
        """In any phase, drafts too; None if it is unknown."""

    async def live(self) -> list[Sale]:
        """Every sale that is published and not settled, by id; the board is made of these."""

    async def settled(self, limit: int, since_ms: int = 0) -> list[Sale]:
        """The `limit` last sales settled at `since_ms` (Unix ms) or later, the last first."""

    async def sales(self, cursor: str | None, limit: int) -> SalePage:
        """A page of all sales, drafts too, newest opens_at first. Raises Problem("bad_request")
        for a cursor that is none of this list."""
