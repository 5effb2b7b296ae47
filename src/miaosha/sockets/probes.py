"""Probes: GET /healthz (no I/O) and GET /readyz (every dependency) on the public listener."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from miaosha.serving.http_response import response
from miaosha.serving.readiness import Checks, readiness, ready_response
from miaosha.sockets import handshake
from miaosha.sockets.handshake import Request

PROBES: Final = frozenset({b"/healthz", b"/readyz"})
WAITING_MAX: Final = 64  # readiness requests that wait for the round of checks under way

log = structlog.get_logger()


class Probes:
    """One round of checks answers every client that waits for it."""

    def __init__(self, checks: Checks) -> None:
        self._checks = checks
        self._waiting: list[Callable[[bytes], None]] = []
        self._round: asyncio.Task[bytes] | None = None

    def ask(self, request: Request, answer: Callable[[bytes], None]) -> None:
        """Call `answer` with the HTTP response, at once or when the checks have run."""
        if request.method != b"GET":
            answer(handshake.problem("method_not_allowed", allow="GET").response)
        elif request.path == b"/healthz":
            answer(response(200, b'{"status":"ok"}', keep=False))
        elif len(self._waiting) >= WAITING_MAX:
            answer(handshake.problem("overloaded").response)
        else:
            self._waiting.append(answer)
            if self._round is None:
                self._round = asyncio.get_running_loop().create_task(self._check())
                self._round.add_done_callback(self._ended)

    async def _check(self) -> bytes:
        _, results = await readiness(self._checks)
        return ready_response(results, keep=False)

    def _ended(self, checked: "asyncio.Task[bytes]") -> None:
        """Answer every client that waited for the round, however it ended; the next may begin."""
        waiting, self._waiting, self._round = self._waiting, [], None
        if checked.cancelled() or checked.exception():
            log.error("readiness_failed", cancelled=checked.cancelled())
            said = handshake.problem("unavailable").response
        else:
            said = checked.result()
        for answer in waiting:
            try:
                answer(said)
            except Exception:  # a client that is gone keeps no other from its answer
                log.exception("probe_failed")
