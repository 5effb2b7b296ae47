"""HTTP client: lean HTTP/1.1 for one buyer: one kept-alive connection from the buyer's address."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import httptools
import msgspec

REQUEST_S = 40.0
CONNECT_S = 10.0
TRIES = 2


class Answer(NamedTuple):
    """`status` 0: no answer came. `code` is the problem's, or ""."""

    status: int
    body: Any
    retry_after_s: float

    @property
    def code(self) -> str:
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""

    @property
    def name(self) -> str:
        """For counting: the code, else the status."""
        return self.code or str(self.status)


NO_ANSWER = Answer(0, None, 0.5)


class Raw(NamedTuple):
    """A body that is not JSON."""

    content_type: str
    content: bytes


class _Exchange(asyncio.Protocol):
    """The connection; `answer` is the one being waited for."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[Answer] | None = None
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._retry = 0.0
        self._close = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._lost()

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.lower()
        if key == b"retry-after" and value.isdigit():
            self._retry = float(value)
        elif key == b"connection":
            self._close = value.lower() == b"close"

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        raw = b"".join(self._body)
        try:
            body = msgspec.json.decode(raw) if raw[:1] in (b"{", b"[") else raw.decode()
        except (msgspec.DecodeError, UnicodeDecodeError):
            body = None
        answer = Answer(self._parser.get_status_code(), body, self._retry)
        if self.answer and not self.answer.done():
            self.answer.set_result(answer)
        if self._close and self.transport:
            self.transport.close()
        self._reset()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()

    def _lost(self) -> None:
        if self.transport:
            self.transport.abort()
            self.transport = None
        if self.answer and not self.answer.done():
            self.answer.set_result(NO_ANSWER)


class Http:
    """Requests of one buyer, one after the other. Never raises for the network: status 0.

    Args:
        more: further edges (host, port), tried in turn when one takes no connection.
    """

    def __init__(
        self, host: str, port: int, address: str, more: Sequence[tuple[str, int]] = ()
    ) -> None:
        self._edges = [(host, port), *more]
        self._address = address
        self._exchange: _Exchange | None = None
        self._turn = asyncio.Lock()
        self.token = ""

    async def request(self, method: str, path: str, body: object = None) -> Answer:
        """`body` is sent as JSON unless it is Raw. A connection that had been idle is tried once
        more on a new one; every call of the contract may be repeated safely."""
        async with self._turn:
            for _ in range(TRIES):
                answer = await self._once(method, path, body)
                if answer.status:
                    return answer
            return NO_ANSWER

    async def _once(self, method: str, path: str, body: object) -> Answer:
        exchange = self._exchange
        if exchange is None or exchange.transport is None or exchange.transport.is_closing():
            exchange = await self._connect()
            if exchange is None:
                return NO_ANSWER
        assert exchange.transport is not None
        exchange.answer = asyncio.get_running_loop().create_future()
        exchange.transport.write(self._encode(method, path, body))
        try:
            async with asyncio.timeout(REQUEST_S):
                return await exchange.answer
        except TimeoutError:
            self.close()
            return NO_ANSWER

    async def _connect(self) -> _Exchange | None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CONNECT_S):
                _, self._exchange = await asyncio.get_running_loop().create_connection(
                    _Exchange, *self.edge, local_addr=(self._address, 0)
                )
                return self._exchange
        self.turn_away()
        return None

    @property
    def edge(self) -> tuple[str, int]:
        """Where connections go now."""
        return self._edges[0]

    def turn_away(self) -> None:
        """This edge took no connection: go to the next one, if there is one."""
        self._edges.append(self._edges.pop(0))

    def _encode(self, method: str, path: str, body: object) -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost:{self.edge[1]}\r\n"
        if self.token:
            head += f"Authorization: Bearer {self.token}\r\n"
        if isinstance(body, Raw):
            kind, content = body
        else:
            content = b"" if body is None else msgspec.json.encode(body)
            kind = "application/json"
        if content:
            head += f"Content-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
        return head.encode() + b"\r\n" + content

    def close(self) -> None:
        if self._exchange and self._exchange.transport:
            self._exchange.transport.close()
        self._exchange = None
