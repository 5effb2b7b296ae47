"""The bus on a private server: fan-out, loss of the server, a subscription that went deaf."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from miaosha.adapters.redis import bus as bus_module
from miaosha.adapters.redis.bus import RedisBus
from miaosha.domain.errors import DependencyDown
from miaosha.domain.messages import BusMessage, Result, Results
from miaosha.domain.reservation import State
from miaosha.supervisor.servers.valkey import Valkey
from tests.kit.waits import until

PERIOD_S = 0.1


def results(version: int) -> Results:
    return Results([Result(7, 1, "b.0", State.HELD, version)])


class Ear:
    """A listener in the background."""

    def __init__(self, bus: RedisBus) -> None:
        self.heard: list[BusMessage] = []
        self.task = asyncio.create_task(self._run(bus))

    async def _run(self, bus: RedisBus) -> None:
        async for message in bus.listen():
            self.heard.append(message)

    async def until_hears(self, bus: RedisBus) -> None:
        """Publish until something arrives (before that the subscription may not stand)."""
        heard = len(self.heard)
        async with asyncio.timeout(30):
            while len(self.heard) == heard:
                with suppress(DependencyDown):
                    await bus.publish(results(0))
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


@pytest.fixture
async def bus(store_server: Valkey) -> AsyncIterator[RedisBus]:
    bus = RedisBus(store_server.url, ping_period_s=PERIOD_S)
    yield bus
    await bus.close()


async def test_every_listener_hears_every_message_in_order(bus: RedisBus) -> None:
    ears = [Ear(bus), Ear(bus)]
    for ear in ears:
        await ear.until_hears(bus)
    sent = [results(n) for n in range(1, 50)]
    for message in sent:
        await bus.publish(message)
    for ear in ears:
        await until(lambda ear=ear: sent[-1] in ear.heard)  # type: ignore[misc]
        assert [m for m in ear.heard if m != results(0)] == sent
        await ear.stop()
    await bus.ping()


async def test_listening_ends_when_the_bus_closes(bus: RedisBus) -> None:
    ear = Ear(bus)
    await ear.until_hears(bus)
    await bus.close()
    await asyncio.wait_for(ear.task, 30)


async def test_rubbish_on_the_channel_is_passed_over(bus: RedisBus) -> None:
    ear = Ear(bus)
    await ear.until_hears(bus)
    for raw in (b"", b"\xff", b"\x81\xa4type\xa5other", b"{}"):
        await bus._client.publish("bus", raw)
    await bus.publish(results(9))
    await until(lambda: results(9) in ear.heard)
    await ear.stop()


async def test_goes_on_after_the_server_was_killed(bus: RedisBus, store_server: Valkey) -> None:
    ear = Ear(bus)
    await ear.until_hears(bus)
    await store_server.stop(signal.SIGKILL)
    with pytest.raises(DependencyDown):
        await bus.publish(results(1))
    with pytest.raises(DependencyDown):
        await bus.ping()
    await store_server.start_again()
    await ear.until_hears(bus)
    await ear.stop()


async def test_starts_before_the_server(bus: RedisBus, store_server: Valkey) -> None:
    await store_server.stop()
    ear = Ear(bus)
    await asyncio.sleep(2 * PERIOD_S)  # a few refused connects
    await store_server.start_again()
    await ear.until_hears(bus)
    await ear.stop()


async def test_slow_listener_loses_the_oldest_and_keeps_within_its_limit(
    bus: RedisBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "QUEUE_MAX", 5)
    listening = bus.listen()
    first = asyncio.ensure_future(anext(listening))
    while not first.done():
        await bus.publish(results(0))
        await asyncio.sleep(0.01)
    for n in range(1, 21):
        await bus.publish(results(n))
    [listener] = bus._listeners
    await until(lambda: results(20) in list(listener.queue._queue))  # type: ignore[attr-defined]
    assert listener.queue.qsize() == 5
    assert bus.dropped >= 15
    assert await anext(listening) == results(16)
    await listening.aclose()  # type: ignore[attr-defined]


@asynccontextmanager
async def forgetful_proxy(
    listen: Path, server: Path
) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Passes bytes on. Calling what it yields makes it swallow all that comes from the server on
    connections that have subscribed by now; both ends see a connection that stands."""
    subscribed: list[asyncio.Event] = []
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def pump(
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        see: Callable[[bytes], bool],
    ) -> None:
        while data := await reader.read(65_536):
            if see(data):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(str(server))
        writers.extend((writer, up_writer))
        deaf = asyncio.Event()

        def outgoing(data: bytes) -> bool:
            if b"SUBSCRIBE" in data:
                subscribed.append(deaf)
            return True

        for one in (
            pump(reader, up_writer, outgoing),
            pump(up_reader, writer, lambda _: not deaf.is_set()),
        ):
            tasks.add(asyncio.create_task(one))

    async def forget() -> int:
        for deaf in subscribed:
            deaf.set()
        return len(subscribed)

    proxy = await asyncio.start_unix_server(serve, str(listen))
    yield forget
    proxy.close()
    for task in tasks:
        task.cancel()
    for writer in writers:
        writer.close()
    ends = (*tasks, *(writer.wait_closed() for writer in writers))
    await asyncio.gather(*ends, return_exceptions=True)


async def test_deaf_subscription_is_renewed(store_server: Valkey, run_dir: Path) -> None:
    path = run_dir / "proxy.sock"
    async with forgetful_proxy(path, store_server.socket) as forget:
        bus = RedisBus(f"unix://{path}", ping_period_s=PERIOD_S)
        ear = Ear(bus)
        await ear.until_hears(bus)
        before = bus.resubscribed
        assert await forget() >= 1
        await ear.until_hears(bus)
        assert bus.resubscribed == before + 1
        await ear.stop()
        await bus.close()


async def test_ping_says_that_a_listener_is_deaf(store_server: Valkey, run_dir: Path) -> None:
    path = run_dir / "proxy.sock"
    async with forgetful_proxy(path, store_server.socket) as forget:
        bus = RedisBus(f"unix://{path}", ping_period_s=PERIOD_S)
        ear = Ear(bus)
        await ear.until_hears(bus)
        await bus.ping()
        [listener] = bus._listeners
        await forget()
        listener.heard_at -= 10  # three periods are over
        with pytest.raises(DependencyDown, match="not heard"):
            await bus.ping()
        await ear.stop()
        await bus.close()


async def test_on_a_cluster(cluster_url: str) -> None:
    bus = RedisBus(cluster_url, ping_period_s=PERIOD_S)
    ears = [Ear(bus) for _ in range(4)]
    for ear in ears:
        await ear.until_hears(bus)
    await bus.publish(results(5))
    for ear in ears:
        await until(lambda ear=ear: results(5) in ear.heard)  # type: ignore[misc]
        await ear.stop()
    await bus.ping()
    await bus.close()
