"""Who gets a unit, by the specification: the table of outcomes, merges, and the promises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miaosha.domain import allocation, rebuild
from miaosha.domain.allocation import (
    Allocation,
    Decision,
    Place,
    Promoted,
    Refusal,
    Row,
    merge,
    outcome,
)
from miaosha.domain.messages import BATCH_VERSION, Batch
from miaosha.domain.place import Letter, Outcome
from miaosha.domain.reservation import HoldState, State

CLOSES_MS = 1_000


def a_sale(stock: int = 2, *, standby_limit: int = 2) -> Allocation:
    return Allocation(1, stock, stock, CLOSES_MS, standby_limit)


def press(sale: Allocation, name: str, *users: int, at_ms: int = 0) -> Decision:
    batch = Batch(BATCH_VERSION, 7, name, at_ms, list(users))
    answer = allocation.decide(sale, sale.epoch, batch)
    assert isinstance(answer, Decision)
    return answer


def test_letters_in_order_of_arrival() -> None:
    sale = a_sale()
    assert press(sale, "a", 1, 2, 3, 4, 5, 1, 3).letters == "hhssorr"
    assert (sale.free, sale.held, sale.refused, sale.seq) == (0, 2, 1, 4)
    assert sale.ungranted == {"a.0": (1, False), "a.1": (2, False)}


def test_a_batch_is_decided_once() -> None:
    sale = a_sale(1, standby_limit=0)
    assert press(sale, "a", 1, 2).letters == "ho"
    allocation.release(sale, 1, 1, "a.0", State.EXPIRED, 2)
    again = press(sale, "a", 1, 2)
    assert (again.letters, again.fresh) == ("ho", False)
    assert press(sale, "b", 2).letters == "h"


@pytest.mark.parametrize(("at_ms", "letter"), [(999, "h"), (1000, "c"), (1001, "c")])
def test_closing(at_ms: int, letter: str) -> None:
    assert press(a_sale(), "a", 1, at_ms=at_ms).letters == letter


def test_a_live_place_is_answered_after_closing_too() -> None:
    sale = a_sale()
    press(sale, "a", 1)
    assert press(sale, "b", 1, 2, at_ms=CLOSES_MS).letters == "rc"


def test_newcomers_never_overtake_standby() -> None:
    sale = a_sale(0, standby_limit=5)
    press(sale, "a", 1, 2)
    sale.stock = sale.free = 1
    assert press(sale, "b", 3).letters == "s"
    assert allocation.promote(sale, 1) == [Promoted(1, "a.0", 1, 2)]


def test_promotion_has_a_limit() -> None:
    sale = a_sale(0, standby_limit=9)
    press(sale, "a", *range(9))
    sale.stock = sale.free = 9
    first = allocation.promote(sale, 1, limit=4)
    rest = allocation.promote(sale, 1)
    assert not isinstance(first, Refusal) and not isinstance(rest, Refusal)
    assert [p.user_id for p in first + rest] == list(range(9)) and len(first) == 4


def test_a_unit_that_was_one_too_many_goes_to_nobody() -> None:
    """After a lost count: what comes back only fills the gap."""
    sale = a_sale(2, standby_limit=1)
    press(sale, "a", 1, 2, 3)
    sale.stock, sale.free = 1, -1
    assert allocation.release(sale, 1, 1, "a.0", State.EXPIRED, 9) == []
    assert (sale.free, sale.held, list(sale.standby)) == (0, 1, [3])


def test_a_released_unit_goes_to_the_head_or_to_free() -> None:
    sale = a_sale(1)
    press(sale, "a", 1, 2)
    assert allocation.release(sale, 1, 1, "a.0", State.EXPIRED, 9) == [Promoted(2, "a.1", 2, 2)]
    assert sale.users[1] == Place(State.EXPIRED, "a.0", 1, 9)
    assert allocation.release(sale, 1, 2, "a.1", State.DECLINED, 0) == []
    assert (sale.free, sale.held, sale.ungranted) == (1, 0, {})


def test_leaving_names_the_place() -> None:
    sale = a_sale(0)
    press(sale, "a", 1)
    allocation.leave(sale, 1, 1)
    press(sale, "b", 1)
    late = allocation.leave(sale, 1, 1, "a.0")
    assert isinstance(late, Place) and late.state is State.STANDBY
    left = allocation.leave(sale, 1, 1, "b.0")
    assert isinstance(left, Place) and left.state is State.LEFT and not sale.standby


def test_no_epoch_refuses_everybody() -> None:
    sale = rebuild.empty()
    assert allocation.promote(sale, 0) is Refusal.EPOCH
    assert allocation.settle(sale, 1, 1, "a.0", 1) is Refusal.EPOCH


def row(state: HoldState, rid: str = "a.0", rank: int = 1, *, version: int = 2) -> Row:
    reason = "declined" if state is HoldState.RELEASED else None
    return Row(rid, 1, state, reason, rank, version, 500)


HELD, STANDBY = Place(State.HELD, "a.0", 1, 1), Place(State.STANDBY, "a.0", 1, 1)
LIVE_ROW, GONE_ROW = row(HoldState.HELD), row(HoldState.RELEASED)


@pytest.mark.parametrize(
    ("why", "place", "rows", "expected"),
    [
        ("nothing known", None, [], None),
        ("never granted: to the head", HELD, [], Place(State.STANDBY, "a.0", 1, 2)),
        ("standby stays", STANDBY, [], STANDBY),
        ("granted stays", HELD, [LIVE_ROW], Place(State.HELD, "a.0", 1, 2, 500)),
        ("paying reads held", HELD, [row(HoldState.PAYING)], Place(State.HELD, "a.0", 1, 1, 500)),
        ("paid", HELD, [row(HoldState.PAID)], Place(State.PAID, "a.0", 1, 2, 500)),
        ("lost: SQL knows", None, [LIVE_ROW], Place(State.HELD, "a.0", 1, 2, 500)),
        ("lost and over", None, [GONE_ROW], Place(State.DECLINED, "a.0", 1, 2, 500)),
        ("promotion lost", STANDBY, [LIVE_ROW], Place(State.HELD, "a.0", 1, 2, 500)),
        ("ended in SQL", HELD, [GONE_ROW], Place(State.DECLINED, "a.0", 1, 2, 500)),
        (
            "a live row of another rid wins",
            STANDBY,
            [row(HoldState.HELD, "b.0", 8)],
            Place(State.HELD, "b.0", 8, 2, 500),
        ),
        (
            "an ended row of another rid does not",
            STANDBY,
            [row(HoldState.RELEASED, "z.0")],
            STANDBY,
        ),
        (
            "the live one of several",
            None,
            [GONE_ROW, row(HoldState.PAID, "b.0", 8), row(HoldState.RELEASED, "c.0", 4)],
            Place(State.PAID, "b.0", 8, 2, 500),
        ),
        (
            "the newest of several that ended",
            None,
            [row(HoldState.RELEASED, "b.0", 8), GONE_ROW],
            Place(State.DECLINED, "b.0", 8, 2, 500),
        ),
        ("left stays left", HELD._replace(state=State.LEFT), [], HELD._replace(state=State.LEFT)),
    ],
)
def test_merge(why: str, place: Place | None, rows: list[Row], expected: Place | None) -> None:
    assert merge(place, rows) == expected, why


def test_a_merge_never_lowers_a_version() -> None:
    far = HELD._replace(version=9)
    merged = merge(far, [row(HoldState.PAID, version=2)])
    assert merged is not None and merged.version == 10
    again = merge(merged, [row(HoldState.PAID, version=2)])
    assert again is not None and again.version == 10, "merging twice is merging once"


@pytest.mark.parametrize(
    ("letter", "place", "told"),
    [
        (Letter.HELD, HELD, Outcome(State.HELD, "a.0", 1, 1)),
        (Letter.STANDBY, HELD, Outcome(State.HELD, "a.0", 1, 1)),
        (Letter.HELD, HELD._replace(rid="b.0"), Outcome(State.ENDED, "a.0")),
        (Letter.REPEAT, HELD._replace(rid="b.0"), Outcome(State.HELD, "b.0", 1, 1)),
        (Letter.REPEAT, None, Outcome(State.ENDED, "a.0")),
        (Letter.HELD, None, Outcome(State.ENDED, "a.0")),
        (Letter.SOLD_OUT, HELD, Outcome(State.SOLD_OUT, "a.0")),
        (Letter.CLOSED, HELD, Outcome(State.CLOSED, "a.0")),
    ],
)
def test_what_a_request_is_told(letter: Letter, place: Place | None, told: Outcome) -> None:
    assert outcome(letter, "a.0", place) == told


@given(
    state=st.sampled_from(State),
    rid=st.from_regex(r"[0-9a-f-]{1,36}\.[0-9]{1,3}", fullmatch=True),
    numbers=st.tuples(*[st.integers(0, 1 << 53)] * 3),
)
def test_a_place_survives_its_encoding(
    state: State, rid: str, numbers: tuple[int, int, int]
) -> None:
    place = Place(state, rid, *numbers)
    assert Place.parse(place.encode()) == place


@pytest.mark.parametrize("text", ["", "held", "held|a|1|2", "seated|a|1|2|3", "held|a|x|2|3"])
def test_a_broken_place_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Place.parse(text)
