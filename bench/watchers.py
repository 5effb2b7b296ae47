"""Watchers: buyers with a Socket.IO connection, who press over HTTP through the edge.

They measure the time from their press to the push that tells them the result.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from bench.presses import Presses
from bench.tally import milliseconds
from miaosha.trials.crowd.http_client import Http
from miaosha.trials.crowd.socketio_client import Socket, connect

CONNECT_AT_ONCE = 50
RESULT_WITHIN_S = 30.0
PER_ADDRESS = 2_000  # connections from one loopback address


class Watcher:
    """One buyer: `told_at` is when the result came (time.monotonic), 0 before."""

    def __init__(self, request: bytes, number: int, port: int) -> None:
        head, _, self.body = request.partition(b"\r\n\r\n")
        self.path = head.split(b" ", 2)[1].decode()
        self.token = head.rpartition(b"Bearer ")[2].decode()
        self.address = f"127.0.1.{1 + number // PER_ADDRESS}"
        self.port = port
        self.told_at = 0.0
        self.state = ""
        self.accepted_s = 0.0
        self.status = 0
        self.told = asyncio.Event()
        self._socket: Socket | None = None

    async def connect(self) -> None:
        """Raises OSError."""
        self._socket = await connect(
            "127.0.0.1", self.port, self.address, self.token, self._event, lambda: None
        )

    def _event(self, name: str, argument: Any) -> None:
        if name == "result" and not self.told_at:
            self.told_at = time.monotonic()
            self.state = str(argument.get("state", ""))
            self.told.set()

    async def press(self, due: float) -> None:
        """Press at `due` (time.monotonic), and wait for the result."""
        await asyncio.sleep(due - time.monotonic())
        http = Http("127.0.0.1", self.port, self.address)
        http.token = self.token
        try:
            answer = await http.request("POST", self.path, msgspec.Raw(self.body))
            self.status, self.accepted_s = answer.status, time.monotonic() - due
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESULT_WITHIN_S):
                    await self.told.wait()
        finally:
            http.close()

    def close(self) -> None:
        if self._socket:
            self._socket.close()


async def watchers(presses: Presses, port: int) -> list[Watcher]:
    """Connected watchers, one for each buyer of `presses`. Raises OSError."""
    found = [Watcher(raw, i, port) for i, raw in enumerate(presses.build())]
    for start in range(0, len(found), CONNECT_AT_ONCE):
        await asyncio.gather(*(w.connect() for w in found[start : start + CONNECT_AT_ONCE]))
    return found


async def press_spread(found: Sequence[Watcher], start: float, seconds: float) -> dict[str, Any]:
    """Everybody presses once, evenly over the time; what came of it."""
    step = seconds / max(1, len(found))
    dues = [start + i * step for i in range(len(found))]
    await asyncio.gather(*(w.press(due) for w, due in zip(found, dues, strict=True)))
    told = sorted(w.told_at - due for w, due in zip(found, dues, strict=True) if w.told_at)
    return {
        "watchers": len(found),
        "watchers not told": len(found) - len(told),
        "watchers not accepted": sum(w.status != 202 for w in found),
        "press to 202 through the edge, ms": milliseconds(sorted(w.accepted_s for w in found)),
        "press to result, ms": milliseconds(told),
    }
