"""Shared: what all connections of a publisher share: limits, counters, routes, and the wheel."""

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any, Final, Protocol

from miaosha.publisher.arrivals import Arrivals
from miaosha.serving.wheel import Wheel
from miaosha.settings import Settings

ROUND_TICKS: Final = 16  # from one look at a connection to the next
REQUEST_ROUNDS: Final = 4  # within the time a request may take


class Routes(Protocol):
    def __call__(self, connection: Any, number: int) -> bytes | None:
        """The answer to the request the connection has just read; None if it comes later.
        Raises RequestRefused for a request after which the connection must end."""


class Shared:
    """Shared by all connections.

    Attributes:
        connections: how many are open now.
        arrivals: lets in what they receive.
        wheel: looks at each of them once a round; times are counted in its ticks.
        leaving: the process ends: every request is the last one of its connection.
    """

    def __init__(
        self,
        routes: Routes,
        settings: Settings,
        counters: MutableMapping[str, float],
        arrivals: Arrivals,
        monotonic: Callable[[], float],
    ) -> None:
        self.arrivals = arrivals
        self.routes = routes
        self.counters = counters
        self.connections = 0
        self.leaving = False
        self.connections_max = settings.connections_max
        self.header_max = settings.header_max_bytes
        self.body_max = settings.body_max_bytes
        self.request_ticks = ROUND_TICKS * REQUEST_ROUNDS
        self.linger_ticks = ROUND_TICKS
        self.tick_s = settings.request_timeout_ms / 1000 / self.request_ticks
        self.round_s = self.tick_s * ROUND_TICKS
        self.idle_ticks = max(1, int(settings.idle_timeout_ms / 1000 / self.tick_s))
        self.wheel = Wheel(monotonic, self.tick_s)

    async def turn(self) -> None:
        """Turn the wheel until cancelled."""
        while True:
            await asyncio.sleep(self.tick_s)
            await self.wheel.advance()
            self.counters["connections"] = self.connections
