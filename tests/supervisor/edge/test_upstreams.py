"""How the edge shares itself out among the roles: room in a rush, replicas that come and go."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import msgspec
import pytest

from miaosha.domain.errors import SettingsError
from miaosha.settings import Settings
from miaosha.supervisor.child_spec import Health
from miaosha.supervisor.children import Child
from miaosha.supervisor.edge import nginx_config
from miaosha.supervisor.edge.upstreams import upstream_lines
from miaosha.supervisor.process_plan import nginx_spec
from tests.kit.running import free_port
from tests.supervisor.edge.test_edge import PURCHASES, Edge, StandIn

WITHIN_S = 20.0
OPEN_FILES = 1_024
PRESSES = 400  # more than the half of a worker's connections that presses may take


class Silent(StandIn):
    """A publisher that waits for its broker: it takes requests and does not answer."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            self.asked.append("press")
            await reader.read()
        writer.close()


@asynccontextmanager
async def small_edge(
    run: Path,
    addresses: Mapping[str, Sequence[str]],
    resolver: str = "",
    *,
    settings: Settings | None = None,
    static: Path | None = None,
) -> AsyncIterator[int]:
    """nginx with one worker of few connections; its port.

    Args:
        settings: beyond `port` and `sockets_max`, which are set here.
        static: the pages; default: ours.
    """
    settings = msgspec.structs.replace(settings or Settings(), port=free_port(), sockets_max=100)
    (run / "over").mkdir()
    site = nginx_config.Site(
        run=run,
        files=run,
        error_log=run / "log",
        over=run / "over",
        static=static or nginx_config.static_dir(),
        resolver=resolver,
        cores=1,
        open_files=OPEN_FILES,
    )
    nginx_config.write_config(settings, run, addresses, site)
    child = Child(nginx_spec(settings, run, run / "log"), lambda text: None)
    await child.start()
    try:
        async with asyncio.timeout(WITHIN_S):
            while child.health is not Health.READY:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        yield settings.port
    finally:
        await child.stop()


async def test_a_rush_leaves_room_for_the_others(run_dir: Path) -> None:
    roles = {
        "publisher": Silent("publisher", run_dir / "publisher.sock"),
        "gateway": StandIn("gateway", run_dir / "gateway.sock"),
        "api": StandIn("api", run_dir / "api.sock"),
    }
    addresses = {name: [f"unix:{role.socket}"] for name, role in roles.items()}
    async with contextlib.AsyncExitStack() as stack:
        for role in roles.values():
            await role.start()
            stack.push_async_callback(role.stop)
        port = await stack.enter_async_context(small_edge(run_dir, addresses))
        pressing = [await asyncio.open_connection("127.0.0.1", port) for _ in range(PRESSES)]
        head = f"POST {PURCHASES} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}"
        for _, writer in pressing:
            writer.write(head.encode())
        readers = [asyncio.create_task(reader.readline()) for reader, _ in pressing]
        async with asyncio.timeout(WITHIN_S):
            done, waiting = await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
            while len(done) + len(roles["publisher"].asked) < PRESSES:
                await asyncio.sleep(0.02)
                done = {reader for reader in readers if reader.done()}
        assert {reader.result().split()[1] for reader in done} == {b"503"}
        assert 0 < len(roles["publisher"].asked) <= (OPEN_FILES - nginx_config.FILES_SPARE) // 4
        assert await Edge(port, roles, run_dir).by("/api/v1/time") == "api"
        for reader in waiting:
            reader.cancel()
        for _, writer in pressing:
            writer.close()


class Names(asyncio.DatagramProtocol):
    """A DNS server that gives every name one address."""

    address = "127.0.0.2"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = data[12 : data.index(b"\0", 12) + 5]
        known = question[-4:-2] == b"\0\1"  # an IPv4 address is asked for
        head = data[:2] + b"\x81\x80\0\1" + (b"\0\1" if known else b"\0\0") + b"\0\0\0\0"
        octets = bytes(int(part) for part in self.address.split("."))
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + octets
        self._transport.sendto(head + question + (answer if known else b""), addr)


class OnTcp(StandIn):
    """The same on an address of this machine."""

    def __init__(self, name: str, host: str, port: int) -> None:
        super().__init__(name, Path("/nowhere"))
        self._at = host, port

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, *self._at)


async def test_a_replica_that_moves_is_found_again(run_dir: Path) -> None:
    port, dns = free_port(), free_port()
    loop = asyncio.get_running_loop()
    transport, names = await loop.create_datagram_endpoint(Names, local_addr=("127.0.0.1", dns))
    old, new = OnTcp("old", "127.0.0.2", port), OnTcp("new", "127.0.0.3", port)
    addresses = {role: [f"role:{port}"] for role in ("publisher", "gateway", "api")}
    await old.start()
    await new.start()
    try:
        async with small_edge(run_dir, addresses, f"127.0.0.1:{dns}") as at:
            asking = Edge(at, {}, run_dir)
            async with asyncio.timeout(WITHIN_S):
                for name, address in (("old", "127.0.0.2"), ("new", "127.0.0.3")):
                    names.address = address
                    while await asking.by("/api/v1/time") != name:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
    finally:
        transport.close()
        await old.stop()
        await new.stop()


@pytest.mark.parametrize(
    ("role", "address"),
    [("api", "api"), ("gateway", "http://x:1"), ("publisher", "x:1; return 200"), ("api", "")],
)
def test_what_is_no_address_is_named(role: str, address: str) -> None:
    addresses = {"publisher": ["p:1"], "gateway": ["g:1"], "api": ["a:1"], role: [address]}
    with pytest.raises(SettingsError, match=role):
        upstream_lines(addresses, "", 16)
