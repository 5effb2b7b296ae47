"""Money: integer minor units with an ISO 4217 code; no floats, nothing across currencies."""

from typing import Final

import msgspec

# What a stored amount means must not change with a library's version, nor differ between the server
# and a browser's Intl. So: the currencies of which ISO 4217 and Unicode CLDR say the same.
_TWO: Final = """AED AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD ILS INR MXN MYR NOK NZD PHP PLN RON SAR
SEK SGD THB TRY TWD USD ZAR"""
MINOR_DIGITS: Final = (
    dict.fromkeys(_TWO.split(), 2)
    | dict.fromkeys(["CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF"], 0)
    | dict.fromkeys(["BHD", "JOD", "KWD", "OMR", "TND"], 3)
)


def minor_digits(currency: str) -> int:
    """Decimals of a currency's smallest unit; 2 if it is none of MINOR_DIGITS."""
    return MINOR_DIGITS.get(currency, 2)


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
