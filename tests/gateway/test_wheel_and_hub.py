"""The timer wheel, and who is in which room."""

import asyncio
import random

import pytest

from miaosha.gateway.hub import ROOMS_MAX, Hub
from miaosha.serving.wheel import SLICE, Wheel
from miaosha.sockets.handshake import Rules
from miaosha.sockets.server import Application, Core, Limits
from miaosha.sockets.session import Session


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_entries_fire_when_due_and_not_before() -> None:
    hand, fired = Hand(), list[str]()
    wheel = Wheel(hand, 0.25)
    wheel.schedule(fired.append, "late", 5.0)
    wheel.schedule(fired.append, "soon", 0.25)
    wheel.schedule(fired.append, "now", 0.0)
    for at, expected in [(0.0, []), (0.25, ["now"]), (0.4, ["now"]), (0.5, ["now", "soon"])]:
        hand.now = 100 + at
        await wheel.advance()
        assert fired == expected
    assert list(wheel) == ["late"]
    hand.now = 200.0  # the loop was stuck for a while
    await wheel.advance()
    assert fired == ["now", "soon", "late"]
    assert list(wheel) == []


async def test_an_entry_may_schedule_itself() -> None:
    hand, fired = Hand(), list[float]()
    wheel = Wheel(hand, 0.1)

    def again(item: str) -> None:
        fired.append(hand.now)
        wheel.schedule(again, item, 0.1)

    wheel.schedule(again, "x", 0.1)
    for _ in range(50):
        hand.now += 0.1
        await wheel.advance()
    assert 24 <= len(fired) <= 50


async def test_a_storm_is_served_in_slices() -> None:
    hand, fired = Hand(), list[int]()
    wheel = Wheel(hand, 0.1)
    for number in range(10 * SLICE):
        wheel.schedule(fired.append, number, 0.1)
    hand.now += 1
    turns = 0

    async def others() -> None:
        nonlocal turns
        while len(fired) < 10 * SLICE:
            turns += 1
            await asyncio.sleep(0)

    await asyncio.gather(wheel.advance(), others())
    assert sorted(fired) == list(range(10 * SLICE))
    assert turns >= 9


class Silent(Session):
    __slots__ = ()


@pytest.fixture
def core() -> Core:
    class Nothing:
        """No application: these sessions never hear anything."""

    application: Application = Nothing()  # type: ignore[assignment]
    return Core(
        application,
        Limits(),
        Rules(b"/", frozenset()),
        monotonic=lambda: 0.0,
        now_s=lambda: 0,
        counters={},
    )


def everybody(hub: Hub, sale_id: int) -> set[Session]:
    room = hub.room(sale_id)
    assert room is not None
    return {session for slice_ in room.in_random_order(2, random.random) for session in slice_}


def test_rooms_count_their_watchers(core: Core) -> None:
    watching: dict[int, int] = {}
    hub = Hub(watching, 3)
    one, two = Silent(core), Silent(core)
    hub.watch(one, 7)
    hub.watch(one, 7)
    hub.watch(two, 7)
    hub.watch(two, 8)
    assert watching == {7: 2, 8: 1} == {7: hub.count(7), 8: hub.count(8)}
    assert everybody(hub, 7) == {one, two}
    hub.leave(two)
    assert watching == {7: 1}
    hub.leave(one)
    hub.leave(one)
    assert watching == {} and list(hub.watched()) == [] and hub.room(7) is None


def test_lone_sessions_share_their_rooms_tuple(core: Core) -> None:
    hub = Hub({}, 3)
    sessions = [Silent(core) for _ in range(3)]
    for session in sessions:
        hub.watch(session, 7)
    assert len({id(session.rooms) for session in sessions}) == 1


def test_the_oldest_room_makes_way(core: Core) -> None:
    watching: dict[int, int] = {}
    hub = Hub(watching, 3)
    session = Silent(core)
    for sale_id in range(ROOMS_MAX + 2):
        hub.watch(session, sale_id)
    assert sorted(watching) == list(range(2, ROOMS_MAX + 2))


def test_a_broadcast_reaches_each_once_whoever_comes_and_goes(core: Core) -> None:
    hub = Hub({}, 3)
    sessions = [Silent(core) for _ in range(500)]
    for one in sessions:
        hub.watch(one, 7)
    room = hub.room(7)
    assert room is not None
    served: list[Session] = []
    dice = random.Random(5)
    gone: set[Session] = set()
    for slice_ in room.in_random_order(10, dice.random):
        served += slice_
        late = Silent(core)
        hub.watch(late, 7)
        for leaver in (sessions[len(served) // 2], sessions[-len(served) // 3]):
            if leaver not in served:
                gone.add(leaver)
            hub.leave(leaver)
    assert len(served) == len(set(served))
    assert set(served) == set(sessions) - gone
    assert len(room) == len(everybody(hub, 7)) == hub.count(7)


def test_everybody_is_first_as_often_as_the_others(core: Core) -> None:
    """The place in a broadcast is uniform: over 2,000 of them no mean is 6 sigma off."""
    hub = Hub({}, 3)
    sessions = [Silent(core) for _ in range(40)]
    for one in sessions:
        hub.watch(one, 7)
    room = hub.room(7)
    assert room is not None
    dice, rounds = random.Random(11), 2_000
    places: dict[Session, int] = dict.fromkeys(sessions, 0)
    for _ in range(rounds):
        order = [session for slice_ in room.in_random_order(7, dice.random) for session in slice_]
        for place, session in enumerate(order):
            places[session] += place
    sigma = ((40**2 - 1) / 12 / rounds) ** 0.5
    assert all(abs(total / rounds - 19.5) < 6 * sigma for total in places.values())


def test_who_leaves_and_comes_back_has_one_place(core: Core) -> None:
    hub = Hub({}, 3)
    session = Silent(core)
    stays = Silent(core)
    hub.watch(stays, 7)
    for _ in range(500):
        hub.watch(session, 7)
        hub.leave(session)
    hub.watch(session, 7)
    room = hub.room(7)
    assert room is not None and len(room) == 2
    assert [len(slice_) for slice_ in room.in_random_order(9, random.random)] == [2]


def test_users_have_sessions_up_to_a_limit(core: Core) -> None:
    hub = Hub({}, 3)
    sessions = [Silent(core) for _ in range(4)]
    assert [hub.identify(session, 5) for session in sessions] == [True, True, True, False]
    assert hub.of_user(5) == tuple(sessions[:3])
    assert sessions[3].user_id == 0
    for session in sessions:
        hub.leave(session)
    assert hub.of_user(5) == ()


def test_a_limit_of_one(core: Core) -> None:
    hub = Hub({}, 1)
    one, two = Silent(core), Silent(core)
    assert hub.identify(one, 5) and not hub.identify(two, 5)
    hub.leave(two)
    assert hub.of_user(5) == (one,)


def test_sessions_are_slots_only(core: Core) -> None:
    assert not hasattr(Silent(core), "__dict__")
