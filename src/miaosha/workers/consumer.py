"""The consumer role: one consuming task per live sale, so that a paused sale holds up no other."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from miaosha import bootstrap
from miaosha.domain.errors import Fault
from miaosha.domain.sale import Phase
from miaosha.ports.broker import Broker
from miaosha.ports.sale_terms import SaleTerms
from miaosha.ports.store import SaleBoard, SaleBoards
from miaosha.serving.ending import end
from miaosha.serving.process import Process
from miaosha.settings import Settings

LOOK_S = 0.5  # how often the board is looked at for sales that appeared
LEDGER_S = 5.0  # … and the ledger, for those the board should have had
OPENING_MAX = 16  # queues opened at once
DRAIN_S = 5.0  # what is being decided at a stop gets this long to finish

log = structlog.get_logger()


class Consumer:
    """Consumes the queue of every sale that is live in the ledger or on the board. The board tells
    sooner, and goes on while SQL is away."""

    def __init__(
        self,
        broker: Broker,
        sales: SaleTerms,
        boards: SaleBoards,
        handle: Callable[..., Awaitable[None]],
        name: str,
    ) -> None:
        self._broker = broker
        self._sales = sales
        self._boards = boards
        self._handle = handle
        self._name = name
        self._board: SaleBoard | None = None
        self._ledger_at = 0.0  # loop time of the next look at the ledger
        self._opening = asyncio.Semaphore(OPENING_MAX)
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def follow(self) -> None:
        """Until cancelled: start a task for every live sale, forget those that ended."""
        while True:
            for look in (self._on_board, self._in_ledger):
                try:
                    for sale_id in await look():
                        self._start(sale_id)
                except Fault as error:
                    log.warning("sales_unreadable", error=str(error))
            for sale_id, task in list(self._tasks.items()):
                if task.done():
                    self._ended(sale_id, task)
            await asyncio.sleep(LOOK_S)

    async def _on_board(self) -> list[int]:
        self._board = await self._boards.read_sales(self._board)
        sales = self._board.sales.values() if self._board else ()
        return [sale.id for sale in sales if sale.phase is not Phase.SETTLED]

    async def _in_ledger(self) -> list[int]:
        now = asyncio.get_running_loop().time()
        if now < self._ledger_at:
            return []
        live = await self._sales.live_ids()
        self._ledger_at = now + LEDGER_S
        return live

    def _start(self, sale_id: int) -> None:
        if sale_id not in self._tasks:
            self._tasks[sale_id] = asyncio.create_task(
                self._consume(sale_id), name=f"sale:{sale_id}"
            )

    async def _consume(self, sale_id: int) -> None:
        async with self._opening:
            await self._broker.open(sale_id)
        await self._broker.consume(sale_id, self._name, self._handle)

    def _ended(self, sale_id: int, task: asyncio.Task[None]) -> None:
        del self._tasks[sale_id]
        if not task.cancelled() and (error := task.exception()):
            log.error("consume_failed", sale_id=sale_id, error=repr(error))

    async def drain(self) -> None:
        """Stop taking batches, and return when none is being handled: what comes afterwards closes
        what a handler works on. What is undecided stays unacknowledged and comes again."""
        try:
            async with asyncio.timeout(DRAIN_S):
                await end(self._tasks.values())
        except TimeoutError:
            left = [task.get_name() for task in self._tasks.values() if not task.done()]
            log.error("drain_late", tasks=left)


async def serve(process: Process, settings: Settings) -> None:
    async with bootstrap.consumer(settings, process.counters) as parts:
        process.checks.update(parts.checks)
        consumer = Consumer(
            parts.broker,
            parts.ledger.sales,
            parts.store,
            parts.allocator.handle,
            process.consumer_name,
        )
        beat = process.heartbeat(parts.heartbeats, parts.clock)
        try:
            await process.tend(beat, consumer.follow())
        finally:
            await consumer.drain()
