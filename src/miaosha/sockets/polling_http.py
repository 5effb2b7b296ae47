"""PollingConnection: one HTTP/1.1 connection of long polling; its requests, one after the other.

It reads heads and bodies with a limit and a deadline each, asks the `PollingSession`, and writes
the responses. A GET that waits is a reference from its session to this object and nothing else.
The connection is kept after a response only if the whole request was read: behind a proxy the next
request may be another client's.
"""

import asyncio
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final

from miaosha.serving import http_response
from miaosha.sockets import engine_packets, handshake
from miaosha.sockets.closing import TOO_LARGE, Close
from miaosha.sockets.engine_packets import Failure, Outbound
from miaosha.sockets.handshake import BadHead, Polled, Rejection, Request
from miaosha.sockets.polling_session import PollingSession
from miaosha.sockets.server import SocketServer
from miaosha.sockets.session import Stage

HEAD_END: Final = b"\r\n\r\n"
PREFLIGHT: Final = (
    b"Access-Control-Allow-Methods: GET, POST\r\nAccess-Control-Allow-Headers: *, Authorization\r\n"
    b"Access-Control-Max-Age: 600\r\n"
)
# a type that a browser takes neither for a page nor for a download
_TEXT: Final = b"text/plain; charset=UTF-8"

Elsewhere = Callable[[SocketServer, asyncio.Transport, Request, bytes], None]


class ConnectionState(IntEnum):
    """What the connection waits for."""

    HEAD = 0  # the client's next request
    BODY = 1  # the body of a POST
    WAIT = 2  # the server's response to a GET
    OVER = 3  # the last bytes to be sent


class PollingConnection(asyncio.Protocol):
    """Takes over a transport with its first request. A later request may be of another kind, since
    a proxy reuses its connections; it goes to `elsewhere` with the transport."""

    __slots__ = (
        "_buffer",
        "_cors",
        "_deadline",
        "_elsewhere",
        "_keep",
        "_length",
        "_server",
        "_session",
        "_state",
        "_transport",
    )

    def __init__(
        self, server: SocketServer, transport: asyncio.Transport, elsewhere: Elsewhere
    ) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = transport
        self._elsewhere = elsewhere
        self._buffer = bytearray()
        self._state = ConnectionState.HEAD
        self._session: PollingSession | None = None  # of the request that waits for a response
        self._length = 0  # of the body, until it is read
        self._keep = True
        self._cors = b""
        self._deadline = 0.0
        transport.set_protocol(self)
        server.wheel.schedule(PollingConnection.check, self, server.limits.handshake_s)

    @property
    def stage(self) -> Stage:
        return Stage.CLOSED if self._transport is None else Stage.OPEN

    # asyncio.Protocol

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.left()
        self._transport = None
        self._buffer = bytearray()
        session, self._session = self._session, None
        if session is not None:
            session.lost(self)

    def data_received(self, data: bytes) -> None:
        limits = self._server.limits
        if not self._buffer and self._state is ConnectionState.HEAD:
            self._deadline = self._server.monotonic() + limits.handshake_s
        if self._state is ConnectionState.OVER:
            return
        self._buffer += data
        if len(self._buffer) > limits.head_max + limits.message_max + len(data):
            self.drop()  # sends requests without waiting for responses
        else:
            self._advance()

    def pause_writing(self) -> None:
        """The client asks on and does not read: more than `buffer_max` bytes wait unsent."""
        self._server.count("sockets_slow_dropped")
        self.drop()

    # requests

    def begin(self, request: Request, polled: Polled, rest: bytes) -> None:
        """The request that made this a connection of long polling, and what came after it."""
        self._buffer += rest
        self._serve(request, polled)
        self._advance()

    def _advance(self) -> None:
        """Serve the requests that have arrived."""
        while self._transport is not None:
            if self._state is ConnectionState.BODY and len(self._buffer) >= self._length:
                self._receive_body()
            elif self._state is not ConnectionState.HEAD or not self._receive_head():
                return

    def _receive_head(self) -> bool:
        """Serve the next request, False if its head is not all there."""
        limit = self._server.limits.head_max
        end = self._buffer.find(HEAD_END, 0, limit + len(HEAD_END))
        if end < 0:
            if len(self._buffer) > limit:
                self._refuse(handshake.problem("headers_too_large"))
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + len(HEAD_END)]
        try:
            request = handshake.parse(head)
        except BadHead as error:
            self._refuse(handshake.problem(error.code))
            return False
        verdict = handshake.judge(request, self._server.rules)
        if isinstance(verdict, Polled):
            self._serve(request, verdict)
            return True
        transport, self._transport = self._transport, None
        assert transport is not None
        self._elsewhere(self._server, transport, request, bytes(self._buffer))
        return False

    def _serve(self, request: Request, polled: Polled) -> None:
        self._keep = request.keeps
        self._length = request.length
        self._cors = handshake.cors(request)
        if polled.method == b"OPTIONS":
            self._answer(204, b"", PREFLIGHT)
        elif not polled.sid:
            self._open(request)
        elif (session := self._server.polling.get(polled.sid)) is None:
            self._refuse(handshake.engine_rejection(Failure.SESSION, headers=self._cors))
        elif polled.method == b"POST":
            self._begin_post(session, request)
        else:
            self._state = ConnectionState.WAIT
            self._session = session
            if not session.poll(self):
                self._refuse(handshake.engine_rejection(Failure.REQUEST, headers=self._cors))

    def _open(self, request: Request) -> None:
        server = self._server
        assert self._transport is not None
        address = server.admit(request, self._transport)
        if isinstance(address, handshake.Rejection):
            self._refuse(address)
            return
        sid = server.new_sid()
        PollingSession(server, sid.encode()).address = address
        self._answer(200, server.open_packet(sid, b'["websocket"]').packet)

    def _begin_post(self, session: PollingSession, request: Request) -> None:
        code = handshake.unfit_body(request, self._server.limits.message_max)
        if code == "too_large":
            session.close(TOO_LARGE)
        if code:
            self._refuse(handshake.problem(code))
        elif session.begin_post(self):
            self._session = session
            self._state = ConnectionState.BODY
        else:
            self._refuse(handshake.engine_rejection(Failure.REQUEST, headers=self._cors))

    def _receive_body(self) -> None:
        body = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        self._length = 0
        session = self._session
        assert session is not None
        if session.receive_payload(body):
            self._answer(200, b"ok")
        else:
            self._refuse(handshake.engine_rejection(Failure.REQUEST, headers=self._cors))

    # answers

    def deliver(self, packets: Sequence[Outbound]) -> None:
        """Respond to the GET that waits."""
        self._answer(200, engine_packets.payload(packets))
        if self._buffer:
            asyncio.get_running_loop().call_soon(self._advance)

    def _answer(self, status: int, body: bytes, headers: bytes = b"") -> None:
        self._session = None
        self._state = ConnectionState.HEAD
        if self._transport is None:
            return
        self._deadline = self._server.monotonic() + self._server.limits.keepalive_s
        keep = self._keep and not self._length and not self._server.draining
        head = self._cors + headers
        self._transport.write(http_response.response(status, body, head, _TEXT, keep=keep))
        if not keep:
            self._hang_up()

    def _refuse(self, rejection: Rejection) -> None:
        self._session = None
        if self._transport is not None:
            self._transport.write(rejection.response)
            self._hang_up()

    def _hang_up(self) -> None:
        """Read nothing more; what was written is still sent, for `close_s` at most."""
        self._state = ConnectionState.OVER
        self._buffer = bytearray()
        if self._transport is not None:
            self._deadline = self._server.monotonic() + self._server.limits.close_s
            self._transport.close()

    # deadlines and the end, as for every socket

    def check(self) -> None:
        """Called by the wheel. A GET that waits has no deadline here: its session pings."""
        if self._transport is None:
            return
        if self._state is not ConnectionState.WAIT and self._server.monotonic() >= self._deadline:
            self.drop()
        else:
            self._server.wheel.schedule(
                PollingConnection.check, self, self._server.limits.handshake_s
            )

    def close(self, close: Close) -> None:
        """The server stops. A GET that waits hears of it from its session."""
        if self._state is ConnectionState.HEAD:
            self._hang_up()

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()
