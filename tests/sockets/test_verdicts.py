"""Who is called silent: nobody a busy process did not listen to, and everybody else in time."""

import asyncio
import itertools
import socket

import pytest

from miaosha.serving.wheel import AWAY_S, EXCUSE_MAX_S, SLICE, Wheel
from miaosha.sockets.application import Application, Limits
from miaosha.sockets.closing import PING_TIMEOUT, Close
from miaosha.sockets.engine_packets import PING, Outbound
from miaosha.sockets.engine_session import EngineSession
from miaosha.sockets.handshake import Rules
from miaosha.sockets.server import SocketServer
from miaosha.sockets.session import Session, Stage
from tests.kit.clocks import HandClock
from tests.kit.waits import until
from tests.sockets.conftest import World
from tests.sockets.wire import HEAD, masked

INTERVAL_S, TIMEOUT_S, TICK_S = 25.0, 20.0, 0.25


class Peer(Session):
    """A session whose client is a test."""

    __slots__ = ("closed", "heard", "waiting")

    def __init__(self, server: SocketServer) -> None:
        super().__init__(server)
        self.heard: list[tuple[float, Outbound]] = []
        self.closed: Close | None = None
        self.waiting = False
        self.stage = Stage.OPEN

    def _write(self, parts: tuple[Outbound, ...]) -> None:
        self.heard += [(self.server.monotonic(), part) for part in parts]

    def close(self, close: Close) -> None:
        self.closed, self.stage = close, Stage.CLOSED

    def unread(self) -> bool:
        return self.waiting

    @property
    def pinged_at(self) -> list[float]:
        return [at for at, part in self.heard if part is PING]


@pytest.fixture
def hand() -> HandClock:
    return HandClock()


@pytest.fixture
def server(hand: HandClock) -> SocketServer:
    class Nothing:
        """No application: nobody says anything to it."""

    application: Application = Nothing()  # type: ignore[assignment]
    limits = Limits(ping_interval_s=INTERVAL_S, ping_timeout_s=TIMEOUT_S)
    rules = Rules(b"/", frozenset())
    return SocketServer(
        application,
        limits,
        rules,
        monotonic=hand.monotonic,
        now_s=lambda: int(hand.monotonic()),
        counters={},
    )


async def live(server: SocketServer, hand: HandClock, seconds: float) -> None:
    """A loop that is never late."""
    for _ in range(round(seconds / TICK_S)):
        hand.advance(TICK_S * 1_000)
        await server.wheel.advance()


async def test_a_silent_peer_is_found_in_time(server: SocketServer, hand: HandClock) -> None:
    peer = Peer(server)
    peer.ping()
    await live(server, hand, TIMEOUT_S - TICK_S)
    assert peer.closed is None
    await live(server, hand, 3 * TICK_S)
    assert server.counters["sockets_ping_timeout"] == 1 and peer.stage is Stage.CLOSED


@pytest.mark.parametrize("away_s", [2.0, 15.0, 300.0])
async def test_a_process_that_was_away_waits_as_long_for_its_verdicts(
    server: SocketServer, hand: HandClock, away_s: float
) -> None:
    peer = Peer(server)
    peer.ping()
    await live(server, hand, TIMEOUT_S - 1)
    hand.advance(away_s * 1_000)
    await server.wheel.advance()
    assert peer.closed is None, "the pong may lie there, or be on its way"
    excuse_s = min(away_s, EXCUSE_MAX_S)
    await live(server, hand, excuse_s - 2 * TICK_S)
    assert peer.closed is None
    await live(server, hand, 4 * TICK_S)
    assert peer.closed is PING_TIMEOUT, "a dead peer is found once the process was there for long"


async def test_a_pong_that_comes_during_the_excuse_counts(
    server: SocketServer, hand: HandClock
) -> None:
    peer = Peer(server)
    peer.ping()
    hand.advance((TIMEOUT_S + 5) * 1_000)
    await server.wheel.advance()
    peer.receive_text("3")
    await live(server, hand, EXCUSE_MAX_S + 1)
    assert peer.closed is None and len(peer.pinged_at) == 2, "and pings go on"


async def test_a_short_hiccup_is_no_absence(server: SocketServer, hand: HandClock) -> None:
    hand.advance((TICK_S + AWAY_S / 2) * 1_000)
    await server.wheel.advance()
    assert server.wheel.excused_s() == 0


async def test_what_lies_unread_is_read_before_the_verdict_and_only_once(
    server: SocketServer, hand: HandClock
) -> None:
    reads, never = Peer(server), Peer(server)
    for peer in (reads, never):
        peer.waiting = True
        peer.ping()
    await live(server, hand, TIMEOUT_S + TICK_S)
    assert reads.closed is None and never.closed is None
    reads.receive_text("3")
    await live(server, hand, 4 * TICK_S)
    assert reads.closed is None and never.closed is PING_TIMEOUT


async def test_a_late_verdict_makes_no_late_ping(server: SocketServer, hand: HandClock) -> None:
    """The client waits for an interval and a timeout from the last ping, whoever is busy here."""
    peer = Peer(server)
    for _ in range(4):
        peer.ping()
        peer.receive_text("3")
        hand.advance((TIMEOUT_S + 4) * 1_000)
        await server.wheel.advance()
        await live(server, hand, INTERVAL_S - TIMEOUT_S - 4 + 2 * TICK_S)
    gaps = [later - at for at, later in itertools.pairwise(peer.pinged_at)]
    assert max(gaps) <= INTERVAL_S + 2 * TICK_S, gaps


async def test_sparse_deadlines_do_not_cost_a_turn_each() -> None:
    hand, fired = HandClock(), list[int]()
    wheel = Wheel(hand.monotonic, TICK_S)
    for number in range(SLICE - 1):
        wheel.schedule(fired.append, number, number * TICK_S)
    hand.advance(SLICE * TICK_S * 1_000)
    with pytest.raises(StopIteration):
        wheel.advance().send(None)
    assert fired == list(range(SLICE - 1)), "all in one go, without a turn of the loop"


async def test_a_broadcast_lets_overdue_pings_go_first() -> None:
    hand, order = HandClock(), list[str]()
    wheel = Wheel(hand.monotonic, TICK_S)
    for _ in range(5 * SLICE):
        wheel.schedule(order.append, "ping", TICK_S)
    hand.advance(10_000)

    async def broadcast() -> None:
        for _ in range(8):
            order.append("slice")
            await wheel.give_way()

    await asyncio.gather(broadcast(), wheel.advance())
    assert order[0] == "slice" and order[1 : 5 * SLICE + 1] == ["ping"] * 5 * SLICE
    assert order[5 * SLICE + 1 :] == ["slice"] * 7


async def test_pings_that_never_end_do_not_end_a_broadcast() -> None:
    hand = HandClock()
    wheel = Wheel(hand.monotonic, TICK_S)
    hand.advance(10_000)  # and nobody turns the wheel
    async with asyncio.timeout(20):
        for _ in range(10):
            await wheel.give_way()


async def test_a_connection_knows_what_it_has_not_read(world: World) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_connection(world.address) as client:
        client.setblocking(False)
        await loop.sock_sendall(client, HEAD + b"\r\n")
        assert (await loop.sock_recv(client, 4096)).startswith(b"HTTP/1.1 101")
        session: EngineSession = next(iter(world.server.wheel))
        assert not session.unread()
        client.send(masked(b"40"))
        assert session.unread()
        await until(lambda: not session.unread() and session.namespaces)
    await until(lambda: session.stage is Stage.CLOSED)
    assert not session.unread()
