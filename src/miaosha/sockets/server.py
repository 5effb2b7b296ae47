"""What all sockets of one server share: limits, timers, counters and the application on top.

Server and sessions are a Socket.IO server of their own; they know nothing of sales.
"""

import asyncio
import random
from collections.abc import Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from miaosha.sockets import engine_packets, handshake
from miaosha.sockets.admission import Admission
from miaosha.sockets.engine_packets import Outbound
from miaosha.sockets.handshake import Rejection, Request, Rules
from miaosha.sockets.probes import Checks, Probes
from miaosha.sockets.wheel import Wheel

SPARE: Final = 256  # connections above the limit, for requests of sessions that are open

if TYPE_CHECKING:
    from miaosha.sockets.polling_session import PollingSession
    from miaosha.sockets.session import Session


class Limits(NamedTuple):
    """Every bound of a socket. Times in seconds, sizes in bytes.

    Attributes:
        rate_per_s, burst: messages and control frames a socket may send; rate 0: any number.
        buffer_max: unsent bytes above which a slow reader is dropped.
        handshake_s: from the connect to the first Socket.IO CONNECT.
        close_s: how long a peer may take to answer a goodbye.
        keepalive_s: how long an HTTP connection of long polling may idle between requests; longer
            than a proxy keeps one, so that the proxy is who closes it.
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

    An exception other than ConnectRefused is a bug: the socket is closed with 1011.
    """

    def connect(self, session: "Session", namespace: str, auth: Any) -> Sequence[Outbound]:
        """A CONNECT with its auth payload (None or an object). Raises ConnectRefused.

        Returns:
            What the client hears right behind the answer, in one write with it. What is sent here
            would arrive before the client knows that it is connected.
        """

    def event(
        self, session: "Session", namespace: str, name: str, args: list[Any], ack_id: int | None
    ) -> None: ...

    def acked(self, session: "Session", namespace: str, ack_id: int, args: list[Any]) -> None: ...

    def disconnected(self, session: "Session", namespace: str) -> None:
        """Called once for every successful `connect`."""


class SocketServer:
    """One server's sockets.

    Args:
        monotonic: seconds that never go back.
        now_s: Unix seconds, for token expiry.
        instance: the process's number, the first part of every sid.
        checks: readiness checks by name, run by GET /readyz.
        admission: who may open a session; default: everybody.
        seed: of the jitter of the first ping.
        raw: takes every Engine.IO message (str or bytes) instead of Socket.IO and its application.
    """

    def __init__(
        self,
        application: Application,
        limits: Limits,
        rules: Rules,
        *,
        monotonic: Callable[[], float],
        now_s: Callable[[], int],
        counters: MutableMapping[str, float],
        instance: str = "0",
        checks: Checks | None = None,
        admission: Admission | None = None,
        seed: int | None = None,
        raw: "Callable[[Session, str | bytes], None] | None" = None,
    ) -> None:
        self.raw = raw
        self.application = application
        self.limits = limits
        self.rules = rules
        self.monotonic = monotonic
        self.now_s = now_s
        self.counters = counters
        self.instance = instance
        self.admission = admission or Admission(monotonic=monotonic)
        self.probes = Probes({} if checks is None else checks)
        self.wheel = Wheel(monotonic, limits.resolution_s)
        self.draining = False
        self.open = 0  # transports and polling sessions now
        self.polling: dict[bytes, PollingSession] = {}  # sessions on long polling by sid
        self._random = random.Random(seed)  # noqa: S311 - jitter, not a secret
        self.cost_s = 1 / limits.rate_per_s if limits.rate_per_s else 0.0
        self.new_sid = engine_packets.Sids(instance).new
        self.burst_s = limits.burst * self.cost_s
        for name in COUNTERS:
            counters.setdefault(name, 0)

    @property
    def full(self) -> bool:
        """Nobody new is served; whoever asks has a transport that is counted already."""
        return self.draining or self.open > self.limits.connections_max

    @property
    def crowded(self) -> bool:
        """Not even those who may be here already are: a request of long polling says only in its
        head whose it is, so some connections above `connections_max` are read."""
        return self.draining or self.open >= self.limits.connections_max + SPARE

    def admit(self, request: Request, transport: asyncio.BaseTransport) -> int | Rejection:
        """Judge who asks for a new session.

        Returns:
            The address to note in the session, which is counted to it until the session has ended
            (0: not counted); or a rejection, counted here.
        """
        admission = self.admission
        refused = ""
        address = 0
        if self.full:
            refused = "overloaded"
        elif not admission.in_time():
            self.count("sockets_refused_rate")
            refused = "overloaded"
        elif admission.per_address_max:
            peer = transport.get_extra_info("peername")
            address = admission.address(peer, request.headers.get(b"x-real-ip"))
            if address and not admission.take(address):
                self.count("sockets_refused_address")
                refused = "rate_limited"
        if refused:
            self.count("sockets_refused")
            return handshake.problem(refused, admission.retry_after_s())
        return address

    def entered(self) -> None:
        """One more transport or polling session is open."""
        self.open += 1
        self.counters["sockets"] = self.open
        self.count("sockets_opened")

    def left(self) -> None:
        """One of them is closed."""
        self.open -= 1
        self.counters["sockets"] = self.open

    def count(self, name: str, by: int = 1) -> None:
        self.counters[name] += by

    def first_ping_s(self) -> float:
        """Spread over half an interval, so that a storm of connects is no storm of pings; early
        enough for a silent client to be gone when pingInterval + pingTimeout have passed."""
        return self.limits.ping_interval_s * self._random.uniform(0.3, 0.8)

    def open_packet(self, sid: str, upgrades: bytes = b"[]") -> Outbound:
        limits = self.limits
        interval, timeout = (
            round(limits.ping_interval_s * 1000),
            round(limits.ping_timeout_s * 1000),
        )
        return engine_packets.open_packet(sid, upgrades, interval, timeout, limits.message_max)


COUNTERS = (
    "sockets",  # open transports and polling sessions now
    "sockets_opened",
    "sockets_refused",  # for whatever reason, of which two are:
    "sockets_refused_rate",
    "sockets_refused_address",
    "sockets_upgraded",  # from long polling to WebSocket
    "sockets_slow_dropped",
    "sockets_ping_timeout",
    "sockets_token_expired",
    "sockets_rate_limited",
    "sockets_protocol_error",
    "connects",  # Socket.IO CONNECTs accepted
    "connects_refused",  # of which for too many sockets of one user:
    "connects_refused_user",
    "messages_in",
)
