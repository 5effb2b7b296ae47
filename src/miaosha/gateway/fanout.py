"""Fanout: sends the events no client asked for: `sale` to watchers, `result`, `standby` to a user.

A broadcast encodes a sale's view once and writes it in slices, to the watchers in a new random
order each time. Between two slices the loop serves others, first of all the pings that are due.
One broadcast runs at a time and sends the view as it is when it starts; a change meanwhile
makes the next one. So no watcher sees an older view after a newer one, and a burst of changes costs
one broadcast, not many.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from miaosha.domain.errors import DependencyDown
from miaosha.domain.messages import BusMessage, Positions, Result, Results, SaleChanged, Standby
from miaosha.domain.reservation import State
from miaosha.gateway.hub import Hub
from miaosha.gateway.sale_views import Sales
from miaosha.ports.bus import Bus
from miaosha.sockets import packets
from miaosha.sockets.engine_packets import Outbound
from miaosha.sockets.server import SocketServer

SLICE: Final = 64  # sockets written to before the loop gets its turn
REFRESH_S: Final = 1.0
RELISTEN_S: Final = 1.0

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


class ResultEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A Result as its own buyer sees it."""

    sale_id: int
    request_id: str
    state: State
    version: int
    pay_by_ms: int | None = None
    checkout_token: str | None = None
    position: int | None = None
    extended: bool = False


class StandbyEvent(msgspec.Struct, frozen=True):
    sale_id: int
    position: int
    version: int


class Fanout:
    """Args:
    dice: numbers from 0 to 1, for the order of a broadcast's recipients.
    """

    def __init__(
        self,
        hub: Hub,
        sales: Sales,
        bus: Bus,
        server: SocketServer,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._hub = hub
        self._sales = sales
        self._bus = bus
        self._server = server
        self._dice = dice
        self._due: dict[int, None] = {}  # sales to broadcast, in order
        self._wake = asyncio.Event()
        for name in ("broadcasts", "broadcast_recipients", "results_sent", "refresh_failures"):
            server.counters.setdefault(name, 0)

    def mark(self, sale_id: int) -> None:
        """Broadcast this sale soon."""
        self._due[sale_id] = None
        self._wake.set()

    async def broadcast(self) -> None:
        """Send what is marked, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._due:
                sale_id = next(iter(self._due))
                del self._due[sale_id]
                await self._send_sale(sale_id)

    async def _send_sale(self, sale_id: int) -> None:
        sale = self._sales.sale(sale_id)
        room = self._hub.room(sale_id)
        if sale is None or room is None:
            return
        outbound = packets.event("sale", _encode(self._sales.tell(sale)))
        recipients = 0
        for slice_ in room.in_random_order(SLICE, self._dice):
            for session in slice_:
                session.send(outbound)
            recipients += len(slice_)
            await self._server.wheel.give_way()
        self._server.count("broadcasts")
        self._server.count("broadcast_recipients", recipients)

    async def follow(self) -> None:
        """Keep the copy of the sales fresh; mark the sales that the bus or the clock changed."""
        loop = asyncio.get_running_loop()
        refresh_at = loop.time()
        while True:
            if loop.time() >= refresh_at:
                refresh_at = loop.time() + REFRESH_S
                await self.refresh()
            for sale_id in self._sales.news(self._hub.watched()):
                self.mark(sale_id)
            change_s = self._sales.next_change_s(self._hub.watched())
            wait_s = refresh_at - loop.time()
            if change_s is not None:
                wait_s = min(wait_s, change_s + 0.001)
            await asyncio.sleep(max(wait_s, 0.001))

    async def refresh(self) -> None:
        """Read the board once; a store that is away is only counted."""
        try:
            await self._sales.refresh(self._hub.watched())
        except DependencyDown as error:
            self._server.count("refresh_failures")
            log.warning("board_not_read", error=str(error))
        except Exception:
            self._server.count("refresh_failures")
            log.exception("board_not_read")

    async def listen(self) -> None:
        """Pass on what the bus brings, until cancelled."""
        while True:
            try:
                async for message in self._bus.listen():
                    await self.deliver(message)
            except DependencyDown as error:
                log.warning("bus_lost", error=str(error))
            except Exception:
                log.exception("bus_lost")
            await asyncio.sleep(RELISTEN_S)

    async def deliver(self, message: BusMessage) -> None:
        """One message of the bus."""
        match message:
            case Results() | Positions():
                items: Sequence[Result | Standby] = message.items
                await self._personal(items)
            case SaleChanged():
                self._sales.learn(message.sale)
                if self._sales.is_news(message.sale.id):
                    self.mark(message.sale.id)
            case _:
                pass  # the bus's own heartbeat

    async def _personal(self, items: Sequence[Result | Standby]) -> None:
        sent = 0
        for index, item in enumerate(items, 1):
            if sessions := self._hub.of_user(item.user_id):
                outbound = _outbound(item)
                for session in sessions:
                    session.send(outbound)
                sent += len(sessions)
            if index % SLICE == 0:
                await asyncio.sleep(0)
        self._server.count("results_sent", sent)


def _outbound(item: Result | Standby) -> Outbound:
    if isinstance(item, Standby):
        position = StandbyEvent(item.sale_id, item.position, item.version)
        return packets.event("standby", _encode(position))
    result = ResultEvent(
        sale_id=item.sale_id,
        request_id=item.request_id,
        state=item.state,
        version=item.version,
        pay_by_ms=item.pay_by_ms,
        checkout_token=item.checkout_token,
        position=item.position,
        extended=item.extended,
    )
    return packets.event("result", _encode(result))
