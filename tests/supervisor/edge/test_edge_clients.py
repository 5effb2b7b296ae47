"""Clients as they are: who is one, the slash that some leave out, the cookies of others."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from miaosha.domain.messages import Results
from miaosha.settings import Settings
from miaosha.sockets import listening
from tests.gateway.conftest import start as start_gateway
from tests.gateway.test_clients import HELD
from tests.kit.running import free_port
from tests.sockets.stock import browser
from tests.supervisor.edge.test_edge import PURCHASES, Edge, StandIn, at_edge, started
from tests.supervisor.edge.test_problem_pages import GET, check, said
from tests.supervisor.edge.test_upstreams import small_edge

__all__ = ["at_edge"]
LARGEST = 8_100  # bytes of cookies in one line: nginx takes 8 kB with the name


@pytest.mark.parametrize("slash", [True, False])
@pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]])
async def test_a_client_with_or_without_the_slash(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, transports: list[str], slash: bool
) -> None:
    monkeypatch.setattr(listening, "LAST_WORDS_S", 0.0)
    async with contextlib.AsyncExitStack() as stack:
        world = await stack.enter_async_context(start_gateway())
        addresses = {role: [world.process.listen] for role in ("publisher", "gateway", "api")}
        port = await stack.enter_async_context(small_edge(run_dir, addresses))
        url, auth = f"http://127.0.0.1:{port}", {"token": world.token(5)}
        options = {"transports": transports, "addTrailingSlash": slash, "reconnection": False}
        client = await stack.enter_async_context(browser(url, auth=auth, **options))
        assert await client.said("connect")
        assert (await client.ask("watch", {"sale_id": 7}))["ok"]
        if transports[-1] == "websocket" and len(transports) > 1:
            await world.count("sockets_upgraded")
        assert await client.transport() == transports[-1]
        await world.publish(Results([HELD]))
        assert (await client.event("result"))["checkout_token"] == "t"


@pytest.mark.parametrize(
    ("path", "method", "role"),
    [
        ("/api/v1/accounts", "POST", "api"),
        ("/api/v1/orders", "GET", "api"),
        ("/api/v1/sales", "GET", "api"),
        ("/readyz", "GET", "api"),
        (PURCHASES, "POST", "publisher"),
        ("/socket.io/?EIO=4", "GET", "gateway"),
        ("/socket.io?EIO=4", "POST", "gateway"),
    ],
)
async def test_no_role_sees_a_cookie(at_edge: Edge, path: str, method: str, role: str) -> None:
    """None uses any; those of other applications on the host may be large, and are no role's."""
    body = b"{}" if method == "POST" else None
    for upgrade in ({}, {"Upgrade": "websocket", "Connection": "Upgrade"}):
        headers = {"Cookie": "other=" + "x" * LARGEST, **upgrade}
        answer = await at_edge.ask(path, method, body=body, headers=headers)
        assert answer.status == 200
        assert answer.headers["Set-Cookie"] is None
    heads = at_edge.roles[role].heads
    assert heads and not [head for head in heads if "cookie" in head.lower()]
    assert not [head for head in heads if len(head) > 1_000]


HOME = "2001:db8:a0a:a0a"  # with bytes that are line ends
NEIGHBOUR = "2001:db8:a0a:a0b"
AT_ONCE = 20  # requests; each of the two asks so often, and one may so often


async def asked(edge: Edge, client: str) -> int:
    answer = await edge.ask("/api/v1/time", headers={"X-Forwarded-For": client})
    return answer.status


@pytest.mark.parametrize(
    ("one", "other", "stranger"),
    [
        (f"{HOME}::1", f"{HOME}:ffff:ffff:ffff:ff0a", f"{NEIGHBOUR}::1"),
        ("203.0.113.9", "::ffff:203.0.113.9", "203.0.113.10"),
        ("::ffff:203.0.113.10", "203.0.113.10", "::ffff:203.0.113.11"),
    ],
)
async def test_a_home_is_one_client(run_dir: Path, one: str, other: str, stranger: str) -> None:
    """As the roles count: an IPv6 address by its /64, an IPv4 address in IPv6 clothes as itself."""
    settings = Settings(
        port=free_port(), trusted_proxies="127.0.0.0/8", edge_rate_per_s=1, edge_burst=AT_ONCE - 1
    )
    async with started(run_dir, settings) as edge:
        statuses = [await asked(edge, client) for client in (one, other) * AT_ONCE]
        assert statuses[:AT_ONCE] == [200] * AT_ONCE and 429 in statuses[AT_ONCE:]
        assert await asked(edge, stranger) == 200


class Waiting(StandIn):
    """Takes requests and answers none."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            self.asked.append("one")
            await reader.read()
        writer.close()


async def test_a_home_has_so_many_connections(run_dir: Path) -> None:
    gateway = Waiting("gateway", run_dir / "gateway.sock")
    await gateway.start()
    addresses = {role: [f"unix:{gateway.socket}"] for role in ("publisher", "gateway", "api")}
    settings = Settings(trusted_proxies="127.0.0.0/8", edge_connections_max=2)
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(small_edge(run_dir, addresses, settings=settings))
        for number, client in enumerate((f"{HOME}::1", f"{HOME}::2"), 1):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            plain.sendall(waits(client))
            async with asyncio.timeout(20):
                while len(gateway.asked) < number:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        check(await said(port, waits(f"{HOME}::3")), "rate_limited")
        stranger = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        stranger.sendall(waits(f"{NEIGHBOUR}::1"))
        async with asyncio.timeout(20):
            while len(gateway.asked) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    await gateway.stop()


def waits(client: str) -> bytes:
    return GET.replace(b"/ ", b"/socket.io/ ") + f"X-Forwarded-For: {client}\r\n\r\n".encode()
