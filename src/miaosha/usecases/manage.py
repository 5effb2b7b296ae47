"""Management: what an admin does with sales: create, edit, publish, pause, close, change stock.

Terms are checked here, every action is in the trail before its effect, and `Control` carries it
out in SQL and Redis. A sale that is armed keeps its terms; only stock and phase move then.
"""

from collections.abc import AsyncIterator
from typing import Any

from miaosha.domain.errors import Problem
from miaosha.domain.fields import in_range
from miaosha.domain.sale import Phase, Sale
from miaosha.ports.catalogue import Catalogue, SaleDraft, SalePage
from miaosha.ports.clock import Clock
from miaosha.ports.trail import Trail
from miaosha.usecases.control import Control
from miaosha.usecases.terms import STOCK_MAX, checked_terms, summary, terms_of, version_of

PAGE = 500  # sales read at a time


class Manage:
    def __init__(self, catalogue: Catalogue, trail: Trail, control: Control, clock: Clock) -> None:
        self._catalogue = catalogue
        self._trail = trail
        self._control = control
        self._clock = clock

    async def page(self, cursor: str | None, limit: int = PAGE) -> SalePage:
        """Some of all sales, drafts too, newest opens_at first. Raises Problem("bad_request") for
        a cursor that no page gave."""
        return await self._catalogue.sales(cursor, limit)

    async def each(self) -> AsyncIterator[Sale]:
        """Every sale, drafts too, newest opens_at first; read a page at a time."""
        cursor: str | None = None
        while True:
            page = await self.page(cursor)
            for sale in page.items:
                yield sale
            if page.next_cursor is None:
                return
            cursor = page.next_cursor

    async def get(self, sale_id: int) -> Sale:
        """Raises Problem("not_found")."""
        sale = await self._catalogue.sale(sale_id)
        if sale is None:
            raise Problem("not_found", f"There is no sale {sale_id}.")
        return sale

    async def create(self, actor: str, draft: SaleDraft, *, publish: bool) -> Sale:
        """A draft nobody sees, or with `publish` a scheduled sale.

        Raises:
            Problem: bad_request naming the field.
        """
        checked = await self._check(draft)
        self.check_terms(checked, publish=publish)
        sale = await self._catalogue.create_sale(checked, Phase.DRAFT)
        await self._note(actor, "sale.create", sale.id, summary(checked))
        return await self.publish(actor, sale.id) if publish else sale

    def check_terms(self, draft: SaleDraft, *, publish: bool) -> None:
        """Would `create` take these terms, the product aside? Changes nothing.

        Raises:
            Problem: bad_request naming the field.
        """
        checked = checked_terms(draft)
        if publish:
            self._still_to_come(checked.closes_at_ms)

    async def update(
        self, actor: str, sale_id: int, draft: SaleDraft, version: str | None = None
    ) -> Sale:
        """Replace the terms of a draft, or of a scheduled sale that is not armed yet.

        Args:
            version: of the terms the admin began with (`version_of`); None: whatever they are now.

        Raises:
            Problem: bad_request naming the field, not_found, conflict (armed already; with the
                field `version`: somebody else has changed the terms meanwhile).
        """
        old = await self.get(sale_id)
        if version is not None and version != version_of(old):
            raise _changed()
        checked = await self._check(draft)
        if old.phase is not Phase.DRAFT:
            self._still_to_come(checked.closes_at_ms)
        was = None if version is None else terms_of(old)
        sale = await self._catalogue.update_sale(sale_id, checked, was)
        if sale is None:
            if version is not None and version_of(await self.get(sale_id)) != version:
                raise _changed()
            raise Problem("conflict", "The terms of this sale are fixed by now.")
        await self._note(actor, "sale.update", sale_id, summary(checked))
        if sale.phase is not Phase.DRAFT:
            await self._control.refresh_board()
        return sale

    async def delete(self, actor: str, sale_id: int) -> None:
        """Raises Problem: not_found, conflict (only a draft can be deleted)."""
        old = await self.get(sale_id)
        if old.phase is not Phase.DRAFT or not await self._catalogue.delete_sale(sale_id):
            raise Problem("conflict", "Only a draft can be deleted.")
        await self._note(actor, "sale.delete", sale_id, {"title": old.title})

    async def publish(self, actor: str, sale_id: int) -> Sale:
        """draft → scheduled, and armed at once. Raises Problem: not_found, conflict (published
        already, or `live_sales_max` sales are live)."""
        sale = await self.get(sale_id)
        if sale.phase is not Phase.DRAFT:
            raise Problem("conflict", "This sale is published already.")
        self._still_to_come(sale.closes_at_ms)
        await self._note(actor, "sale.publish", sale_id, {})
        await self._control.schedule(sale_id)
        await self._control.refresh_board()
        return await self.get(sale_id)

    async def pause(self, actor: str, sale_id: int) -> Sale:
        """Raises Problem: not_found, conflict (not scheduled or open)."""
        await self._expect(sale_id, Phase.SCHEDULED, Phase.OPEN)
        await self._note(actor, "sale.pause", sale_id, {})
        await self._control.pause(sale_id)
        return await self.get(sale_id)

    async def resume(self, actor: str, sale_id: int) -> Sale:
        """Also past closes_at or while frozen: batches accepted before the pause wait for it.

        Raises:
            Problem: not_found, conflict (not paused).
        """
        sale = await self.get(sale_id)
        if sale.phase is not Phase.PAUSED:
            raise Problem("conflict", _is(sale.phase_at(self._clock.now_ms())))
        await self._note(actor, "sale.resume", sale_id, {})
        await self._control.resume(sale_id)
        return await self.get(sale_id)

    async def close(self, actor: str, sale_id: int) -> Sale:
        """End it now. Raises Problem: not_found, conflict (a draft, or over already)."""
        await self._expect(sale_id, Phase.SCHEDULED, Phase.OPEN, Phase.PAUSED, Phase.FROZEN)
        await self._note(actor, "sale.close", sale_id, {})
        await self._control.close(sale_id)
        return await self.get(sale_id)

    async def stock(
        self, actor: str, sale_id: int, new: int, within_s: float | None = None
    ) -> Sale:
        """Set the total stock.

        Args:
            new: units in all, those sold included; not fewer than are held or paid.
            within_s: as `rebuild`, if there are to be fewer.

        Raises:
            Problem: bad_request (field stock), not_found, conflict.
        """
        in_range(new, "stock", 1, STOCK_MAX)
        sale = await self._expect(sale_id, Phase.SCHEDULED, Phase.OPEN, Phase.PAUSED)
        if new == sale.stock:
            return sale
        await self._note(actor, "sale.stock", sale_id, {"old": sale.stock, "new": new})
        await self._control.stock(sale_id, new, within_s)
        return await self.get(sale_id)

    async def rebuild(self, actor: str, sale_id: int, within_s: float | None = None) -> Sale:
        """Write the sale's state in Redis anew from SQL and the log; ends a freeze.

        Args:
            within_s: how long to wait for its end (None: as long as it takes); one that takes
                longer goes on by itself, and the sale that is returned is frozen.

        Raises:
            Problem: not_found, conflict (a draft or settled, or one is under way already).
        """
        sale = await self.get(sale_id)
        if sale.phase in (Phase.DRAFT, Phase.SETTLED):
            raise Problem("conflict", _is(sale.phase))
        await self._note(actor, "sale.rebuild", sale_id, {"frozen": sale.frozen or ""})
        if await self._control.rebuild_within(sale_id, within_s, patient=True) is False:
            raise Problem("conflict", "A rebuild is under way already.")
        return await self.get(sale_id)

    async def _expect(self, sale_id: int, *phases: Phase) -> Sale:
        sale = await self.get(sale_id)
        phase = sale.phase_at(self._clock.now_ms())
        if phase not in phases:
            raise Problem("conflict", _is(phase))
        return sale

    def _still_to_come(self, closes_at_ms: int) -> None:
        if closes_at_ms <= self._clock.now_ms():
            raise Problem("bad_request", "This time is past.", field="closes_at_ms")

    async def _note(self, actor: str, action: str, sale_id: int, detail: dict[str, Any]) -> None:
        await self._trail.append(self._clock.now_ms(), actor, action, f"sale:{sale_id}", detail)

    async def _check(self, draft: SaleDraft) -> SaleDraft:
        if await self._catalogue.product(draft.product_id) is None:
            raise Problem("bad_request", "There is no such product.", field="product_id")
        return checked_terms(draft)


def _is(phase: Phase) -> str:
    return f"This sale is {'a draft' if phase is Phase.DRAFT else phase}."


def _changed() -> Problem:
    return Problem("conflict", "Somebody else has changed this sale meanwhile.", field="version")
