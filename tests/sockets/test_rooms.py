"""Rooms: who is in which, and in what order a broadcast reaches them."""

import random
from collections.abc import Sequence

import pytest

from miaosha.sockets.rooms import Room, Rooms
from miaosha.sockets.server import SocketServer
from miaosha.sockets.session import Session
from tests.sockets.silent import Silent, silent_server


@pytest.fixture
def server() -> SocketServer:
    return silent_server()


@pytest.fixture
def rooms() -> Rooms[str]:
    return Rooms()


def filled(rooms: Rooms[str], sessions: Sequence[Session]) -> Room[str]:
    for session in sessions:
        rooms.enter(session, "hall")
    room = rooms.get("hall")
    assert room is not None
    return room


def test_sessions_enter_and_leave(server: SocketServer, rooms: Rooms[str]) -> None:
    one, two = Silent(server), Silent(server)
    hall = filled(rooms, [one, two, one])
    attic = rooms.enter(one, "attic")
    assert set(hall) == {one, two} and set(attic) == {one}
    assert (len(hall), len(attic), sorted(rooms)) == (2, 1, ["attic", "hall"])
    rooms.leave(two, "attic")  # where it is not
    rooms.leave(two, "cellar")  # which is not there
    assert len(attic) == 1
    rooms.leave(one, "hall")
    assert set(hall) == {two} and [room.key for room in one.rooms] == ["attic"]
    assert [room.key for room in rooms.leave_all(one)] == ["attic"]
    assert not rooms.leave_all(one) and not one.rooms
    assert list(rooms) == ["hall"] and rooms.get("attic") is None


def test_a_broadcast_reaches_each_once_whoever_comes_and_goes(
    server: SocketServer, rooms: Rooms[str]
) -> None:
    sessions = [Silent(server) for _ in range(500)]
    room = filled(rooms, sessions)
    served: list[Session] = []
    dice = random.Random(5)
    gone: set[Session] = set()
    for slice_ in room.in_random_order(10, dice.random):
        served += slice_
        late = Silent(server)
        rooms.enter(late, "hall")
        for leaver in (sessions[len(served) // 2], sessions[-len(served) // 3]):
            if leaver not in served:
                gone.add(leaver)
            rooms.leave_all(leaver)
    assert len(served) == len(set(served))
    assert set(served) == set(sessions) - gone
    assert len(room) == len(set(room)) == len(list(room))


def test_everybody_is_first_as_often_as_the_others(server: SocketServer, rooms: Rooms[str]) -> None:
    """The place in a broadcast is uniform: over 2,000 of them no mean is 6 sigma off."""
    sessions = [Silent(server) for _ in range(40)]
    room = filled(rooms, sessions)
    dice, rounds = random.Random(11), 2_000
    places: dict[Session, int] = dict.fromkeys(sessions, 0)
    for _ in range(rounds):
        order = [session for slice_ in room.in_random_order(7, dice.random) for session in slice_]
        for place, session in enumerate(order):
            places[session] += place
    sigma = ((40**2 - 1) / 12 / rounds) ** 0.5
    assert all(abs(total / rounds - 19.5) < 6 * sigma for total in places.values())


def test_who_leaves_and_comes_back_has_one_place(server: SocketServer, rooms: Rooms[str]) -> None:
    session = Silent(server)
    stays = Silent(server)
    for _ in range(500):
        filled(rooms, [stays, session])
        rooms.leave_all(session)
    room = filled(rooms, [session])
    assert len(room) == 2
    assert [len(slice_) for slice_ in room.in_random_order(9, random.random)] == [2]


def test_sessions_are_slots_only(server: SocketServer) -> None:
    assert not hasattr(Silent(server), "__dict__")
