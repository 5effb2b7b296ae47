"""How the supervisor asks whether a part is ready: over its socket, and by its heartbeat."""

import asyncio
import contextlib
import time
from pathlib import Path

from miaosha.domain.errors import DependencyDown
from miaosha.ports.store import Heartbeat, Heartbeats

ANSWER_S = 2.0
BEATS_EVERY_S = 0.5


async def http_ready(socket: Path) -> bool:
    """Does the role behind this unix socket answer 200 to GET /readyz?"""
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(
                    b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                )
                line = await reader.readline()
            finally:
                writer.close()
            return b" 200 " in line
    return False


async def port_open(host: str, port: int) -> bool:
    """Does somebody accept connections there?"""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_S):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return True
    return False


class Beats:
    """The heartbeats of all roles, read at most every half second however many ask."""

    def __init__(self, heartbeats: Heartbeats) -> None:
        self._heartbeats = heartbeats
        self._read_at = float("-inf")
        self._alive: list[Heartbeat] = []

    async def alive(self) -> list[Heartbeat]:
        """Empty while the store is away."""
        if time.monotonic() - self._read_at > BEATS_EVERY_S:
            self._read_at = time.monotonic()
            try:
                self._alive = await self._heartbeats.alive()
            except DependencyDown:
                self._alive = []
        return self._alive

    async def seen(self, pid: int) -> bool:
        """Has the process `pid` written a heartbeat lately?"""
        return any(beat.pid == pid for beat in await self.alive())
