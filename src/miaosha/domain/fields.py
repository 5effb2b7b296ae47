"""Fields: the rules that texts, numbers and sums of money keep, wherever somebody enters them.

Each function names the field in the Problem it raises.
"""

import unicodedata
from typing import Final

from miaosha.domain.errors import Problem
from miaosha.domain.money import MINOR_DIGITS, Money

AMOUNT_MAX: Final = 10**12  # in the currency's smallest unit


def plain_line(text: str, field: str, most: int) -> str:
    """The text without outer blanks.

    Raises:
        Problem: bad_request naming `field` if it is empty, longer than `most` or has control
            characters (which could forge a header or a line somewhere later).
    """
    line = unicodedata.normalize("NFC", text).replace("\t", " ").strip()
    if not line or len(line) > most:
        raise Problem("bad_request", f"Expected 1 to {most} characters.", field=field)
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in line):
        raise Problem("bad_request", "Control characters are not allowed.", field=field)
    return line


def plain_text(text: str, field: str, most: int) -> str:
    """Like `plain_line`, but it may be empty and have line breaks."""
    lines = [
        plain_line(line, field, most) if line.strip() else "" for line in text.strip().splitlines()
    ]
    joined = "\n".join(lines)
    if len(joined) > most:
        raise Problem("bad_request", f"Expected at most {most} characters.", field=field)
    return joined


def in_range(value: int, field: str, low: int, high: int) -> None:
    """Raises Problem("bad_request") unless `low` ≤ `value` ≤ `high`."""
    if not low <= value <= high:
        raise Problem("bad_request", f"Expected {low} to {high}.", field=field)


def check_money(money: Money, field: str) -> Money:
    """Raises Problem("bad_request") for an unknown currency or an absurd amount."""
    if money.currency not in MINOR_DIGITS:
        known = ", ".join(sorted(MINOR_DIGITS))
        raise Problem("bad_request", f"Expected one of {known}.", field=f"{field}.currency")
    if money.amount > AMOUNT_MAX:
        raise Problem("bad_request", f"Expected at most {AMOUNT_MAX}.", field=f"{field}.amount")
    return money
