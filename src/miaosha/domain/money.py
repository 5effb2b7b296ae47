"""Money as integer minor units with an ISO 4217 code; no floats, nothing across currencies."""

import msgspec

MINOR_DIGITS = {"JPY": 0, "KRW": 0, "TWD": 2, "USD": 2, "EUR": 2, "GBP": 2, "CNY": 2, "HKD": 2}


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
        digits = MINOR_DIGITS.get(self.currency, 2)
        if digits == 0:
            return f"{self.currency} {self.amount:,}"
        whole, rest = divmod(self.amount, 10**digits)
        return f"{self.currency} {whole:,}.{rest:0{digits}d}"
