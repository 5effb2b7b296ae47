"""Publisher: puts its parts together, listens, and drains."""

import asyncio
import contextlib
import functools
from typing import Final

from miaosha import bootstrap
from miaosha.bootstrap import PublisherParts
from miaosha.publisher.arrivals import Arrivals
from miaosha.publisher.batcher import Batcher
from miaosha.publisher.http_connection import HttpConnection
from miaosha.publisher.intake import Intake
from miaosha.publisher.live_sales import LiveSales
from miaosha.publisher.routes import Router
from miaosha.publisher.shared import Shared
from miaosha.serving import memory
from miaosha.serving.ending import end
from miaosha.serving.listening import listening
from miaosha.serving.process import Process
from miaosha.settings import Settings

LINGER_S: Final = 2.0  # for those who keep connections to let go of them by themselves
DRAIN_S: Final = 3.0  # for what is queued when the process shall stop
FLUSH_S: Final = 1.0  # for the last answers to reach their clients


async def serve(process: Process, settings: Settings) -> None:
    """Open what the settings name, and run on it. What `process.run` runs."""
    async with bootstrap.publisher(settings) as parts:
        await run(process, settings, parts)


async def run(process: Process, settings: Settings, parts: PublisherParts) -> None:
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
    routes = Router(board, intake, counters)
    shared = Shared(routes, settings, counters, arrivals, parts.clock.monotonic)
    process.checks["publisher"] = board.ready
    await board.refresh()
    await board.read()
    memory.settle()
    connect = functools.partial(HttpConnection, shared)
    listening_on = listening(connect, process.listen, shared=True)
    async with listening_on as server, asyncio.TaskGroup() as group:
        jobs = [
            group.create_task(job)
            for job in (
                board.run(),
                shared.turn(),
                process.heartbeat(parts.heartbeats, parts.clock),
            )
        ]
        await process.stop.wait()
        await drain(server, shared, batcher)
        await end(jobs)


async def drain(server: asyncio.Server, shared: Shared, batcher: Batcher) -> None:
    """Stop in order, within LINGER_S + DRAIN_S + FLUSH_S."""
    # 1. Nobody new comes in.
    server.close()
    # 2. A connection ends with its next answer. An idle one is left to whoever keeps it: a proxy
    #    might be sending a press into it at this moment, which closing it would lose.
    shared.leaving = True
    await _gone(shared, LINGER_S)
    # 3. Connections take no more requests; idle ones end now, the others with their last answer.
    for connection in set(shared.wheel):
        connection.drain()
    # 4. What was queued is published and answered.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            await batcher.drain()
    # 5. What the broker has not confirmed by now is answered `unavailable`.
    await batcher.abandon()
    # 6. The answers leave; whoever does not read them is cut off.
    await _gone(shared, FLUSH_S)
    for connection in set(shared.wheel):
        connection.cut()


async def _gone(shared: Shared, within_s: float) -> None:
    """Wait until no connection is left, but not longer than that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while shared.connections:  # noqa: ASYNC110 (an event would cost every connection)
                await asyncio.sleep(0.01)
