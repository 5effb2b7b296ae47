"""Which sessions watch a sale, and which are a user's."""

import random

import pytest

from miaosha.gateway.hub import ROOMS_MAX, Hub, user_of
from miaosha.sockets.server import SocketServer
from miaosha.sockets.session import Session
from tests.sockets.silent import Silent, silent_server


@pytest.fixture
def server() -> SocketServer:
    return silent_server()


def everybody(hub: Hub, sale_id: int) -> set[Session]:
    room = hub.room(sale_id)
    assert room is not None
    return {session for slice_ in room.in_random_order(2, random.random) for session in slice_}


def test_rooms_count_their_watchers(server: SocketServer) -> None:
    watching: dict[int, int] = {}
    hub = Hub(watching, 3)
    one, two = Silent(server), Silent(server)
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


def test_lone_sessions_share_their_rooms_tuple(server: SocketServer) -> None:
    hub = Hub({}, 3)
    sessions = [Silent(server) for _ in range(3)]
    for session in sessions:
        hub.watch(session, 7)
    assert len({id(session.rooms) for session in sessions}) == 1


def test_the_oldest_room_makes_way(server: SocketServer) -> None:
    watching: dict[int, int] = {}
    hub = Hub(watching, 3)
    session = Silent(server)
    for sale_id in range(ROOMS_MAX + 2):
        hub.watch(session, sale_id)
    assert sorted(watching) == list(range(2, ROOMS_MAX + 2))


def test_users_have_sessions_up_to_a_limit(server: SocketServer) -> None:
    hub = Hub({}, 3)
    sessions = [Silent(server) for _ in range(4)]
    assert [hub.identify(session, 5) for session in sessions] == [True, True, True, False]
    assert hub.of_user(5) == tuple(sessions[:3])
    assert user_of(sessions[3]) == 0
    for session in sessions:
        hub.leave(session)
    assert hub.of_user(5) == ()


def test_a_limit_of_one(server: SocketServer) -> None:
    hub = Hub({}, 1)
    one, two = Silent(server), Silent(server)
    assert hub.identify(one, 5) and not hub.identify(two, 5)
    hub.leave(two)
    assert hub.of_user(5) == (one,)
