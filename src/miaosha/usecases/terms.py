"""Terms: what a sale may have, checked field by field, and how two sets are told apart."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from miaosha.domain.errors import Problem
from miaosha.domain.fields import check_money, in_range, plain_line
from miaosha.domain.fingerprint import fingerprint
from miaosha.domain.money import Money
from miaosha.domain.sale import Choice, Mode, Question, Sale, default_standby_limit
from miaosha.ports.catalogue import SaleDraft

TITLE_MAX: Final = 200
STOCK_MAX: Final = 1_000_000
STANDBY_MAX: Final = 10_000_000
PAY_WITHIN_MAX_S: Final = 7 * 86_400
SALE_MAX_DAYS: Final = 366
SALE_MAX_MS: Final = SALE_MAX_DAYS * 86_400_000
QUESTIONS_MAX: Final = 50
CHOICES_MAX: Final = 10
TIME_MAX_MS: Final = 253_402_300_799_000  # the year 9999


def terms_of(sale: Sale) -> SaleDraft:
    """What an admin set of it."""
    return SaleDraft(
        product_id=sale.product.id,
        title=sale.title,
        price=sale.price,
        stock=sale.stock,
        opens_at_ms=sale.opens_at_ms,
        closes_at_ms=sale.closes_at_ms,
        pay_within_s=sale.pay_within_s,
        standby_pay_within_s=sale.standby_pay_within_s,
        standby_limit=sale.standby_limit,
        questions=sale.questions,
        mode=sale.mode,
    )


def version_of(sale: Sale) -> str:
    """Stands for the sale's terms."""
    return fingerprint(terms_of(sale))


def checked_terms(draft: SaleDraft) -> SaleDraft:
    if draft.mode is not Mode.FIFO:
        raise Problem("bad_request", "Only fifo is possible now.", field="mode")
    in_range(draft.stock, "stock", 1, STOCK_MAX)
    in_range(draft.pay_within_s, "pay_within_s", 1, PAY_WITHIN_MAX_S)
    in_range(draft.standby_pay_within_s, "standby_pay_within_s", 1, PAY_WITHIN_MAX_S)
    in_range(draft.standby_limit, "standby_limit", 0, STANDBY_MAX)
    in_range(draft.opens_at_ms, "opens_at_ms", 0, TIME_MAX_MS)
    latest = min(draft.opens_at_ms + SALE_MAX_MS, TIME_MAX_MS)
    if not draft.opens_at_ms < draft.closes_at_ms <= latest:
        raise Problem(
            "bad_request",
            f"A sale closes after it opens, within {SALE_MAX_DAYS} days.",
            field="closes_at_ms",
        )
    return msgspec.structs.replace(
        draft,
        title=plain_line(draft.title, "title", TITLE_MAX),
        price=check_money(draft.price, "price"),
        questions=_questions(draft.questions),
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


def summary(draft: SaleDraft) -> dict[str, Any]:
    return {
        "title": draft.title,
        "product_id": draft.product_id,
        "price": str(draft.price),
        "stock": draft.stock,
        "opens_at_ms": draft.opens_at_ms,
        "closes_at_ms": draft.closes_at_ms,
        "pay_within_s": draft.pay_within_s,
    }
