"""The table of moves: what it allows, what it forbids, and that its page is up to date."""

from pathlib import Path

import pytest
from docs.draw import reservation as drawing

from miaosha.domain.errors import IllegalTransition
from miaosha.domain.reservation import (
    LIVE,
    TRANSITIONS,
    Event,
    HoldState,
    State,
    place_of,
    step,
)

PAGE = Path(__file__).parents[2] / "docs" / "reservation.md"


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ([Event.WIN, Event.PAY, Event.CAPTURE], State.PAID),
        ([Event.WIN, Event.PAY, Event.REFUSE, Event.PAY, Event.CAPTURE], State.PAID),
        ([Event.WIN, Event.PAY, Event.REFUSE_LAST], State.EXPIRED),
        ([Event.WIN, Event.EXPIRE, Event.WAIT, Event.PROMOTE, Event.DECLINE], State.DECLINED),
        ([Event.WAIT, Event.LEAVE, Event.WAIT, Event.CLOSE], State.CLOSED),
        ([Event.WIN, Event.DECLINE, Event.WIN], State.HELD),
    ],
)
def test_lives_of_a_place(path: list[Event], end: State) -> None:
    state = State.NONE
    for event in path:
        state = step(state, event)
    assert state is end


@pytest.mark.parametrize("state", State)
def test_what_is_not_in_the_table_is_illegal(state: State) -> None:
    allowed = TRANSITIONS.get(state, {})
    for event in set(Event) - set(allowed):
        with pytest.raises(IllegalTransition, match=f"{event} .* {state}"):
            step(state, event)


def test_an_expiry_never_interrupts_a_payment() -> None:
    assert Event.EXPIRE not in TRANSITIONS[State.PAYING]
    assert Event.DECLINE not in TRANSITIONS[State.PAYING]


def test_paid_and_closed_are_terminal() -> None:
    assert {state for state, moves in TRANSITIONS.items() if not moves} == {
        State.PAID,
        State.CLOSED,
    }


def test_who_may_press_again() -> None:
    pressable = {state for state, moves in TRANSITIONS.items() if Event.WIN in moves}
    assert pressable == {State.NONE, State.EXPIRED, State.DECLINED, State.LEFT}
    assert not pressable & LIVE


def test_which_moves_give_a_unit_back() -> None:
    back = {event for old, event, new in drawing.moves() if old in LIVE and new not in LIVE}
    assert back == {Event.EXPIRE, Event.DECLINE, Event.REFUSE_LAST, Event.RETURN}


@pytest.mark.parametrize(
    ("row", "reason", "seen"),
    [
        (HoldState.HELD, None, State.HELD),
        (HoldState.PAYING, None, State.PAYING),
        (HoldState.PAID, None, State.PAID),
        (HoldState.RELEASED, "expired", State.EXPIRED),
        (HoldState.RELEASED, "declined", State.DECLINED),
        (HoldState.RELEASED, None, State.EXPIRED),
    ],
)
def test_what_a_row_of_holds_means(row: HoldState, reason: str | None, seen: State) -> None:
    assert place_of(row, reason) is seen


def test_every_move_is_drawn_and_explained() -> None:
    assert set(drawing.MEANING) == set(Event)
    for old, event, new in drawing.moves():
        assert f"| {old} | {event} | {new} |" in drawing.table()
        assert f"--> {new}: {event}" in drawing.diagram()


def test_the_page_is_up_to_date(tmp_path: Path) -> None:
    drawing.write(tmp_path / "page.md")
    drawn = (tmp_path / "page.md").read_text("utf-8")
    assert PAGE.read_text("utf-8") == drawn, "run: make docs"
