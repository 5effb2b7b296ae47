"""UvicornServer: the api role: uvicorn around the application, on a unix socket or a port."""

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
from miaosha.api.body_limits import BodyLimits, last_answer
from miaosha.api.uvicorn_connection import UvicornConnection
from miaosha.serving import memory
from miaosha.serving.ending import end
from miaosha.serving.listening import bound, close_listener, open_listener
from miaosha.serving.process import Process
from miaosha.settings import Settings

LINGER_S: Final = 2.0  # for those who keep connections to let go of them by themselves
DRAIN_S: Final = 20  # requests under way may take this long once we stop


class UvicornServer(uvicorn.Server):
    """uvicorn, which listens as every role does, and leaves INT and TERM to the process.

    Args:
        listen: unix:/path or host:port.
        bound: told the port once it is listening (0 for a unix socket).
    """

    def __init__(
        self, config: uvicorn.Config, listen: str, bound: Callable[[int], None] | None
    ) -> None:
        super().__init__(config)
        self._listen = listen
        self._bound = bound

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Raises SettingsError, where uvicorn's own would end the process without a word."""
        connect = functools.partial(
            cast("Any", self.config.http_protocol_class),
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        server = await open_listener(connect, self._listen)
        self.servers = [server]
        self.started = True
        if self._bound:
            self._bound(bound(server).port)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Idle connections are left to whoever keeps them for a moment: a proxy might be sending a
        request into one just now, which closing it would lose."""
        for server in self.servers:
            close_listener(server, self._listen)
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
            await app.state.context.close()


async def listen(
    app: Litestar,
    process: Process,
    settings: Settings,
    bound: Callable[[int], None] | None = None,
) -> None:
    """Serve `app` on `process.listen` until `process.stop`; `bound` as in UvicornServer.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    application = _letting_go(BodyLimits(app), process.stop.is_set)
    server = UvicornServer(_config(application, settings), process.listen, bound)
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


def _config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        cast("Any", app),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=settings.idle_timeout_ms // 1000,
        timeout_graceful_shutdown=DRAIN_S,
        http=cast("Any", functools.partial(UvicornConnection, settings.header_max_bytes)),
    )
