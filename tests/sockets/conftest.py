"""A running SocketServer with an application for tests, on a loop as in production."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest
import uvloop

from miaosha.sockets.admission import Admission
from miaosha.sockets.application import ConnectRefused, Limits
from miaosha.sockets.engine_packets import Outbound
from miaosha.sockets.handshake import Rules
from miaosha.sockets.listening import drain, listening
from miaosha.sockets.server import SocketServer
from miaosha.sockets.session import Session
from tests.kit.clocks import RunningClock
from tests.kit.waits import until
from tests.sockets.wire import DEADLINE_S

DRAIN_S, RETURN_S = 0.2, 0.2


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop as in production."""
    return {"uvloop": uvloop.new_event_loop}


class Desk:
    """An application: `echo` comes back, and a user can be told news.

    A token is `<user id>:<expires at, Unix s>`.
    """

    def __init__(self) -> None:
        self._users: defaultdict[int, list[Session]] = defaultdict(list)

    def connect(self, session: Session, namespace: str, auth: Any) -> Sequence[Outbound]:
        if namespace != "/":
            raise ConnectRefused("Invalid namespace", {"code": "not_found"})
        if auth:
            user, _, expires = auth["token"].partition(":")
            if not expires.isdigit():
                raise ConnectRefused("No such token")
            session.context = int(user)
            session.expire_at(int(expires))
            self._users[session.context].append(session)
        return ()

    def event(
        self, session: Session, namespace: str, name: str, args: list[Any], ack_id: int | None
    ) -> None:
        if name == "echo" and ack_id is not None:
            session.acknowledge(namespace, ack_id, *args)

    def acked(self, session: Session, namespace: str, ack_id: int, args: list[Any]) -> None:
        """Nothing is asked of a client."""

    def disconnected(self, session: Session, namespace: str) -> None:
        if session.context is not None:
            self._users[session.context].remove(session)
            session.context = None
            session.expire_at(0)

    def of_user(self, user_id: int) -> list[Session]:
        return self._users[user_id]

    def tell(self, user_id: int, *news: Any) -> None:
        """Send each of `news` as an event of its own to a user's sessions."""
        for session in self.of_user(user_id):
            for item in news:
                session.emit("/", "news", item)


class World:
    """A server, and what a test does with it. `checks`: those of /readyz."""

    def __init__(
        self, limits: Limits, origins: frozenset[str], admission: Admission | None
    ) -> None:
        self.desk = Desk()
        self.counters: dict[str, float] = {}
        self.checks: dict[str, Any] = {}
        self.clock = RunningClock()
        self.address = ("", 0)
        self._stop = asyncio.Event()
        self.server = SocketServer(
            self.desk,
            limits,
            Rules(b"/socket.io/", origins),
            monotonic=time.monotonic,
            now_s=self.now_s,
            counters=self.counters,
            instance="3",
            checks=self.checks,
            admission=admission,
        )
        self.task = asyncio.create_task(self._run())

    @property
    def ws(self) -> str:
        host, port = self.address
        return f"ws://{host}:{port}/socket.io/?EIO=4&transport=websocket"

    def now_s(self) -> int:
        return self.clock.now_ms() // 1000

    def token(self, user_id: int, valid_s: int = 3600) -> str:
        return f"{user_id}:{self.now_s() + valid_s}"

    async def count(self, name: str, at_least: int = 1) -> None:
        """Wait until a counter has reached a number."""
        await until(lambda: self.counters[name] >= at_least)

    async def _run(self) -> None:
        async with listening(self.server, "127.0.0.1:0") as listener:
            host, port = listener.sockets[0].getsockname()[:2]
            self.address = (host, int(port))
            wheel = asyncio.create_task(self.server.wheel.run())
            await self._stop.wait()
            listener.close()
            await drain(self.server, DRAIN_S, RETURN_S)
            wheel.cancel()

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.wait_for(self.task, DEADLINE_S)


class Start(Protocol):
    def __call__(self, **options: Any) -> AbstractAsyncContextManager[World]: ...


@contextlib.asynccontextmanager
async def start(
    origins: Sequence[str] = (), admission: Admission | None = None, **limits: Any
) -> AsyncIterator[World]:
    """A server on a port of its own."""
    world = World(Limits(**limits), frozenset(origins), admission)
    await until(lambda: world.task.done() or world.address[1])
    try:
        yield world
    finally:
        await world.stop()


@pytest.fixture
def start_server() -> Start:
    return start


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A server with default limits."""
    async with start() as running:
        yield running
