"""The connections that the edge keeps to the roles: whom they are lent to, and what is repeated."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.supervisor.edge.test_edge import PURCHASES, Edge
from tests.supervisor.edge.test_upstreams import small_edge

WITHIN_S = 20.0
PICTURE = "/api/v1/admin/products/1/picture"
KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Role:
    """A role on a unix socket; `serve` has the whole of each connection."""

    def __init__(self, socket: Path, serve: Served) -> None:
        self.address = f"unix:{socket}"
        self.connections = 0
        self._socket = socket
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Role"]:
        server = await asyncio.start_unix_server(self._connected, str(self._socket))
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.add(asyncio.create_task(self._talk(reader, writer)))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._serve(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def request(reader: asyncio.StreamReader) -> bytes:
    """One request, whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    if sent := re.search(rb"(?i)content-length: (\d+)", head):
        await reader.readexactly(int(sent[1]))
    return head


@asynccontextmanager
async def edge_before(run: Path, *roles: Role) -> AsyncIterator[Edge]:
    """All of them, as every role."""
    async with contextlib.AsyncExitStack() as stack:
        for role in roles:
            await stack.enter_async_context(role.running())
        addresses = {
            name: [role.address for role in roles] for name in ("publisher", "gateway", "api")
        }
        yield Edge(await stack.enter_async_context(small_edge(run, addresses)), {}, run)


async def test_a_connection_is_lent_to_the_next(run_dir: Path) -> None:
    """What the tests beside this one are about."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await request(reader):
            writer.write(KEPT)

    role = Role(run_dir / "role.sock", serve)
    async with edge_before(run_dir, role) as edge:
        for _ in range(3):
            assert (await edge.ask("/api/v1/time")).status == 200
    assert role.connections == 1


async def test_not_after_an_answer_to_half_a_body(run_dir: Path) -> None:
    """What is left of the body would be the next request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(KEPT)
        await asyncio.Event().wait()

    role = Role(run_dir / "role.sock", serve)
    async with edge_before(run_dir, role) as edge:
        for number in range(1, 4):
            assert (await edge.ask(PICTURE, "PUT", body=b"x" * 3_000_000)).status == 200
            assert role.connections == number


async def test_not_after_bytes_that_nobody_asked_for(run_dir: Path) -> None:
    dropped = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(KEPT)
        await writer.drain()
        await asyncio.sleep(0.05)  # behind the answer, not with it
        writer.write(KEPT)
        with contextlib.suppress(ConnectionError):  # it did not even read them
            assert await reader.read() == b""
        dropped.set()

    role = Role(run_dir / "role.sock", serve)
    async with edge_before(run_dir, role) as edge:
        for number in range(1, 4):
            assert (await edge.ask("/api/v1/time")).status == 200
            await asyncio.wait_for(dropped.wait(), WITHIN_S)
            dropped.clear()
            assert role.connections == number


async def test_not_after_more_than_one_answer(run_dir: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(KEPT + KEPT)
        await asyncio.Event().wait()

    role = Role(run_dir / "role.sock", serve)
    async with edge_before(run_dir, role) as edge:
        for number in range(1, 4):
            answer = await edge.ask("/api/v1/time")
            assert (answer.status, answer.body) == (200, b"{}")
            assert role.connections == number


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("path", [PURCHASES, "/api/v1/sales/7/checkout", "/socket.io/?EIO=4"])
async def test_a_post_is_sent_once(run_dir: Path, path: str, kept: bool) -> None:
    """Whatever becomes of it, and even if another process could be asked."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (head := await request(reader)).startswith(b"GET "):
            writer.write(KEPT)
        heads.append(head)  # and hang up

    roles = [Role(run_dir / f"{number}.sock", serve) for number in range(2)]
    async with edge_before(run_dir, *roles) as edge:
        if kept:
            for role in roles:
                while not role.connections:
                    where = path.replace("7/checkout", "7/question")
                    assert (await edge.ask(where)).status == 200
        answer = await edge.ask(path, "POST", body=b"{}")
    assert (answer.status, answer.json()["code"]) == (503, "unavailable")
    assert len(heads) == 1
