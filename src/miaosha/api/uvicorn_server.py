"""The api role: uvicorn around the application, on a unix socket or an address."""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterator
from socket import socket
from typing import Any, Final, cast

import uvicorn
from litestar import Litestar
from litestar.types import ASGIApp, Receive, Scope, Send

from miaosha import bootstrap
from miaosha.api.app import create_app
from miaosha.api.body_limits import Bounded, last_answer
from miaosha.api.uvicorn_connection import UvicornConnection
from miaosha.domain.errors import SettingsError
from miaosha.serving import memory
from miaosha.serving.ending import end
from miaosha.serving.process import Process
from miaosha.settings import Settings

LINGER_S: Final = 2.0  # for those who keep connections to let go of them by themselves
DRAIN_S: Final = 20  # requests under way may take this long once we stop
BACKLOG: Final = 2_048


class UvicornServer(uvicorn.Server):
    """uvicorn without its signal handlers: the process owns INT and TERM."""

    bound: Callable[[int], None] | None = None

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.bound and self.started:
            address = self.servers[0].sockets[0].getsockname()
            self.bound(address[1] if isinstance(address, tuple) else 0)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Idle connections are left to whoever keeps them for a moment: a proxy might be sending a
        request into one just now, which closing it would lose."""
        for server in self.servers:
            server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while self.server_state.connections:  # noqa: ASYNC110 - it cannot tell us
                    await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(process: Process, settings: Settings) -> None:
    """Serve until `process.stop` is set, then finish what is under way."""
    async with bootstrap.api(settings, process.instance) as parts:
        app = create_app(parts, settings, process.counters)
        process.checks.update(parts.checks)
        memory.settle()  # a look at all that a framework keeps takes a tenth of a second
        try:
            async with asyncio.TaskGroup() as group:  # a heartbeat that breaks ends the process
                beating = group.create_task(process.heartbeat(parts.heartbeats, parts.clock))
                try:
                    await listen(app, process, settings)
                finally:
                    await end([beating])
        finally:
            await app.state.desk.close()


async def listen(
    app: Litestar,
    process: Process,
    settings: Settings,
    bound: Callable[[int], None] | None = None,
) -> None:
    """Serve `app` on `process.listen` until `process.stop`.

    Args:
        bound: told the port once it is listening (0 for a unix socket).
    """
    application = _letting_go(Bounded(app), process.stop.is_set)
    server = UvicornServer(_config(application, process.listen, settings))
    server.bound = bound
    running = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(process.stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await running


def _letting_go(app: ASGIApp, leaving: Callable[[], bool]) -> ASGIApp:
    """`app`, whose answers end their connections from the moment the process is leaving."""

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, last_answer(send) if leaving() else send)

    return answered


def _config(app: ASGIApp, address: str, settings: Settings) -> uvicorn.Config:
    """Raises SettingsError for an address that is neither unix:/path nor host:port."""
    kind, _, path = address.partition(":")
    host, _, port = address.rpartition(":")
    unix = path if kind == "unix" else None
    if not unix and not port.isdigit():
        raise SettingsError(f"--listen {address!r}: expected unix:/path or host:port")
    return uvicorn.Config(
        cast("Any", app),
        uds=unix,
        host="" if unix else host or settings.bind,
        port=0 if unix else int(port),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        backlog=BACKLOG,
        timeout_keep_alive=settings.idle_timeout_ms // 1000,
        timeout_graceful_shutdown=DRAIN_S,
        http=cast("Any", functools.partial(UvicornConnection, settings.header_max_bytes)),
    )
