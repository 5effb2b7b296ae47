"""What an admin does with sales: create, edit, publish, pause, resume, close, change the stock.

Terms are checked here, every action is in the trail before its effect, and `Control` carries it
out in SQL and Redis. A sale that is armed keeps its terms; only stock and phase move then.
"""

from collections.abc import Sequence
from typing import Any, Final

from miaosha.domain.errors import Problem
from miaosha.domain.money import Money
from miaosha.domain.sale import Choice, Mode, Phase, Question, Sale, default_standby_limit
from miaosha.ports.outside import Clock
from miaosha.ports.people import Catalogue, SaleDraft, Trail
from miaosha.usecases.control import Control
from miaosha.usecases.credentials import plain_line
from miaosha.usecases.products import check_money

TITLE_MAX: Final = 200
STOCK_MAX: Final = 1_000_000
STANDBY_MAX: Final = 10_000_000
PAY_WITHIN_MAX_S: Final = 7 * 86_400
SALE_MAX_MS: Final = 366 * 86_400_000
QUESTIONS_MAX: Final = 50
CHOICES_MAX: Final = 10
TIME_MAX_MS: Final = 253_402_300_799_000  # the year 9999


class Manage:
    def __init__(self, catalogue: Catalogue, trail: Trail, control: Control, clock: Clock) -> None:
        self._catalogue = catalogue
        self._trail = trail
        self._control = control
        self._clock = clock

    async def list(self) -> Sequence[Sale]:
        """Every sale, drafts too, newest opens_at first."""
        return await self._catalogue.sales(with_drafts=True)

    async def get(self, sale_id: int) -> Sale:
        """Raises Problem("not_found")."""
        sale = await self._catalogue.sale(sale_id)
        if sale is None:
            raise Problem("not_found")
        return sale

    async def create(self, actor: str, draft: SaleDraft, *, publish: bool) -> Sale:
        """A draft nobody sees, or with `publish` a scheduled sale.

        Raises:
            Problem: bad_request naming the field.
        """
        checked = await self._check(draft)
        self.check_terms(checked, publish=publish)
        sale = await self._catalogue.create_sale(checked, Phase.DRAFT)
        await self._note(actor, "sale.create", sale.id, _summary(checked))
        return await self.publish(actor, sale.id) if publish else sale

    def check_terms(self, draft: SaleDraft, *, publish: bool) -> None:
        """Would `create` take these terms, the product aside? Changes nothing.

        Raises:
            Problem: bad_request naming the field.
        """
        checked = _checked(draft)
        if publish:
            self._still_to_come(checked.closes_at_ms)

    async def update(self, actor: str, sale_id: int, draft: SaleDraft) -> Sale:
        """Replace the terms of a draft, or of a scheduled sale that is not armed yet.

        Raises:
            Problem: bad_request naming the field, not_found, conflict (armed already).
        """
        old = await self.get(sale_id)
        checked = await self._check(draft)
        if old.phase is not Phase.DRAFT:
            self._still_to_come(checked.closes_at_ms)
        sale = await self._catalogue.update_sale(sale_id, checked)
        if sale is None:
            raise Problem("conflict", "The terms of this sale are fixed by now.")
        await self._note(actor, "sale.update", sale_id, _summary(checked))
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
        """draft → scheduled, and armed at once. Raises Problem: not_found, conflict."""
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
            raise Problem("conflict", f"This sale is {sale.phase_at(self._clock.now_ms())}.")
        await self._note(actor, "sale.resume", sale_id, {})
        await self._control.resume(sale_id)
        return await self.get(sale_id)

    async def close(self, actor: str, sale_id: int) -> Sale:
        """End it now. Raises Problem: not_found, conflict (a draft, or over already)."""
        await self._expect(sale_id, Phase.SCHEDULED, Phase.OPEN, Phase.PAUSED, Phase.FROZEN)
        await self._note(actor, "sale.close", sale_id, {})
        await self._control.close(sale_id)
        return await self.get(sale_id)

    async def stock(self, actor: str, sale_id: int, new: int) -> Sale:
        """Set the total stock.

        Args:
            new: units in all, those sold included; not fewer than are held or paid.

        Raises:
            Problem: bad_request (field stock), not_found, conflict.
        """
        _range(new, "stock", 1, STOCK_MAX)
        sale = await self._expect(sale_id, Phase.SCHEDULED, Phase.OPEN, Phase.PAUSED)
        if new == sale.stock:
            return sale
        await self._note(actor, "sale.stock", sale_id, {"old": sale.stock, "new": new})
        await self._control.stock(sale_id, new)
        return await self.get(sale_id)

    async def rebuild(self, actor: str, sale_id: int) -> Sale:
        """Write the sale's state in Redis anew from SQL and the log; ends a freeze.

        Raises:
            Problem: not_found, conflict (a draft or settled, or one is under way already).
        """
        sale = await self.get(sale_id)
        if sale.phase in (Phase.DRAFT, Phase.SETTLED):
            raise Problem("conflict", f"This sale is {sale.phase}.")
        await self._note(actor, "sale.rebuild", sale_id, {"frozen": sale.frozen or ""})
        if not await self._control.rebuild(sale_id):
            raise Problem("conflict", "A rebuild is under way already.")
        return await self.get(sale_id)

    async def _expect(self, sale_id: int, *phases: Phase) -> Sale:
        sale = await self.get(sale_id)
        phase = sale.phase_at(self._clock.now_ms())
        if phase not in phases:
            raise Problem("conflict", f"This sale is {phase}.")
        return sale

    def _still_to_come(self, closes_at_ms: int) -> None:
        if closes_at_ms <= self._clock.now_ms():
            raise Problem("bad_request", "This time is past.", field="closes_at_ms")

    async def _note(self, actor: str, action: str, sale_id: int, detail: dict[str, Any]) -> None:
        await self._trail.append(self._clock.now_ms(), actor, action, f"sale:{sale_id}", detail)

    async def _check(self, draft: SaleDraft) -> SaleDraft:
        if await self._catalogue.product(draft.product_id) is None:
            raise Problem("bad_request", "There is no such product.", field="product_id")
        return _checked(draft)


def _checked(draft: SaleDraft) -> SaleDraft:
    if draft.mode is not Mode.FIFO:
        raise Problem("bad_request", "Only fifo is possible now.", field="mode")
    _range(draft.stock, "stock", 1, STOCK_MAX)
    _range(draft.pay_within_s, "pay_within_s", 1, PAY_WITHIN_MAX_S)
    _range(draft.standby_pay_within_s, "standby_pay_within_s", 1, PAY_WITHIN_MAX_S)
    _range(draft.standby_limit, "standby_limit", 0, STANDBY_MAX)
    _range(draft.opens_at_ms, "opens_at_ms", 0, TIME_MAX_MS)
    latest = min(draft.opens_at_ms + SALE_MAX_MS, TIME_MAX_MS)
    _range(draft.closes_at_ms, "closes_at_ms", draft.opens_at_ms + 1, latest)
    return SaleDraft(
        product_id=draft.product_id,
        title=plain_line(draft.title, "title", TITLE_MAX),
        price=check_money(draft.price, "price"),
        stock=draft.stock,
        opens_at_ms=draft.opens_at_ms,
        closes_at_ms=draft.closes_at_ms,
        pay_within_s=draft.pay_within_s,
        standby_pay_within_s=draft.standby_pay_within_s,
        standby_limit=draft.standby_limit,
        questions=_questions(draft.questions),
        mode=draft.mode,
    )


def draft_of(
    *,
    product_id: int,
    title: str,
    price: Money,
    stock: int,
    opens_at_ms: int,
    closes_at_ms: int,
    questions: Sequence[Question],
    pay_within_s: int = 600,
    standby_pay_within_s: int | None = None,
    standby_limit: int | None = None,
    mode: Mode = Mode.FIFO,
) -> SaleDraft:
    """Terms with what was left out filled in: promoted buyers have as long to pay as winners, and
    standby takes max(1000, 10 × stock). Checks nothing (`Manage` does)."""
    return SaleDraft(
        product_id=product_id,
        title=title,
        price=price,
        stock=stock,
        opens_at_ms=opens_at_ms,
        closes_at_ms=closes_at_ms,
        pay_within_s=pay_within_s,
        standby_pay_within_s=pay_within_s if standby_pay_within_s is None else standby_pay_within_s,
        standby_limit=default_standby_limit(stock) if standby_limit is None else standby_limit,
        questions=list(questions),
        mode=mode,
    )


def _range(value: int, field: str, low: int, high: int) -> None:
    if not low <= value <= high:
        raise Problem("bad_request", f"Expected {low} to {high}.", field=field)


def _questions(questions: Sequence[Question]) -> list[Question]:
    """Checked, and numbered in their order."""
    if not 1 <= len(questions) <= QUESTIONS_MAX:
        raise Problem("bad_request", f"Expected 1 to {QUESTIONS_MAX}.", field="questions")
    return [_question(q, number) for number, q in enumerate(questions, 1)]


def _question(question: Question, number: int) -> Question:
    field = f"questions[{number - 1}]"
    if not 2 <= len(question.choices) <= CHOICES_MAX:
        raise Problem("bad_request", f"Expected 2 to {CHOICES_MAX}.", field=f"{field}.choices")
    choices = [
        Choice(
            plain_line(c.key, f"{field}.choices[{i}].key", 40),
            plain_line(c.text, f"{field}.choices[{i}].text", 200),
        )
        for i, c in enumerate(question.choices)
    ]
    keys = {c.key for c in choices}
    if len(keys) != len(choices):
        raise Problem("bad_request", "Two choices have one key.", field=f"{field}.choices")
    answer = question.answer.strip()
    if answer not in keys:
        raise Problem("bad_request", "No choice has this key.", field=f"{field}.answer")
    return Question(number, plain_line(question.text, f"{field}.text", 500), choices, answer)


def _summary(draft: SaleDraft) -> dict[str, Any]:
    return {
        "title": draft.title,
        "product_id": draft.product_id,
        "price": str(draft.price),
        "stock": draft.stock,
        "opens_at_ms": draft.opens_at_ms,
        "closes_at_ms": draft.closes_at_ms,
        "pay_within_s": draft.pay_within_s,
    }
