"""Arrival: a socket from its accept to its first request. Every connection begins as one.

If the request opens a WebSocket session, this object becomes the session. If it is one of long
polling, or an upgrade from it, the transport goes to `polling_http` or `polling_upgrade`. Any other
request gets a response, and the connection is closed.
"""

import asyncio
from typing import cast

from miaosha.sockets import handshake
from miaosha.sockets.closing import Close
from miaosha.sockets.handshake import Request
from miaosha.sockets.polling_http import PollingConnection
from miaosha.sockets.polling_upgrade import UpgradeCandidate
from miaosha.sockets.probes import PROBES
from miaosha.sockets.server import SocketServer
from miaosha.sockets.session import Session, Stage
from miaosha.sockets.websocket_session import WebSocketSession

HEAD_END = b"\r\n\r\n"


class Arrival(WebSocketSession):
    """`_received` is the head of the request so far, until the session is open."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        server = self.server
        self._transport = cast(asyncio.Transport, transport)
        crowded = server.crowded
        server.entered()
        if crowded:
            server.count("sockets_refused")
            self.answer(handshake.problem("overloaded", server.admission.retry_after_s()).response)
            return
        self._transport.set_write_buffer_limits(high=server.limits.buffer_max)
        server.wheel.schedule(Session.check_connected, self, server.limits.handshake_s)

    def data_received(self, data: bytes) -> None:
        if self.stage is not Stage.REQUEST:
            super().data_received(data)
            return
        assert isinstance(self._received, bytes)
        received = self._received + data
        head, end, rest = received.partition(HEAD_END)
        if len(head) > self.server.limits.head_max:
            self.answer(handshake.problem("headers_too_large").response)
        elif not end:
            self._received = received
        else:
            self._received = b""
            self._parse(head, rest)

    def _parse(self, head: bytes, rest: bytes) -> None:
        try:
            request = handshake.parse(head)
        except handshake.BadHead as error:
            self.answer(handshake.problem(error.code).response)
            return
        self._open(request, rest)

    def _open(self, request: Request, rest: bytes) -> None:
        server = self.server
        if request.path in PROBES:
            self.stage = Stage.ANSWERING
            server.probes.ask(request, self.answer)
            return
        verdict = handshake.judge(request, server.rules)
        if isinstance(verdict, handshake.Rejection):
            server.count("sockets_refused")
            self.answer(verdict.response)
        elif isinstance(verdict, handshake.Polled):
            PollingConnection(server, self._given_away(), arrive).begin(request, verdict, rest)
        elif verdict.sid:
            session = server.polling.get(verdict.sid)
            UpgradeCandidate(server, self._given_away(), session).begin(verdict.response, rest)
        else:
            self._admit(request, verdict.response, rest)

    def _admit(self, request: Request, response: bytes, rest: bytes) -> None:
        """Open a new session, if `SocketServer.admit` allows one more."""
        server = self.server
        assert self._transport is not None
        address = server.admit(request, self._transport)
        if isinstance(address, handshake.Rejection):
            self.answer(address.response)
        else:
            self.address = address
            opening = server.open_packet(server.new_sid())
            self._transport.write(response + opening.frame)
            self.opened()
            if rest:
                self.data_received(rest)

    def _given_away(self) -> asyncio.Transport:
        """Another protocol takes over the transport, and with it its place in `server.open`."""
        transport, self._transport = self._transport, None
        self.stage = Stage.CLOSED
        assert transport is not None
        return transport

    def answer(self, response: bytes) -> None:
        """Send an HTTP response and close."""
        if self._transport is not None and self.stage <= Stage.ANSWERING:
            self.stage = Stage.ANSWERING
            self._received = b""
            self._transport.write(response)
            self._transport.close()

    def close(self, close: Close) -> None:
        if self.stage < Stage.OPEN:
            self.answer(handshake.problem("overloaded").response)
        else:
            super().close(close)

    def resume(self, transport: asyncio.Transport, request: Request, rest: bytes) -> None:
        self._transport = transport
        transport.set_protocol(self)
        self.server.wheel.schedule(Session.check_connected, self, self.server.limits.handshake_s)
        self._open(request, rest)


def arrive(
    server: SocketServer, transport: asyncio.Transport, request: Request, rest: bytes
) -> None:
    """Serve a request of another kind that came on a connection of long polling."""
    Arrival(server).resume(transport, request, rest)
