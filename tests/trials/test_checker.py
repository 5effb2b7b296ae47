"""The demo's independent checker: silent on a sale that is right, loud on every way to be wrong."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from miaosha.trials import report
from miaosha.trials.checker import CheckedHold, SoldRows, findings
from miaosha.trials.crowd.buyer import Buyer, Crowd
from miaosha.trials.crowd.crowd_plan import BuyerKind, CrowdPlan, View, Visitor

LEDGER = SoldRows(
    stock=2,
    sold=2,
    granted=2,
    verdict='{"clean":true}',
    holds=[
        CheckedHold("a.0", 1, "PAID", None, 0),
        CheckedHold("a.1", 2, "RELEASED", "expired", 0),
        CheckedHold("a.2", 3, "PAID", None, 1),
    ],
    orders=[("o1", "a.0", 1, 490), ("o2", "a.2", 3, 490)],
    mails=[("won", "a.0", "sent"), ("your_turn", "a.2", "sent"), ("expired", "a.1", "sent")],
)


def saw(number: int, rid: str, *told: str, orders: list[str] | None = None) -> View:
    return View(
        number=number,
        kind=BuyerKind.PROMPT,
        user_id=number,
        presses=1,
        answers={"202": 1},
        accepted=[rid],
        told={rid: list(told)},
        result_ms=10.0 * number,
        state=told[-1],
        rid=rid,
        last_asked={rid: told[-1]},
        orders=orders or [],
    )


def views() -> list[View]:
    return [
        saw(1, "a.0", "held", "paid", orders=["o1"]),
        saw(2, "a.1", "held", "expired"),
        saw(3, "a.2", "standby", "held", "paid", orders=["o2"]),
        saw(4, "a.3", "sold_out"),
        View(number=5, kind=BuyerKind.LATE, user_id=5, answers={"sold_out": 1}, state="sold_out"),
    ]


def test_a_right_sale_is_clean() -> None:
    assert findings(LEDGER, views(), 5) == []


def _set(number: int, **changes: Any) -> Callable[[SoldRows, list[View]], SoldRows]:
    def spoil(ledger: SoldRows, seen: list[View]) -> SoldRows:
        seen[number - 1] = msgspec.structs.replace(seen[number - 1], **changes)
        return ledger

    return spoil


def _ledger(**changes: Any) -> Callable[[SoldRows, list[View]], SoldRows]:
    return lambda ledger, seen: ledger._replace(**changes)


def _lost_view(ledger: SoldRows, seen: list[View]) -> SoldRows:
    seen.pop()
    return ledger


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_set(4, last_asked={}), "no outcome"),
        (_set(4, last_asked={"a.3": "queued"}), "no outcome"),
        (_set(4, state="paid"), "says paid and has no order"),
        (_set(1, state="held"), "left with held"),
        (_set(1, state="expired"), "says expired and has an order"),
        (_set(1, orders=["o2"]), "not theirs"),
        (_set(4, told={"a.3": ["held", "expired"]}), "the ledger does not have"),
        (_set(2, told={"a.1": ["held", "declined"]}), "against the ledger"),
        (_set(2, complaints=["a version fell"]), "a version fell"),
        (_lost_view, "left no view"),
        (_ledger(stock=1), "of a stock of 1"),
        (_ledger(sold=1, granted=1), "1 sold"),
        (_ledger(granted=3), "granted 3 but sold 2"),
        (_ledger(orders=[LEDGER.orders[0], ("o2", "a.1", 3, 490)]), "not of the same requests"),
        (_ledger(holds=[LEDGER.holds[0]._replace(user_id=3), *LEDGER.holds[1:]]), "paid for 2"),
        (_ledger(mails=[LEDGER.mails[0]] * 2), "2 mails 'won'"),
    ],
)
def test_everything_wrong_is_named(
    spoil: Callable[[SoldRows, list[View]], SoldRows], said: str
) -> None:
    seen = views()
    ledger = spoil(LEDGER, seen)
    assert any(said in line for line in findings(ledger, seen, 5)), findings(ledger, seen, 5)


def test_a_unit_left_over_while_somebody_stood_by_is_named() -> None:
    waited = msgspec.structs.replace(saw(4, "a.3", "standby"), state="closed")
    waited.last_asked = {"a.3": "closed"}
    seen = [*views()[:3], waited, views()[4]]
    assert findings(LEDGER, seen, 5) == []
    left = LEDGER._replace(stock=3)
    assert any("stood by to the end" in line for line in findings(left, seen, 5))


def test_outcomes_count_buyers_once() -> None:
    waited = msgspec.structs.replace(saw(6, "a.9", "standby"), state="closed")
    ends = report.outcomes([*views(), waited])
    assert dict(ends) == {"paid": 2, "expired": 1, "sold_out": 1, "closed": 1}


@pytest.mark.parametrize(
    ("told", "complaints", "stale"),
    [
        ((("standby", False), ("closed", True)), 0, 0),
        ((("closed", True), ("standby", False)), 0, 1),  # a push that an answer overtook
        ((("closed", True), ("standby", True)), 1, 0),
        ((("sold_out", False), ("standby", False)), 1, 0),
    ],
)
async def test_a_buyer_complains_of_two_fates(
    told: tuple[tuple[str, bool], ...], complaints: int, stale: int
) -> None:
    person = Visitor(1, "127.0.0.1", BuyerKind.PROMPT, user_id=1, token="t")
    buyer = Buyer(person, Crowd(CrowdPlan("127.0.0.1", 1, 1, 1, {}, [person], "")))
    for state, asked in told:
        buyer.hear({"state": state, "version": 1}, "a.0", asked=asked)
    assert (len(buyer.view.complaints), buyer.view.stale_pushes) == (complaints, stale)
