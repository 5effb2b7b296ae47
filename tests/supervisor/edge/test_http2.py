"""HTTP/2 at the edge becomes HTTP/1.1 towards the roles: nothing in the one breaks the other."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from miaosha.settings import Settings
from tests.e2e.test_edge_tls import certificate
from tests.supervisor.edge.http2 import Headers, Http2
from tests.supervisor.edge.test_edge import StandIn
from tests.supervisor.edge.test_upstreams import small_edge

OPEN = b"/socket.io/?EIO=4&transport=polling"
SOCKET = b"/socket.io/?EIO=4&transport=websocket"
API = b"/api/v1/accounts"
HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
LENGTH = (b"content-length", b"%d" % len(HIDDEN))
UPGRADE = (
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
)


class Heard(StandIn):
    """Everything a role was sent on its connections, one entry each."""

    def __init__(self, name: str, socket: Path) -> None:
        super().__init__(name, socket)
        self.said: list[bytes] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            self.said.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            while more := await reader.read(65_536):  # until nginx has read the answer
                self.said[-1] += more
        writer.close()


class Tls(NamedTuple):
    port: int
    trust: ssl.SSLContext
    roles: list[Heard]

    async def ask(
        self, method: bytes, path: bytes, headers: Headers = (), body: Sequence[bytes] = ()
    ) -> int:
        async with Http2.on(self.port, self.trust) as client:
            return (await client.ask(method, path, headers, body)).status

    @property
    def said(self) -> list[bytes]:
        """What came to the roles."""
        return [said for role in self.roles for said in role.said]


@pytest.fixture
async def tls(run_dir: Path) -> AsyncIterator[Tls]:
    files, trust = certificate(run_dir)
    roles = [Heard(name, run_dir / f"{name}.sock") for name in ("publisher", "gateway", "api")]
    async with contextlib.AsyncExitStack() as stack:
        for role in roles:
            await role.start()
            stack.push_async_callback(role.stop)
        addresses = {role.name: [f"unix:{role.socket}"] for role in roles}
        settings = Settings(public_url="https://localhost", **files)  # type: ignore[arg-type]
        edge = small_edge(run_dir, addresses, settings=settings)
        yield Tls(await stack.enter_async_context(edge), trust, roles)


@pytest.mark.parametrize("method", [b"GET", b"OPTIONS", b"DELETE"])
@pytest.mark.parametrize("path", [OPEN, OPEN + b"&sid=0-x", SOCKET])
async def test_a_gateway_gets_no_body_that_nobody_announced(
    tls: Tls, method: bytes, path: bytes
) -> None:
    """HTTP/2 needs no Content-Length for one."""
    await tls.ask(method, path, (), [HIDDEN])
    [said] = tls.said
    head, _, behind = said.partition(b"\r\n\r\n")
    assert behind == b"" and b"content-length" not in head.lower()


@pytest.mark.parametrize("path", [OPEN, API])
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((), [HIDDEN]),
        ((), [HIDDEN[:10], HIDDEN[10:], b""]),
        ((LENGTH,), [HIDDEN]),
        ((LENGTH, (b"expect", b"100-continue")), [HIDDEN]),
    ],
)
async def test_a_body_has_its_length_for_the_role(
    tls: Tls, path: bytes, headers: Headers, body: list[bytes]
) -> None:
    assert await tls.ask(b"POST", path, headers, body) == 200
    [said] = tls.said
    head, _, behind = said.partition(b"\r\n\r\n")
    assert behind == HIDDEN and b"\r\nContent-Length: %d" % len(HIDDEN) in head
    assert b"transfer-encoding" not in head.lower() and b"expect" not in head.lower()


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        (b"GET", OPEN, (LENGTH,), [HIDDEN]),
        (b"POST", OPEN, ((b"content-length", b"3"),), [HIDDEN]),
        (b"POST", OPEN, ((b"content-length", b"300"),), [HIDDEN]),
        (b"POST", OPEN, ((b"content-length", b"0"),), [HIDDEN]),
        (b"POST", OPEN, (LENGTH, (b"content-length", b"0")), [HIDDEN]),
        (b"GET", OPEN, ((b"transfer-encoding", b"chunked"),), [b"0\r\n\r\n" + HIDDEN]),
        (b"GET", OPEN, ((b"x-a", b"b\r\nContent-Length: 5"),), ()),
        (b"GET", OPEN, ((b"x-a: b\r\ncontent-length", b"5"),), ()),
        (b"GET", OPEN, ((b"content-length ", b"5"),), ()),
        (b"GET", OPEN, ((b"x-a", b"b\0c"),), ()),
        (b"GET", OPEN, ((b"Content-Length", b"5"),), [HIDDEN]),
        (b"GET", OPEN + b" HTTP/1.1\r\nX: y\r\n\r\nGET /x", (), ()),
        (b"GET", OPEN + b" x", (), ()),
        (b"GET /x HTTP/1.1\r\nX: y\r\n\r\nGET", OPEN, (), ()),
        (b"GET x", OPEN, (), ()),
        (b"get", OPEN, (), ()),
        (b"GET", b"http://x/healthz", (), ()),
        (b"GET", b"healthz", (), ()),
        (b"OPTIONS", b"*", (), ()),
        (b"CONNECT", OPEN, ((b":protocol", b"websocket"),), ()),
    ],
)
async def test_what_would_break_out_of_http1_is_refused(
    tls: Tls, method: bytes, path: bytes, headers: Headers, body: Sequence[bytes]
) -> None:
    assert await tls.ask(method, path, headers, body) in (0, 400)
    assert tls.said == []


async def test_no_upgrade_comes_out_of_http2(tls: Tls) -> None:
    await tls.ask(b"GET", SOCKET, UPGRADE)
    await tls.ask(b"GET", SOCKET, (*UPGRADE, (b"connection", b"upgrade")))
    assert not [said for said in tls.said if b"\r\nupgrade:" in said.lower()]
