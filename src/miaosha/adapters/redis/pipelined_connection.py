"""Pipelined connection: one connection to a Redis or Valkey server, for a hot path.

All callers share it: a command is written at once, and the replies resolve the callers' futures in
order. It never sends a command twice: a lost connection makes everything on the way unknown.
It is not for blocking commands, subscriptions or clusters; redis-py does those.
"""

import asyncio
import ssl
from collections import deque
from typing import Any, Final, cast

import hiredis
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection, parse_url

from miaosha.domain.errors import DependencyDown, Fault, OutcomeUnknown, Overloaded

CONNECT_TIMEOUT_S: Final = 2.0
RETRY_AFTER_S: Final = 0.05  # a refused connect is answered from memory for so long
INFLIGHT_MAX: Final = 4_096  # commands on the way

# Prefixes of error replies after which the server is full, not away.
FULL: Final = ("OOM", "MISCONF", "NOREPLICAS")


def refusal(message: str) -> Fault:
    """What an error reply to a write means: nothing was written in either case."""
    code = message.partition(" ")[0]
    return Overloaded(f"broker_{code.lower()}") if code in FULL else DependencyDown(message)


class Wire:
    """See the module. `url`: unix://, redis:// or rediss://."""

    def __init__(self, url: str) -> None:
        self._address: dict[str, Any] = dict(parse_url(url))
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._retry_at = 0.0
        self._closed = False

    async def call(self, *command: bytes | str | int, timeout_s: float) -> Any:
        """Send one command and await its reply.

        Args:
            timeout_s: seconds to wait for the reply once the command is written.

        Raises:
            DependencyDown: nothing was sent, or the server is not able to write now.
            OutcomeUnknown: it was sent and no reply came.
            Overloaded: too many are on the way, or the server refuses writes.
        """
        connection = self._connection
        if connection is None or connection.lost:
            connection = await self._connect()
        reply = connection.send(hiredis.pack_command(command))  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(timeout_s):
                answer = await reply
        except TimeoutError:
            connection.abort()  # what does not answer this does not answer the rest
            raise OutcomeUnknown(f"no reply within {timeout_s:g} s") from None
        if isinstance(answer, hiredis.ReplyError):
            fault = refusal(str(answer))
            if isinstance(fault, DependencyDown):
                connection.abort()  # READONLY, LOADING: another connect may find a better server
            raise fault
        return answer

    async def close(self) -> None:
        self._closed = True
        if self._connection is not None:
            self._connection.abort()
        self._connection = None

    async def _connect(self) -> "_Connection":
        async with self._connecting:
            if self._connection is not None and not self._connection.lost:
                return self._connection
            loop = asyncio.get_running_loop()
            if self._closed or loop.time() < self._retry_at:
                raise DependencyDown("no connection")
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    self._connection = await self._open(loop)
            except (OSError, TimeoutError, Fault) as error:
                self._retry_at = loop.time() + RETRY_AFTER_S
                raise DependencyDown(f"no connection: {error or type(error).__name__}") from error
            return self._connection

    async def _open(self, loop: asyncio.AbstractEventLoop) -> "_Connection":
        address = self._address
        kind = address.get("connection_class")
        if kind is UnixDomainSocketConnection:
            _, connection = await loop.create_unix_connection(_Connection, address["path"])
        else:
            context = self._tls() if kind is SSLConnection else None
            host, port = address.get("host", "127.0.0.1"), address.get("port", 6379)
            _, connection = await loop.create_connection(_Connection, host, port, ssl=context)
        try:
            for command in self._handshake():
                answer = await connection.send(hiredis.pack_command(command))
                if isinstance(answer, hiredis.ReplyError):
                    raise DependencyDown(str(answer))
        except BaseException:
            connection.abort()
            raise
        return connection

    def _tls(self) -> ssl.SSLContext:
        """What the URL says of certificates counts here as with every other connection."""
        options = {name: said for name, said in self._address.items() if name.startswith("ssl_")}
        return SSLConnection(**options).ssl_context.get()

    def _handshake(self) -> list[tuple[Any, ...]]:
        address = self._address
        commands: list[tuple[Any, ...]] = []
        if password := address.get("password"):
            user = address.get("username")
            commands.append(("AUTH", user, password) if user else ("AUTH", password))
        if database := address.get("db"):
            commands.append(("SELECT", str(database)))
        return [*commands, ("PING",)]


class _Connection(asyncio.Protocol):
    """Bytes to replies: futures are resolved in the order of their commands."""

    def __init__(self) -> None:
        self.lost = False
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        if self.lost or self._transport is None:
            raise DependencyDown("the connection is lost")
        if len(self._waiting) >= INFLIGHT_MAX:
            raise Overloaded("broker_inflight_max")
        self._transport.write(packed)
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append(reply)
        return reply

    def abort(self) -> None:
        self._lose()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes, though they have its methods
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            while (answer := reader.gets()) is not False:
                reply = waiting.popleft()
                if not reply.done():  # a caller may have gone
                    reply.set_result(answer)
        except (hiredis.ProtocolError, IndexError):
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._lose()

    def _lose(self) -> None:
        self.lost = True
        while self._waiting:
            reply = self._waiting.popleft()
            if not reply.done():
                reply.set_exception(OutcomeUnknown("the connection was lost before the reply"))
