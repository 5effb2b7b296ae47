"""Money: integer minor units with an ISO 4217 code; no floats, nothing across currencies.

Which currencies there are, and their decimals, is Unicode CLDR's word, by Babel. It is imported on
demand: it costs 30 ms, and most roles never show money.
"""

from functools import cache

import msgspec


@cache
def currencies() -> frozenset[str]:
    """The ISO 4217 codes that are money somewhere now."""
    from babel.core import get_global
    from babel.numbers import get_territory_currencies

    everywhere = get_global("territory_currencies")
    return frozenset(code for where in everywhere for code in get_territory_currencies(where))


def minor_digits(currency: str) -> int:
    """Decimals of a currency's smallest unit: 0 for JPY, 3 for KWD; 2 if it is unknown."""
    from babel.numbers import get_currency_precision

    return get_currency_precision(currency)


class Money(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An amount of money.

    Attributes:
        amount: minor units (cents); 0 or more.
        currency: ISO 4217 code, three capital letters.
    """

    amount: int = msgspec.field()
    currency: str

    def __post_init__(self) -> None:
        if self.amount < 0:
            raise ValueError("amount must be 0 or more")
        code = self.currency
        if len(code) != 3 or not (code.isascii() and code.isalpha() and code.isupper()):
            raise ValueError("currency must be an ISO 4217 code such as USD")

    def __str__(self) -> str:
        digits = minor_digits(self.currency)
        if digits == 0:
            return f"{self.currency} {self.amount:,}"
        whole, rest = divmod(self.amount, 10**digits)
        return f"{self.currency} {whole:,}.{rest:0{digits}d}"
