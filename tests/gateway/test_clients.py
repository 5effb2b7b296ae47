"""The stock clients: python-socketio here, socket.io-client from npm as a child process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import socketio

from miaosha.domain.messages import Positions, Result, Results, SaleChanged, Standby
from miaosha.domain.reservation import State
from miaosha.domain.sale import Phase, view
from tests.gateway.conftest import Start, World
from tests.gateway.fakes import make_place, make_sale
from tests.kit.waits import until
from tests.sockets.stock import browser

HELD = Result(7, 5, "b.1", State.HELD, 2, pay_by_ms=99, checkout_token="t")
HELD_SEEN = {
    "sale_id": 7,
    "request_id": "b.1",
    "state": "held",
    "version": 2,
    "pay_by_ms": 99,
    "checkout_token": "t",
}


async def change(world: World) -> None:
    """An admin pauses the sale, and the gateway has heard of it."""
    sale = make_sale(phase=Phase.PAUSED)
    world.store.board = {7: sale}
    shown = view(sale, world.clock.now_ms(), sold_out=False, watching=0)
    await world.publish(SaleChanged(shown))
    sales = world.gateway._sales
    await until(lambda: sales.asked(7).phase is Phase.PAUSED)


class Heard:
    """Everything a python-socketio client is told."""

    def __init__(self, client: socketio.AsyncClient) -> None:
        self.events: list[tuple[str, Any]] = []
        self.refused: list[Any] = []
        self.gone: list[Any] = []
        client.on("*", lambda name, *args: self.events.append((name, args[0])))
        client.on("connect_error", self.refused.append)
        client.on("disconnect", lambda reason: self.gone.append(reason))

    async def next(self, name: str) -> Any:
        await until(lambda: any(event == name for event, _ in self.events))
        index = next(i for i, (event, _) in enumerate(self.events) if event == name)
        return self.events.pop(index)[1]


@asynccontextmanager
async def python_client(world: World, auth: Any) -> AsyncIterator[tuple[Any, Heard]]:
    client = socketio.AsyncClient(reconnection=False)
    heard = Heard(client)
    try:
        await client.connect(world.url, auth=auth, transports=["websocket"])
        yield client, heard
    finally:
        await client.shutdown()


async def test_python_client(world: World) -> None:
    world.store.places[7, 5] = make_place(State.STANDBY, position=4)
    async with python_client(world, {"token": world.token(5)}) as (client, heard):
        answer = await client.call("watch", {"sale_id": 7})
        assert answer["ok"] and answer["sale"]["phase"] == "open" and answer["question"]
        assert (await heard.next("sale"))["phase"] == "open"
        answer = await client.call("lookup", {"sale_id": 7})
        assert (answer["state"], answer["position"], answer["version"]) == ("standby", 4, 3)
        await world.publish(Results([HELD]))
        assert await heard.next("result") == HELD_SEEN
        await world.publish(Positions([Standby(7, 5, 2, 3)]))
        assert await heard.next("standby") == {"sale_id": 7, "position": 2, "version": 3}
        await change(world)
        assert (await heard.next("sale"))["phase"] == "paused"
        assert (await client.call("nothing"))["ok"] is False
        assert (await client.call("watch", {"sale_id": b"7"}))["ok"] is False


async def test_python_client_with_a_wrong_token(world: World) -> None:
    with pytest.raises(socketio.exceptions.ConnectionError):
        async with python_client(world, {"token": "wrong"}):
            pass
    assert world.process.counters["connects_refused"] == 1


async def test_python_client_keeps_the_heartbeat(start_gateway: Start) -> None:
    async with (
        start_gateway(ping_interval_ms=200, ping_timeout_ms=150) as world,
        python_client(world, None) as (client, heard),
    ):
        await asyncio.sleep(0.2)
        await world.count("messages_in")
        for _ in range(4):
            await asyncio.sleep(0.3)
            assert (await client.call("watch", {"sale_id": 7}))["ok"]
        assert heard.gone == []


async def test_python_client_hears_of_a_restart(start_gateway: Start) -> None:
    async with start_gateway() as world, python_client(world, None) as (_, heard):
        await world.stop()
        await until(lambda: heard.gone)


# the JavaScript client

WEBSOCKET = {"transports": ["websocket"], "reconnectionDelay": 50}


async def test_javascript_client(world: World) -> None:
    world.store.places[7, 5] = make_place(State.HELD, pay_by_ms=12)
    async with browser(world.url, auth={"token": world.token(5)}, **WEBSOCKET) as client:
        assert await client.said("connect")
        answer = await client.ask("watch", {"sale_id": 7})
        assert answer["ok"] and answer["sale"]["id"] == 7 and answer["question"]
        answer = await client.ask("lookup", {"sale_id": 7})
        assert (answer["state"], answer["pay_by_ms"]) == ("held", 12)
        await world.publish(Results([HELD]))
        assert await client.event("result") == HELD_SEEN
        await world.publish(Positions([Standby(7, 5, 2, 3)]))
        assert await client.event("standby") == {"sale_id": 7, "position": 2, "version": 3}
        await change(world)
        assert (await client.event("sale"))["phase"] == "paused"
        client.do("disconnect")
        assert await client.said("disconnect") == ["io client disconnect"]
        await until(lambda: world.process.counters["sockets"] == 0)


async def test_python_client_names_the_sale(world: World) -> None:
    auth = {"token": world.token(5), "watch": 7}
    async with python_client(world, auth) as (_, heard):
        told = await heard.next("watched")
        assert told["ok"] and told["sale"]["phase"] == "open" and told["question"]
        await change(world)
        assert (await heard.next("sale"))["phase"] == "paused"


@pytest.mark.parametrize("transports", [["polling"], ["websocket"]])
async def test_javascript_client_is_back_in_its_room(world: World, transports: list[str]) -> None:
    """It sends its auth with every connect, so nothing has to be asked for again."""
    auth = {"token": world.token(5), "watch": 7}
    options = {"transports": transports, "reconnectionDelay": 50}
    async with browser(world.url, auth=auth, **options) as client:
        assert await client.said("connect")
        assert (await client.event("watched"))["sale"]["phase"] == "open"
        for session in set(world.gateway.server.wheel):
            session.drop()
        assert await client.said("disconnect")
        assert await client.said("connect")
        assert (await client.event("watched"))["ok"]
        await change(world)
        assert (await client.event("sale"))["phase"] == "paused"
        assert world.process.watching == {7: 1}


async def test_javascript_client_with_a_wrong_token(world: World) -> None:
    async with browser(world.url, auth={"token": "wrong"}, **WEBSOCKET) as client:
        message, data = await client.said("connect_error")
        assert message == "A valid access token is required"
        assert data == {"code": "unauthorized"}


async def test_javascript_client_reconnects_by_itself(world: World) -> None:
    async with browser(world.url, auth={"token": world.token(5, valid_s=2)}, **WEBSOCKET) as client:
        assert await client.said("connect")
        assert await client.said("disconnect") == ["transport close"]
        message, _ = await client.said("connect_error")  # with the same, expired token
        assert message == "A valid access token is required"


async def test_javascript_client_with_its_defaults(world: World) -> None:
    """It begins by polling and changes to WebSocket while it is being served."""
    async with browser(world.url, auth={"token": world.token(5)}) as client:
        assert await client.said("connect")
        await world.publish(Results([HELD]))
        assert (await client.ask("watch", {"sale_id": 7}))["ok"]
        assert (await client.ask("lookup", {"sale_id": 7}))["ok"]
        await world.count("sockets_upgraded")
        assert world.gateway.server.polling == {}
        await change(world)
        assert (await client.ask("watch", {"sale_id": 7}))["sale"]["phase"] == "paused"
        client.do("disconnect")
        await until(lambda: world.process.counters["sockets"] == 0)


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]])
async def test_javascript_client_hears_the_same(world: World, transports: list[str]) -> None:
    async with browser(world.url, auth={"token": world.token(5)}, transports=transports) as client:
        assert await client.said("connect")
        await world.publish(Results([HELD]))
        assert await client.event("result") == HELD_SEEN
        await change(world)
        assert (await client.ask("watch", {"sale_id": 7}))["sale"]["phase"] == "paused"
        for version in range(3, 30):
            await world.publish(Positions([Standby(7, 5, 2, version)]))
        heard = [(await client.event("standby"))["version"] for _ in range(3, 30)]
        assert heard == list(range(3, 30)), "in order, none lost, upgrade or not"
        await world.stop()
        assert await client.said("disconnect")


@pytest.mark.parametrize("transports", [["polling"], ["polling", "websocket"]])
async def test_python_client_polls(world: World, transports: list[str]) -> None:
    client = socketio.AsyncClient(reconnection=False)
    heard = Heard(client)
    await client.connect(world.url, auth={"token": world.token(5)}, transports=transports)
    assert (await client.call("watch", {"sale_id": 7}))["ok"]
    await world.publish(Results([HELD]))
    assert await heard.next("result") == HELD_SEEN
    await client.disconnect()
    await until(lambda: world.process.counters["sockets"] == 0)
