"""Copies: waits until replicas have a decision before anybody hears of it, while that is worth it.

A failover forgets what its master had not passed on. What was told in that moment may then be
decided in another order, so a store may be asked to wait (WAIT). It waits a while, counts the
copies it did not get, and goes on. To stop instead, set `min-replicas-to-write` on the server.
"""

import asyncio
from typing import Any, Final

import structlog

WARN_EVERY_S: Final = 10.0

log = structlog.get_logger()


class Copies:
    """See the module.

    Args:
        replicas: of the master that decides.
        within_ms: waited at most, in milliseconds; below the client's command timeout.

    Attributes:
        missed: round trips whose writes were told with fewer copies.
    """

    def __init__(self, replicas: int, within_ms: int) -> None:
        assert replicas > 0 and within_ms > 0
        self.command: Final = ("WAIT", replicas, within_ms)
        self.missed = 0
        self._replicas = replicas
        self._warned_at = -WARN_EVERY_S

    def saw(self, reached: Any) -> None:
        """What WAIT answered: a number, or an error (from a node that is no master any more)."""
        if isinstance(reached, int) and reached >= self._replicas:
            return
        self.missed += 1
        now = asyncio.get_running_loop().time()
        if now - self._warned_at >= WARN_EVERY_S:
            self._warned_at = now
            log.warning("store_copies_missed", reached=str(reached), missed=self.missed)
