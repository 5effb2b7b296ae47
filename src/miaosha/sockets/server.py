"""SocketServer: what all sockets of one server share: limits, timers, counters, the application."""

import asyncio
import random
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Final

from miaosha.serving.readiness import Checks
from miaosha.serving.wheel import Wheel
from miaosha.sockets import engine_packets, handshake
from miaosha.sockets.admission import Admission
from miaosha.sockets.application import Application, Limits
from miaosha.sockets.engine_packets import Outbound
from miaosha.sockets.handshake import Rejection, Request, Rules
from miaosha.sockets.probes import Probes

SPARE: Final = 256  # connections above the limit, for requests of open sessions

if TYPE_CHECKING:
    from miaosha.sockets.polling_session import PollingSession
    from miaosha.sockets.session import Session


class SocketServer:
    """The sockets of one process. `listening` accepts them, `wheel.run()` drives their deadlines.

    Args:
        monotonic: seconds that never go back.
        now_s: Unix seconds, for `Session.expire_at`.
        counters: where the server counts; it adds the names of COUNTERS.
        instance: the process's number, the first part of every sid.
        checks: readiness checks by name, run by GET /readyz.
        admission: which clients may open a session; default: all of them.
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
        """No new session is opened. The connection that asks is counted in `open` already."""
        return self.draining or self.open > self.limits.connections_max

    @property
    def crowded(self) -> bool:
        """No new connection is read at all. Up to SPARE connections above the limit are read: one
        of them may carry a long-polling request of an open session, which only its head tells."""
        return self.draining or self.open >= self.limits.connections_max + SPARE

    def admit(self, request: Request, transport: asyncio.BaseTransport) -> int | Rejection:
        """Decide whether a request may open a new session.

        Returns:
            The client's address as a number, for `Session.address`; the session counts against it
            until it ends (0: not counted). Or a rejection, which is counted here.
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
            address = admission.addresses.of(peer, request.headers.get(b"x-real-ip"))
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
        """Seconds until a session's first ping. They are spread over half an interval, so that a
        storm of connects makes no storm of pings. They end early enough to find a silent client
        within pingInterval + pingTimeout."""
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
    "sockets_refused",  # for any reason; two of the reasons are counted apart:
    "sockets_refused_rate",
    "sockets_refused_address",
    "sockets_upgraded",  # from long polling to WebSocket
    "sockets_slow_dropped",
    "sockets_ping_timeout",
    "sockets_token_expired",
    "sockets_rate_limited",
    "sockets_protocol_error",
    "connects",  # Socket.IO CONNECTs accepted
    "connects_refused",
    "messages_in",
)
