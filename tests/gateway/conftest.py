"""A running gateway on a loop of the kind it has in production, and the fakes it stands on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
import uvloop

from miaosha.domain.messages import BusMessage
from miaosha.gateway.gateway import Gateway
from miaosha.serving.process import Process
from miaosha.settings import Settings
from tests.gateway.fakes import Bus, Heartbeats, Store, make_parts, make_reading, make_sale
from tests.kit.clocks import RunningClock
from tests.kit.waits import until

DEADLINE_S = 10.0


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop as in production; servers in processes of their own are started without it."""
    if item.path.name in ("test_process.py", "test_descriptors.py"):
        return {"asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


@dataclass
class World:
    """A gateway serving, and what it sees of the world."""

    gateway: Gateway
    process: Process
    store: Store
    bus: Bus
    clock: RunningClock
    heartbeats: Heartbeats
    task: "asyncio.Task[None]"

    @property
    def url(self) -> str:
        return f"http://{self.process.listen}"

    @property
    def ws(self) -> str:
        return f"ws://{self.process.listen}/socket.io/?EIO=4&transport=websocket"

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.process.listen.rpartition(":")
        return host, int(port)

    def token(self, user_id: int, valid_s: int = 3600) -> str:
        return f"{user_id}:{self.clock.now_ms() // 1000 + valid_s}"

    async def publish(self, message: BusMessage) -> None:
        await self.bus.publish(message)

    async def count(self, name: str, at_least: int = 1) -> None:
        """Wait until a counter has reached a number."""
        await until(lambda: self.process.counters[name] >= at_least)

    async def stop(self) -> None:
        self.process.stop.set()
        await asyncio.wait_for(self.task, DEADLINE_S)


class Start(Protocol):
    def __call__(self, **settings: Any) -> AbstractAsyncContextManager[World]: ...


@dataclass
class Fakes:
    store: Store = field(default_factory=Store)
    bus: Bus = field(default_factory=Bus)
    clock: RunningClock = field(default_factory=RunningClock)
    heartbeats: Heartbeats = field(default_factory=Heartbeats)


@contextlib.asynccontextmanager
async def start(*, bus: Any = None, **settings: Any) -> AsyncIterator[World]:
    """A gateway with sale 7 open, on a port of its own; `bus`: another one than the fake."""
    fakes = Fakes()
    fakes.bus = bus or fakes.bus
    fakes.store.board = {7: make_sale()}
    fakes.store.counts = {7: make_reading()}
    parts = make_parts(fakes.store, fakes.bus, fakes.clock, fakes.heartbeats)
    process = Process("gateway", "3", "127.0.0.1:0")
    gateway = Gateway(parts, process, Settings(**settings))
    task = asyncio.create_task(gateway.run())
    await until(lambda: task.done() or not process.listen.endswith(":0"))
    world = World(gateway, process, fakes.store, fakes.bus, fakes.clock, fakes.heartbeats, task)
    try:
        yield world
    finally:
        await world.stop()


@pytest.fixture
def start_gateway() -> Start:
    return start


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A gateway with default settings."""
    async with start() as running:
        yield running
