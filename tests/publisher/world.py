"""A publisher in this process on in-memory ports, a client of its socket, and a bare transport.

Time stands still unless a test moves it; the wheel turns only when a test turns it.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec

from miaosha.domain.errors import Problem
from miaosha.domain.messages import Batch
from miaosha.domain.money import Money
from miaosha.domain.sale import Choice, Mode, Phase, ProductView, Question, Sale
from miaosha.ports.broker import Broker
from miaosha.ports.heartbeats import Heartbeat
from miaosha.ports.store import Reading, SaleBoard, StockStore
from miaosha.ports.tokens import Identity
from miaosha.publisher.arrivals import Arrivals
from miaosha.publisher.batcher import Batcher
from miaosha.publisher.http_connection import HttpConnection
from miaosha.publisher.intake import Intake
from miaosha.publisher.live_sales import LiveSales
from miaosha.publisher.routes import Router
from miaosha.publisher.shared import Shared
from miaosha.settings import Settings
from tests.kit.boards import board_of
from tests.kit.clocks import NOW_MS as NOW_MS
from tests.kit.clocks import HandClock
from tests.kit.waits import until

QUESTION_KEY = b"q" * 32
PRICE = Money(amount=100, currency="USD")
CHOICES = [Choice("A", "red"), Choice("B", "blue")]


def sale(id_: int = 7, **changes: Any) -> Sale:
    """An open sale whose right answer is B."""
    terms = Sale(
        id=id_,
        title="Console",
        mode=Mode.FIFO,
        phase=Phase.SCHEDULED,
        product=ProductView(1, "Console", "", "", PRICE),
        price=PRICE,
        stock=10,
        opens_at_ms=NOW_MS - 1_000,
        closes_at_ms=NOW_MS + 3_600_000,
        pay_within_s=600,
        standby_pay_within_s=600,
        standby_limit=1_000,
        questions=[Question(1, "Which colour?", CHOICES, "B")],
    )
    return msgspec.structs.replace(terms, **changes)


def reading(**changes: Any) -> Reading:
    """Counters of a sale with free units."""
    values = Reading(
        sale_id=7,
        epoch=1,
        genuine=True,
        phase="open",
        stock=10,
        free=5,
        held=5,
        paid=0,
        refused=0,
        seq=5,
        standby=0,
        standby_limit=1_000,
        ungranted=0,
        batches=1,
        closes_at_ms=NOW_MS + 3_600_000,
        now_ms=NOW_MS,
    )
    return msgspec.structs.replace(values, **changes)


SOLD_OUT = reading(free=0, standby=1_000)


class Tokens:
    """The token `user-5` speaks for user 5."""

    def verify(self, token: bytes, now_s: int) -> Identity:
        name, _, number = token.partition(b"-")
        if name != b"user" or not number.isdigit():
            raise Problem("unauthorized")
        return Identity(int(number), "buyer", now_s + 60)


class Store:
    """The board and the readings a test puts here; an exception is raised instead."""

    def __init__(self) -> None:
        self.sales: dict[int, Sale] | None | Exception = {7: sale()}
        self.counts: dict[int, Reading | None] | Exception = {7: reading()}
        self.asked: list[int] = []

    async def read_sales(self, seen: SaleBoard | None = None) -> SaleBoard | None:
        if isinstance(self.sales, Exception):
            raise self.sales
        return board_of(self.sales, seen)

    async def readings(
        self, sale_ids: Sequence[int], within_s: float | None = None
    ) -> dict[int, Reading | None]:
        self.asked += sale_ids
        if isinstance(self.counts, Exception):
            raise self.counts
        return {sale_id: self.counts.get(sale_id) for sale_id in sale_ids}


class MemoryBroker:
    """Confirms at once, or, with `hold`, when `confirm` is called; `error` is raised instead."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.hold = False
        self.error: Exception | None = None
        self.away: Exception | None = None
        self.is_full = False
        self._waiting: list[asyncio.Future[None]] = []

    async def ping(self) -> None:
        if self.away:
            raise self.away

    async def full(self, sale_ids: Sequence[int]) -> set[int]:
        if self.away:
            raise self.away
        return set(sale_ids) if self.is_full else set()

    async def publish(self, batch: Batch) -> None:
        self.batches.append(batch)
        if self.hold:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting
        if self.error:
            raise self.error

    def confirm(self, error: Exception | None = None) -> None:
        """Let the oldest publish end."""
        waiting = self._waiting.pop(0)
        if error:
            waiting.set_exception(error)
        else:
            waiting.set_result(None)

    def let_go(self) -> None:
        """Let every publish end, and later ones at once."""
        self.hold = False
        while self._waiting:
            self.confirm()

    @property
    def users(self) -> list[int]:
        return [user for batch in self.batches for user in batch.user_ids]


class Beats:
    async def beat(self, heartbeat: Heartbeat) -> None:
        """Nobody listens."""

    async def alive(self) -> list[Heartbeat]:
        return []


@dataclass
class World:
    """All parts of a publisher, as `server.run` puts them together."""

    settings: Settings = field(default_factory=Settings)
    store: Store = field(default_factory=Store)
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    clock: HandClock = field(default_factory=HandClock)
    counters: dict[str, float] = field(default_factory=lambda: defaultdict(int))
    access_tokens: Tokens = field(default_factory=Tokens)
    heartbeats: Beats = field(default_factory=Beats)
    question_key: bytes = QUESTION_KEY
    wheel_s: float = 100_000.0  # the wheel has a clock of its own here
    slice_size: int = 1_000_000  # of arrivals in a turn: a test's wires need no loop
    # bootstrap's parts are ports; these honour what the publisher uses of them
    board: LiveSales = field(init=False)
    batcher: Batcher = field(init=False)
    shared: Shared = field(init=False)

    def __post_init__(self) -> None:
        store, broker = cast(StockStore, self.store), cast(Broker, self.broker)
        self.board = LiveSales(store, broker, self.clock, self.settings, self.counters)
        arrivals = Arrivals(self.slice_size)
        self.batcher = Batcher(broker, self.clock, self.settings, self.counters, arrivals)
        intake = Intake(
            self.board,
            self.batcher,
            self.access_tokens,
            self.clock,
            QUESTION_KEY,
            self.settings,
            self.counters,
        )
        self.shared = Shared(
            Router(self.board, intake, self.counters),
            self.settings,
            self.counters,
            arrivals,
            lambda: self.wheel_s,
        )

    async def look(self) -> None:
        """What the background does: read the board, the pressure and the readings."""
        await self.board.refresh()
        await self.board.read()

    def wire(self) -> "Wire":
        return Wire(self.shared)

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.wheel_s += self.shared.tick_s
            advancing = self.shared.wheel.advance()
            with contextlib.suppress(StopIteration):
                while True:
                    advancing.send(None)


async def world(slice_size: int = 1_000_000, **settings: Any) -> World:
    made = World(replace_settings(**settings), slice_size=slice_size)
    await made.look()
    return made


def replace_settings(**changes: Any) -> Settings:
    return msgspec.structs.replace(Settings(press_burst=100, press_rate_per_s=100), **changes)


class Wire:
    """A connection on a transport without a socket: what was written, and in which state it is."""

    def __init__(self, shared: Shared) -> None:
        self.written = b""
        self.reading = True
        self.closed = False
        self.aborted = False
        self.half_closed = False
        self.connection = HttpConnection(shared)
        self.connection.connection_made(cast(asyncio.Transport, self))

    def send(self, data: bytes) -> None:
        if not self.closed:
            self.connection.data_received(data)

    @property
    def answers(self) -> "list[Answer]":
        return parse(self.written)

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]

    @property
    def ended(self) -> bool:
        return self.closed or self.half_closed

    def lose(self) -> None:
        self.closed = True
        self.connection.connection_lost(None)

    # the transport

    def write(self, data: bytes) -> None:
        assert not self.closed and not self.half_closed
        self.written += data

    def write_eof(self) -> None:
        self.half_closed = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = self.closed = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        return str(self.json["code"])


def parse(raw: bytes) -> list[Answer]:
    """Whole answers in `raw`; fails if anything else is there."""
    answers = []
    while raw:
        head, end, raw = raw.partition(b"\r\n\r\n")
        assert end, f"half an answer: {head!r}"
        first, *lines = head.decode().split("\r\n")
        version, status, reason = first.split(" ", 2)
        assert version == "HTTP/1.1" and reason
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        assert headers["cache-control"] == "no-store" and headers["content-type"]
        length = int(headers["content-length"])
        assert len(raw) >= length
        answers.append(Answer(int(status), headers, raw[:length]))
        raw = raw[length:]
    return answers


def request(
    method: str = "POST",
    path: str = "/api/v1/sales/7/purchases",
    *,
    user: int | None = 1,
    body: bytes = b'{"answer":"B"}',
    headers: tuple[str, ...] = (),
    kind: str | None = "application/json",
    version: str = "1.1",
) -> bytes:
    """A press, or whatever it is turned into."""
    lines = [f"{method} {path} HTTP/{version}", "Host: shop"]
    if user is not None:
        lines.append(f"Authorization: Bearer user-{user}")
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    if method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, *headers]).encode() + b"\r\n\r\n" + (body * (method == "POST"))


GET_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n"


@contextlib.asynccontextmanager
async def listening(made: World, run_dir: Path) -> AsyncIterator[Path]:
    """The world's publisher on a unix socket."""
    path = run_dir / "publisher.sock"
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(
        lambda: HttpConnection(made.shared), str(path), backlog=1024
    )
    try:
        yield path
    finally:
        server.close()
        for connection in set(made.shared.wheel):
            connection.cut()
        await until(lambda: made.shared.connections == 0)


class Client:
    """A plain client: writes bytes, reads answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> Answer:
        async with asyncio.timeout(5):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return parse(head + await self.reader.readexactly(length))[0]

    async def answers(self, count: int) -> list[Answer]:
        return [await self.answer() for _ in range(count)]

    async def end(self) -> bytes:
        """What still comes until the server closes."""
        async with asyncio.timeout(5):
            return await self.reader.read()


@contextlib.asynccontextmanager
async def client(path: Path) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
