"""Application: what a program puts on top of the sockets, and the limits it sets them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from miaosha.sockets.engine_packets import Outbound

if TYPE_CHECKING:
    from miaosha.sockets.session import Session


class Limits(NamedTuple):
    """Every bound of a socket. Times in seconds, sizes in bytes.

    Attributes:
        rate_per_s, burst: messages and control frames a socket may send; rate 0: any number.
        buffer_max: unsent bytes above which a slow reader is dropped.
        handshake_s: from the connect to the first Socket.IO CONNECT.
        close_s: how long a peer may take to confirm a close.
        keepalive_s: how long an HTTP connection of long polling may idle between requests. It is
            longer than a proxy keeps one, so that the proxy closes it and not the server.
    """

    connections_max: int = 16_000
    message_max: int = 4_096
    buffer_max: int = 65_536
    head_max: int = 8_192
    rate_per_s: float = 5
    burst: int = 10
    namespaces_max: int = 16
    handshake_s: float = 10.0
    ping_interval_s: float = 25.0
    ping_timeout_s: float = 20.0
    close_s: float = 5.0
    keepalive_s: float = 75.0

    @property
    def resolution_s(self) -> float:
        """The length of a tick of the timer wheel."""
        shortest = min(self.handshake_s, self.ping_interval_s, self.ping_timeout_s, self.close_s)
        return max(0.005, min(0.25, shortest / 20))


class ConnectRefused(Exception):
    """The application refuses a CONNECT: the client gets CONNECT_ERROR {message, data}."""

    def __init__(self, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class Application(Protocol):
    """What happens on top of the sockets. Every call is synchronous and must be quick.

    The application may keep what it knows of a session in `session.context`.
    An exception other than ConnectRefused is a bug: the socket is closed with 1011.
    """

    def connect(self, session: "Session", namespace: str, auth: Any) -> Sequence[Outbound]:
        """A client connects to a namespace; `auth` is its payload, None or an object.

        Returns:
            Packets that follow the confirmation, in one write with it. A packet sent by
            `session.send` would arrive before the client knows that it is connected.

        Raises:
            ConnectRefused: the client is not let in.
        """

    def event(
        self, session: "Session", namespace: str, name: str, args: list[Any], ack_id: int | None
    ) -> None:
        """A client sends an event; with an `ack_id` it waits for `session.acknowledge`."""

    def acked(self, session: "Session", namespace: str, ack_id: int, args: list[Any]) -> None:
        """A client acknowledges an event that was sent with this `ack_id`."""

    def disconnected(self, session: "Session", namespace: str) -> None:
        """A client has left a namespace. It comes once for every successful `connect`."""
