"""A sale's phase at an instant, the question of a buyer, and what anyone may see."""

import msgspec
import pytest

from miaosha.domain.money import Money
from miaosha.domain.sale import (
    Choice,
    Mode,
    Phase,
    ProductView,
    Question,
    Sale,
    ask,
    default_standby_limit,
    view,
)

KEY = b"k" * 32
QUESTIONS = [
    Question(i, f"q{i}", [Choice("a", "yes"), Choice("b", "no")], "b") for i in range(1, 5)
]


def a_sale(phase: Phase = Phase.SCHEDULED, frozen: str | None = None) -> Sale:
    return Sale(
        id=7,
        title="t",
        mode=Mode.FIFO,
        phase=phase,
        product=ProductView(1, "n", "d", "/p", Money(9, "USD")),
        price=Money(5, "USD"),
        stock=3,
        opens_at_ms=100,
        closes_at_ms=200,
        pay_within_s=600,
        standby_pay_within_s=600,
        standby_limit=1000,
        questions=QUESTIONS,
        frozen=frozen,
    )


@pytest.mark.parametrize(
    ("stored", "frozen", "now_ms", "phase"),
    [
        (Phase.SCHEDULED, None, 99, Phase.SCHEDULED),
        (Phase.SCHEDULED, None, 100, Phase.OPEN),
        (Phase.SCHEDULED, None, 199, Phase.OPEN),
        (Phase.SCHEDULED, None, 200, Phase.CLOSED),
        (Phase.PAUSED, None, 50, Phase.PAUSED),
        (Phase.PAUSED, None, 150, Phase.PAUSED),
        (Phase.PAUSED, None, 200, Phase.CLOSED),
        (Phase.SCHEDULED, "why", 150, Phase.FROZEN),
        (Phase.PAUSED, "why", 250, Phase.FROZEN),
        (Phase.DRAFT, None, 150, Phase.DRAFT),
        (Phase.DRAFT, "why", 150, Phase.DRAFT),
        (Phase.SETTLED, "why", 150, Phase.SETTLED),
        (Phase.SETTLED, None, 250, Phase.SETTLED),
    ],
)
def test_phase_at(stored: Phase, frozen: str | None, now_ms: int, phase: Phase) -> None:
    assert a_sale(stored, frozen).phase_at(now_ms) is phase


def test_every_buyer_has_a_question_of_their_own_for_good() -> None:
    sale = a_sale()
    asked = [sale.question_for(KEY, user) for user in range(400)]
    assert asked == [sale.question_for(KEY, user) for user in range(400)]
    for question in QUESTIONS:
        assert 60 <= asked.count(question) <= 140, "about a quarter each"
    elsewhere = [a_sale().question_for(b"j" * 32, user) for user in range(400)]
    assert asked != elsewhere, "who has no key cannot tell"


def test_nobody_sees_the_answer() -> None:
    assert "answer" not in msgspec.to_builtins(ask(QUESTIONS[0]))
    shown = msgspec.json.encode(view(a_sale(), 150, sold_out=False, watching=2))
    assert b"answer" not in shown and b"questions" not in shown


def test_the_view_at_an_instant() -> None:
    shown = view(a_sale(), 150, sold_out=True, watching=12)
    assert (shown.phase, shown.server_time_ms) == (Phase.OPEN, 150)
    assert (shown.available, shown.watching, shown.stock) == (False, 12, 3)


@pytest.mark.parametrize("sold_out", [False, True])
@pytest.mark.parametrize(("now_ms", "over"), [(99, False), (199, False), (200, True)])
def test_a_sale_that_is_over_is_not_available(now_ms: int, over: bool, sold_out: bool) -> None:
    shown = view(a_sale(), now_ms, sold_out=sold_out, watching=0)
    assert shown.available is not (over or sold_out)


def test_terms_travel_unchanged() -> None:
    sale = a_sale(Phase.PAUSED, "why")
    assert msgspec.json.decode(msgspec.json.encode(sale), type=Sale) == sale


@pytest.mark.parametrize(("stock", "limit"), [(0, 1000), (1, 1000), (100, 1000), (101, 1010)])
def test_default_standby_limit(stock: int, limit: int) -> None:
    assert default_standby_limit(stock) == limit
