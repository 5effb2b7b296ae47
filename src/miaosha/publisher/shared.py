"""What all connections of a publisher share: limits, counters, routes, and the one timer."""

import asyncio
from collections.abc import MutableMapping
from typing import Any, Final, Protocol

from miaosha.publisher.arrivals import Arrivals
from miaosha.publisher.limits import Watched, Wheel
from miaosha.settings import Settings

WHEEL_SLOTS: Final = 16
WHEEL_ROUNDS: Final = 4  # rounds of the wheel within the time a request may take


class Member(Watched, Protocol):
    """A connection, as the server handles it."""

    def drain(self) -> None: ...
    def cut(self) -> None: ...


class Routes(Protocol):
    def __call__(self, connection: Any, number: int) -> bytes | None:
        """The answer to the request the connection has just read; None if it comes later.
        Raises RequestRefused for a request after which the connection must end."""


class Service:
    """Shared by all connections.

    Attributes:
        connections: how many are open now.
        arrivals: who of them is read when.
        wheel: looks after all of them; times are counted in its ticks.
        leaving: the process ends: every request is the last one of its connection.
    """

    def __init__(
        self,
        routes: Routes,
        settings: Settings,
        counters: MutableMapping[str, float],
        arrivals: Arrivals,
    ) -> None:
        self.arrivals = arrivals
        self.routes = routes
        self.counters = counters
        self.wheel: Wheel[Member] = Wheel(WHEEL_SLOTS)
        self.connections = 0
        self.leaving = False
        self.connections_max = settings.connections_max
        self.header_max = settings.header_max_bytes
        self.body_max = settings.body_max_bytes
        self.tick_s = settings.request_timeout_ms / 1000 / (WHEEL_SLOTS * WHEEL_ROUNDS)
        self.request_ticks = WHEEL_SLOTS * WHEEL_ROUNDS
        self.linger_ticks = WHEEL_SLOTS
        self.idle_ticks = max(1, int(settings.idle_timeout_ms / 1000 / self.tick_s))

    async def turn(self) -> None:
        """Turn the wheel until cancelled."""
        while True:
            await asyncio.sleep(self.tick_s)
            self.wheel.tick()
            self.counters["connections"] = self.connections
