"""Gateway: the gateway's own code above a fake connection: hub, views, fan-out, events, lookups.

A socket here is a list of what a person hears, a moment later. Frames, polling and pings are the
business of `sockets`, which has suites of its own.
"""

from collections import defaultdict
from collections.abc import Callable
from contextvars import Context
from typing import Any, Final

import msgspec

from miaosha.gateway.events import NAMESPACE, SaleEvents
from miaosha.gateway.fanout import Fanout
from miaosha.gateway.hub import Hub
from miaosha.gateway.lookups import Lookups
from miaosha.gateway.sale_views import Sales
from miaosha.sockets.engine_packets import Outbound
from tests.lab.faults import MOMENT_S
from tests.lab.loop import VirtualLoop
from tests.lab.plain_tokens import QUESTION_KEY, PlainAccess
from tests.lab.process import Process
from tests.lab.roles import beat, together, wired

ASKERS: Final = 2
EVENT, ACK = "42", "43"


class LabSocketServer:
    """What Fanout and SaleEvents ask of a socket server."""

    def __init__(self) -> None:
        self.counters: defaultdict[str, float] = defaultdict(float)
        self.wheel = self

    def count(self, name: str, more: int = 1) -> None:
        self.counters[name] += more

    async def give_way(self) -> None: ...


class LabSocket:
    """A session as the gateway knows it; `hear` gets the name of an event and its argument."""

    def __init__(
        self, server: LabSocketServer, loop: VirtualLoop, hear: Callable[[str, Any], None]
    ) -> None:
        self.context: Any = None
        self.rooms: tuple[Any, ...] = ()
        self.server = server
        self._loop = loop
        self._hear = hear

    def send(self, *outbounds: Outbound) -> None:
        for outbound in outbounds:
            text = outbound.packet.decode()
            kind, body = text[:2], text[2:]
            if kind == ACK:
                number = body.partition("[")[0]
                name, told = f"ack {number}", msgspec.json.decode(body[len(number) :])[0]
            else:
                name, told = msgspec.json.decode(body)
            self._loop.call_later(MOMENT_S, self._hear, name, told, context=Context())

    def expire_at(self, at_s: int) -> None: ...


class GatewayDesk:
    """Where people connect."""

    def __init__(self, events: SaleEvents, server: LabSocketServer, loop: VirtualLoop) -> None:
        self._events = events
        self._server = server
        self._loop = loop

    async def connect(
        self, user_id: int, sale_id: int, hear: Callable[[str, Any], None]
    ) -> LabSocket:
        socket = LabSocket(self._server, self._loop, hear)
        auth = {"token": str(user_id), "watch": sale_id}
        socket.send(*self._events.connect(socket, NAMESPACE, auth))  # type: ignore[arg-type]
        return socket

    async def lookup(self, socket: LabSocket, sale_id: int, number: int) -> None:
        self._events.event(
            socket,  # type: ignore[arg-type]
            NAMESPACE,
            "lookup",
            [{"sale_id": sale_id}],
            number,
        )


async def gateway(process: Process) -> None:
    core, world = await wired(process), process.world
    hub = Hub(process.watching, 0)
    sales = Sales(core.store, core.heartbeats, core.clock, hub.count, str(process.number))
    lookups = Lookups(core.store, sales)
    server = LabSocketServer()
    events = SaleEvents(
        hub,
        sales,
        lookups,
        PlainAccess(),
        core.clock,
        question_key=QUESTION_KEY,
        retry_after_s=1,
    )
    dice = world.dice.row(f"{process.name} fanout")
    fanout = Fanout(hub, sales, core.bus, server, lambda: dice.span(0, 1))  # type: ignore[arg-type]
    await fanout.refresh()
    process.parts = GatewayDesk(events, server, world.loop)
    askers = [lookups.run() for _ in range(ASKERS)]
    await together(
        fanout.follow(), fanout.broadcast(), fanout.listen(), beat(process, core), *askers
    )
