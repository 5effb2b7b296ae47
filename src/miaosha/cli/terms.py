"""Terms: reads what people type: money, moments, questions. Errors name the option."""

import re
from datetime import UTC, datetime, timedelta

from miaosha.domain.errors import Problem
from miaosha.domain.money import Money, minor_digits
from miaosha.domain.sale import Choice, Question

OPTIONS = {
    "title": "--title",
    "price": "--price",
    "stock": "--stock",
    "opens_at_ms": "--opens",
    "closes_at_ms": "--closes",
    "pay_within_s": "--pay-within",
    "standby_pay_within_s": "--standby-pay-within",
    "standby_limit": "--standby-limit",
    "product_id": "--product",
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def money(text: str) -> Money:
    """`19.90 USD` → 1990 minor units. Raises Problem("bad_request")."""
    found = re.fullmatch(r"\s*(\d+)(?:\.(\d+))?\s*([A-Za-z]{3})\s*", text)
    if not found:
        raise Problem("bad_request", 'expected an amount such as "19.90 USD"', field="--price")
    whole, rest, currency = found[1], found[2] or "", found[3].upper()
    digits = minor_digits(currency)
    if len(rest) > digits:
        raise Problem("bad_request", f"{currency} has {digits} decimal places", field="--price")
    return Money(int(whole) * 10**digits + int(rest.ljust(digits, "0") or 0), currency)


def moment_ms(text: str, from_ms: int, option: str) -> int:
    """An ISO time (local if it names no zone), or `+60` seconds after `from_ms`, in Unix ms."""
    if re.fullmatch(r"\+\d+(\.\d+)?", text):
        return from_ms + round(float(text) * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Problem(
            "bad_request",
            f'{text!r}: expected a time such as 2030-01-31T20:00 or "+60" seconds',
            field=f"--{option}",
        ) from None
    return (moment.astimezone() - EPOCH) // timedelta(milliseconds=1)


def shown_ms(ms: int) -> str:
    """Unix ms as local time, to the second."""
    return (EPOCH + timedelta(milliseconds=ms)).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def by_option(problem: Problem) -> Problem:
    """`problem`, naming the option of `sale create` that its field was typed as."""
    option = OPTIONS.get(problem.field.split(".")[0])
    if option is None:
        return problem
    return Problem(problem.code, str(problem), field=option)


def question(text: str, number: int) -> Question:
    """`Text? | wrong | *right | wrong`. Raises Problem("bad_request")."""
    asked, *choices = [part.strip() for part in text.split("|")]
    right = [i for i, choice in enumerate(choices) if choice.startswith("*")]
    if not asked or len(choices) < 2 or len(right) != 1:
        raise Problem(
            "bad_request",
            f'{text!r}: expected "Question? | wrong | *right", one choice with a star',
            field="--ask",
        )
    keys = "abcdefghijklmnopqrstuvwxyz"
    return Question(
        id=number,
        text=asked,
        choices=[Choice(keys[i], choice.lstrip("*").strip()) for i, choice in enumerate(choices)],
        answer=keys[right[0]],
    )


def typed(asked: Question) -> str:
    """A question as `question` reads it, with a star at the right answer."""
    stars = ("*" if choice.key == asked.answer else "" for choice in asked.choices)
    choices = (f"{star}{choice.text}" for star, choice in zip(stars, asked.choices, strict=True))
    return " | ".join((asked.text, *choices))
