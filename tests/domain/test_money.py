"""Money: whole minor units, a currency, no nonsense."""

import msgspec
import pytest

from miaosha.domain.errors import Problem
from miaosha.domain.fields import check_money
from miaosha.domain.money import Money


@pytest.mark.parametrize(
    ("money", "shown"),
    [
        (Money(0, "USD"), "USD 0.00"),
        (Money(5, "USD"), "USD 0.05"),
        (Money(123_456_789, "EUR"), "EUR 1,234,567.89"),
        (Money(1_500, "JPY"), "JPY 1,500"),
        (Money(1_500, "KWD"), "KWD 1.500"),
        (Money(100, "XYZ"), "XYZ 1.00"),
    ],
)
def test_how_it_reads(money: Money, shown: str) -> None:
    assert str(money) == shown


@pytest.mark.parametrize("currency", ["", "US", "usd", "USDT", "U$D", "ÄÖÜ", "U1D"])
def test_a_currency_is_three_capital_letters(currency: str) -> None:
    with pytest.raises(ValueError, match="ISO 4217"):
        Money(1, currency)


def test_never_negative() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        Money(-1, "USD")


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount":1.5,"currency":"USD"}',
        b'{"amount":"1","currency":"USD"}',
        b'{"amount":-1,"currency":"USD"}',
        b'{"amount":1}',
        b'{"amount":1,"currency":"USD","tip":1}',
    ],
)
def test_what_a_body_may_not_say(body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=Money)


def test_it_travels_unchanged() -> None:
    money = Money(12_345, "TWD")
    assert msgspec.json.decode(msgspec.json.encode(money), type=Money) == money


@pytest.mark.parametrize("currency", ["USD", "EUR", "JPY", "TWD", "KWD", "BRL"])
def test_money_of_today_is_taken(currency: str) -> None:
    assert check_money(Money(1, currency), "price") == Money(1, currency)


@pytest.mark.parametrize("currency", ["XYZ", "DEM", "XAU", "HUF"])
def test_what_is_no_money_today_is_refused(currency: str) -> None:
    with pytest.raises(Problem, match="Expected one of"):
        check_money(Money(1, currency), "price")
