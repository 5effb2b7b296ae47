"""What people type on the command line, and the settings page drawn from the code."""

from pathlib import Path

import pytest
from docs.draw.settings import page

from miaosha.cli.doctor import roles
from miaosha.cli.terms import moment_ms, money, question, shown_ms, typed
from miaosha.domain.errors import DependencyDown, Problem
from miaosha.domain.money import Money
from miaosha.ports.heartbeats import Heartbeat
from miaosha.settings import Settings


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("19.90 USD", 1990, "USD"),
        ("19.9usd", 1990, "USD"),
        ("20 EUR", 2000, "EUR"),
        ("500 JPY", 500, "JPY"),
        ("0 USD", 0, "USD"),
    ],
)
def test_money(text: str, amount: int, currency: str) -> None:
    assert money(text) == Money(amount, currency)


@pytest.mark.parametrize("text", ["", "USD", "19.999 USD", "1.5 JPY", "-1 USD", "12", "1,50 EUR"])
def test_bad_money_names_the_option(text: str) -> None:
    with pytest.raises(Problem) as caught:
        money(text)
    assert (caught.value.code, caught.value.field) == ("bad_request", "--price")


def test_moments() -> None:
    assert moment_ms("+60", 1_000, "opens") == 61_000
    assert moment_ms("1970-01-02T00:00:00+00:00", 5, "opens") == 86_400_000
    local = moment_ms("2030-01-31T20:00", 0, "opens")
    assert shown_ms(local) == "2030-01-31 20:00:00"
    with pytest.raises(Problem, match="expected a time") as caught:
        moment_ms("tomorrow", 0, "closes")
    assert caught.value.field == "--closes"


def test_a_question() -> None:
    made = question("What colour? | red | *blue", 3)
    assert (made.id, made.text, made.answer) == (3, "What colour?", "b")
    assert [choice.text for choice in made.choices] == ["red", "blue"]
    assert typed(made) == "What colour? | red | *blue"


@pytest.mark.parametrize("text", ["", "Q?", "Q? | *a", "Q? | a | b", "Q? | *a | *b", "| *a | b"])
def test_bad_questions(text: str) -> None:
    with pytest.raises(Problem, match="one choice with a star"):
        question(text, 1)


def test_the_settings_page_is_up_to_date() -> None:
    drawn = page()
    for name in Settings.__struct_fields__:
        assert f"`MIAOSHA_{name.upper()}`" in drawn
    kept = Path(__file__).parents[2] / "docs" / "settings.md"
    assert kept.read_text() == drawn, "run `make docs`"


def test_the_doctor_names_roles_that_are_missing() -> None:
    every = ("publisher", "gateway", "api", "consumer", "scheduler", "mailer")
    beats = [Heartbeat(role, "0", 1, 1, {}, {}) for role in every]
    assert roles(beats) == "api-0 consumer-0 gateway-0 mailer-0 publisher-0 scheduler-0"
    with pytest.raises(DependencyDown, match="mailer, scheduler"):
        roles(beats[:4])
