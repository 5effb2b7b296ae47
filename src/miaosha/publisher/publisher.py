"""The publisher as a server: puts its parts together, listens, and drains.

What it needs from outside comes as `Parts`; `serve` gets them from bootstrap.
"""

import asyncio
import contextlib
import errno
import functools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Protocol

from miaosha import bootstrap
from miaosha.domain.errors import SettingsError
from miaosha.ports.broker import Broker
from miaosha.ports.clock import Clock
from miaosha.ports.heartbeats import Heartbeats
from miaosha.ports.store import StockStore
from miaosha.publisher.arrivals import Arrivals
from miaosha.publisher.batcher import Batcher
from miaosha.publisher.http_connection import HttpConnection
from miaosha.publisher.intake import AccessVerifier, Intake
from miaosha.publisher.live_sales import LiveSales
from miaosha.publisher.routes import Router
from miaosha.publisher.shared import Service
from miaosha.serving import memory
from miaosha.serving.ending import end
from miaosha.serving.process import Process
from miaosha.settings import Settings

BACKLOG: Final = 4_096  # connections the kernel keeps until they are accepted
LINGER_S: Final = 2.0  # for those who keep connections to let go of them by themselves
DRAIN_S: Final = 3.0  # for what is queued when the process shall stop
FLUSH_S: Final = 1.0  # for the last answers to reach their clients


class Parts(Protocol):
    """What bootstrap opens for a publisher."""

    @property
    def store(self) -> StockStore: ...
    @property
    def broker(self) -> Broker: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def access_tokens(self) -> AccessVerifier: ...
    @property
    def question_key(self) -> bytes: ...
    @property
    def heartbeats(self) -> Heartbeats: ...


async def serve(process: Process, settings: Settings) -> None:
    """Open what the settings name, and run on it. What `process.run` runs."""
    async with bootstrap.publisher(settings) as parts:
        await run(process, settings, parts)


async def run(process: Process, settings: Settings, parts: Parts) -> None:
    """Listen on `process.listen` until `process.stop` is set, then drain.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    counters = process.counters
    board = LiveSales(parts.store, parts.broker, parts.clock, settings, counters)
    arrivals = Arrivals()
    batcher = Batcher(parts.broker, parts.clock, settings, counters, arrivals)
    intake = Intake(
        board, batcher, parts.access_tokens, parts.clock, parts.question_key, settings, counters
    )
    service = Service(Router(board, intake, counters), settings, counters, arrivals)
    process.checks["publisher"] = board.ready
    await board.refresh()
    await board.read()
    memory.settle()
    async with _listening(process.listen, service) as server, asyncio.TaskGroup() as group:
        jobs = [
            group.create_task(job)
            for job in (
                board.run(),
                service.turn(),
                process.heartbeat(parts.heartbeats, parts.clock),
            )
        ]
        await process.stop.wait()
        await drain(server, service, batcher)
        await end(jobs)


async def drain(server: asyncio.Server, service: Service, batcher: Batcher) -> None:
    """Stop in order, within LINGER_S + DRAIN_S + FLUSH_S."""
    # 1. Nobody new comes in.
    server.close()
    # 2. A connection ends with its next answer. An idle one is left to whoever keeps it: a proxy
    #    might be sending a press into it at this moment, which closing it would lose.
    service.leaving = True
    await _gone(service, LINGER_S)
    # 3. Connections take no more requests; idle ones end now, the others with their last answer.
    for connection in service.wheel.members():
        connection.drain()
    # 4. What was queued is published and answered.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            await batcher.drain()
    # 5. What the broker has not confirmed by now is answered `unavailable`.
    await batcher.abandon()
    # 6. The answers leave; whoever does not read them is cut off.
    await _gone(service, FLUSH_S)
    for connection in service.wheel.members():
        connection.cut()


async def _gone(service: Service, within_s: float) -> None:
    """Wait until no connection is left, but not longer than that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while service.connections:  # noqa: ASYNC110 (an event would cost every connection)
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def _listening(listen: str, service: Service) -> AsyncIterator[asyncio.Server]:
    loop = asyncio.get_running_loop()
    connect = functools.partial(HttpConnection, service)
    path = Path(listen.removeprefix("unix:")) if listen.startswith("unix:") else None
    try:
        if path is not None:
            path.unlink(missing_ok=True)
            server = await loop.create_unix_server(connect, str(path), backlog=BACKLOG)
            path.chmod(0o666)  # the edge's workers may run as another user
        else:
            host, _, port = listen.rpartition(":")
            server = await loop.create_server(
                connect,
                host.strip("[]"),
                int(port),
                backlog=BACKLOG,
                reuse_port=True,
            )
    except (OSError, ValueError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "the address is taken" if taken else str(error)
        raise SettingsError(
            f"--listen {listen}: {why}; expected unix:/path or a free host:port"
        ) from error
    try:
        yield server
    finally:
        server.close()
        if path is not None:
            path.unlink(missing_ok=True)
