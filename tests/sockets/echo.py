"""The examples as processes, and clients that speak to the echo by hand."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from websockets.asyncio.client import ClientConnection, connect

EXAMPLES = Path(__file__).parents[2] / "examples"
MAX_PAYLOAD = 1_000_000
FREE = ("--host=127.0.0.1", "--port=0")  # any port that is free
DEADLINE_S = 20.0


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


class Poll:
    """One HTTP request of long polling; `answer` may be asked for later, `cut` never."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def answer(self) -> Answer:
        async with asyncio.timeout(DEADLINE_S):
            head, _, body = (await self._reader.read()).partition(b"\r\n\r\n")
        self.cut()
        first, *lines = head.decode().split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        return Answer(int(first.split()[1]), headers, body.decode())

    def cut(self) -> None:
        self._writer.close()


class Server(NamedTuple):
    """Where an echo listens: the path is /engine.io/ or /socket.io/."""

    port: int
    path: str

    async def poll(
        self, method: str, query: str, body: str | None = None, headers: str = ""
    ) -> Poll:
        """Send a request."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        data = b"" if body is None else body.encode()
        length = "" if body is None else f"Content-Length: {len(data)}\r\n"
        head = f"{method} {self.path}?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        writer.write(f"{head}{length}{headers}\r\n".encode() + data)
        return Poll(reader, writer)

    async def ask(
        self, method: str, query: str, body: str | None = None, headers: str = ""
    ) -> Answer:
        return await (await self.poll(method, query, body, headers)).answer()

    def url(self, query: str = "EIO=4&transport=websocket") -> str:
        return f"ws://127.0.0.1:{self.port}{self.path}?{query}"

    def websocket(self, query: str = "EIO=4&transport=websocket") -> connect:
        """A WebSocket, not a client of Engine.IO."""
        return connect(self.url(query), ping_interval=None, compression=None, proxy=None)

    async def session(self) -> "Session":
        """A new session on long polling."""
        answer = await self.ask("GET", "EIO=4&transport=polling")
        return Session(self, msgspec.json.decode(answer.body[1:])["sid"])


class Session(NamedTuple):
    server: Server
    sid: str

    @property
    def query(self) -> str:
        return f"EIO=4&transport=polling&sid={self.sid}"

    async def start_get(self) -> Poll:
        return await self.server.poll("GET", self.query)

    async def get(self) -> Answer:
        return await self.server.ask("GET", self.query)

    async def post(self, body: str) -> Answer:
        return await self.server.ask("POST", self.query, body)

    def websocket(self) -> connect:
        """The one that would take this session over."""
        return self.server.websocket(f"EIO=4&transport=websocket&sid={self.sid}")


async def receive(socket: ClientConnection) -> Any:
    """The next message, whatever it is."""
    return await asyncio.wait_for(socket.recv(), DEADLINE_S)


async def packet(socket: ClientConnection) -> Any:
    """The next message that is no ping."""
    while (message := await receive(socket)) == "2":
        pass
    return message


async def closed(socket: ClientConnection) -> int | None:
    """The close code, once the server has closed."""
    await asyncio.wait_for(socket.wait_closed(), DEADLINE_S)
    return socket.close_code


@contextmanager
def example(name: str, *options: str) -> Iterator[int]:
    """An example that is told to take a free port; stopped by its pid."""
    command = [sys.executable, str(EXAMPLES / name), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().split()[-1])
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


@contextmanager
def echo(*options: str, path: str) -> Iterator[Server]:
    """The echo."""
    with example("socketio_echo.py", *FREE, f"--max-payload={MAX_PAYLOAD}", *options) as port:
        yield Server(port, path)
