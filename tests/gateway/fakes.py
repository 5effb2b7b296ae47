"""A gateway's world in memory, honouring the contracts of the ports it uses."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import cast

import msgspec

from miaosha.adapters.access_tokens import AccessTokens
from miaosha.bootstrap import GatewayParts
from miaosha.domain.allocation import Place
from miaosha.domain.errors import DependencyDown, Problem
from miaosha.domain.messages import BusMessage
from miaosha.domain.money import Money
from miaosha.domain.reservation import State
from miaosha.domain.sale import Choice, Mode, Phase, ProductView, Question, Sale
from miaosha.ports.heartbeats import Heartbeat
from miaosha.ports.store import PlaceView, Reading, SaleBoard, StockStore
from miaosha.ports.tokens import Identity
from tests.kit.boards import board_of
from tests.kit.clocks import RunningClock


class Store:
    """The reads of a StockStore that a gateway makes."""

    def __init__(self) -> None:
        self.board: dict[int, Sale] | None = {}
        self.counts: dict[int, Reading] = {}
        self.places: dict[tuple[int, int], PlaceView] = {}
        self.down = False

    def _up(self) -> None:
        if self.down:
            raise DependencyDown("the store was taken away by the test")

    async def read_sales(self, seen: SaleBoard | None = None) -> SaleBoard | None:
        self._up()
        return board_of(self.board, seen)

    async def readings(
        self, sale_ids: Sequence[int], within_s: float | None = None
    ) -> dict[int, Reading | None]:
        self._up()
        return {sale_id: self.counts.get(sale_id) for sale_id in sale_ids}

    async def reading(self, sale_id: int) -> Reading | None:
        self._up()
        return self.counts.get(sale_id)

    async def place(self, sale_id: int, user_id: int) -> PlaceView | None:
        self._up()
        return self.places.get((sale_id, user_id))

    def as_port(self) -> StockStore:
        return cast(StockStore, self)


class Bus:
    """One subscriber; what was published before it listens is lost, as on the real one."""

    def __init__(self) -> None:
        self._queues: list[asyncio.Queue[BusMessage]] = []
        self.deaf = False

    async def publish(self, message: BusMessage) -> None:
        for queue in self._queues:
            queue.put_nowait(message)

    async def listen(self) -> AsyncIterator[BusMessage]:
        queue: asyncio.Queue[BusMessage] = asyncio.Queue()
        self._queues.append(queue)
        while True:
            yield await queue.get()

    async def ping(self) -> None:
        if self.deaf:
            raise DependencyDown("the bus was made deaf by the test")

    async def close(self) -> None:
        self._queues.clear()


class Heartbeats:
    def __init__(self) -> None:
        self.beats: dict[tuple[str, str], Heartbeat] = {}

    async def beat(self, heartbeat: Heartbeat) -> None:
        self.beats[heartbeat.role, heartbeat.instance] = heartbeat

    async def alive(self) -> list[Heartbeat]:
        return list(self.beats.values())


class Tokens:
    """A token is `<user id>:<expires at, Unix s>`."""

    def verify(self, token: bytes, now_s: int) -> Identity:
        user, _, expires = token.partition(b":")
        if not (user.isdigit() and expires.isdigit() and int(expires) > now_s):
            raise Problem("unauthorized")
        return Identity(int(user), "buyer", int(expires))


def make_parts(store: Store, bus: Bus, clock: RunningClock, heartbeats: Heartbeats) -> GatewayParts:
    """What bootstrap would open, made of these fakes."""
    tokens = cast(AccessTokens, Tokens())
    key = secrets.token_bytes(32)
    return GatewayParts(
        store.as_port(), bus, clock, tokens, key, heartbeats, checks={"bus": bus.ping}
    )


def make_sale(sale_id: int = 7, **changes: object) -> Sale:
    """A sale that is open, with two questions."""
    now_ms = round(time.time() * 1000)
    choices = [Choice("a", "red"), Choice("b", "blue")]
    sale = Sale(
        id=sale_id,
        title="A lamp for nothing",
        mode=Mode.FIFO,
        phase=Phase.SCHEDULED,
        product=ProductView(3, "Lamp", "It glows.", "/files/lamp.png", Money(9900, "EUR")),
        price=Money(100, "EUR"),
        stock=10,
        opens_at_ms=now_ms - 60_000,
        closes_at_ms=now_ms + 3_600_000,
        pay_within_s=600,
        standby_pay_within_s=600,
        standby_limit=1000,
        questions=[
            Question(1, "Which colour is the lamp?", choices, "a"),
            Question(2, "Which colour is the box?", choices, "b"),
        ],
    )
    return msgspec.structs.replace(sale, **changes)


def make_reading(sale_id: int = 7, *, free: int = 10, standby: int = 0, held: int = 0) -> Reading:
    return Reading(
        sale_id=sale_id,
        epoch=1,
        genuine=True,
        phase="open",
        stock=10,
        free=free,
        held=held,
        paid=0,
        refused=0,
        seq=0,
        standby=standby,
        standby_limit=1000,
        ungranted=0,
        batches=0,
        closes_at_ms=0,
        now_ms=0,
    )


def make_place(
    state: State,
    *,
    rid: str = "b.1",
    version: int = 3,
    pay_by_ms: int = 0,
    ungranted: bool = False,
    position: int | None = None,
) -> PlaceView:
    return PlaceView(Place(state, rid, 5, version, pay_by_ms), ungranted, position)
