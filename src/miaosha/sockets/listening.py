"""Listening: how a server accepts sockets, and how it lets them go when the process stops."""

import asyncio
import functools
import random
from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog

from miaosha.serving.listening import listening as accepting
from miaosha.sockets import closing
from miaosha.sockets.arrival import Arrival
from miaosha.sockets.server import SocketServer
from miaosha.sockets.session import Stage

DRAIN_STEPS: Final = 20
DRAIN_RATE_PER_S: Final = 1_000  # a handful of sockets is not worth a long goodbye
RETURN_RATE_PER_S: Final = 500  # nor is it worth a long absence
LAST_WORDS_S: Final = 1.0  # for close frames to be answered before the rest is dropped

log = structlog.get_logger()


def listening(server: SocketServer, listen: str) -> AbstractAsyncContextManager[asyncio.Server]:
    """Accept sockets on unix:/path or host:port. Raises SettingsError if it cannot."""
    return accepting(functools.partial(Arrival, server), listen)


async def drain(server: SocketServer, spread_s: float, return_s: float) -> None:
    """Close every socket with 1012, spread over at most `spread_s` seconds; then drop the rest.

    Each is told to come back at a random moment within `return_s` seconds after that. So a deploy
    is no storm for the process that takes over.
    """
    server.draining = True
    sessions = [session for session in set(server.wheel) if session.stage is not Stage.CLOSED]
    log.info("draining", sockets=len(sessions))
    spread_s = min(spread_s, len(sessions) / DRAIN_RATE_PER_S)
    return_s = min(return_s, len(sessions) / RETURN_RATE_PER_S)
    for step in range(DRAIN_STEPS):
        left_s = spread_s * (DRAIN_STEPS - step) / DRAIN_STEPS
        for session in sessions[step::DRAIN_STEPS]:
            wait_s = left_s + LAST_WORDS_S + random.uniform(0, return_s)  # noqa: S311 - jitter
            session.close(closing.restart(round(wait_s * 1000)))
        if spread_s:
            await asyncio.sleep(spread_s / DRAIN_STEPS)
    deadline = server.monotonic() + LAST_WORDS_S
    while server.open and server.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    for session in set(server.wheel):
        session.drop()
    await asyncio.sleep(0)
