"""Roles: the six roles as their own code is, on ports of the laboratory.

What `bootstrap` opens by URLs is opened here on the laboratory's servers; the wiring of use cases
is the product's. Left out: HTTP, sockets, and the processes' own start.
"""

import asyncio
import contextlib
import functools
from dataclasses import dataclass
from typing import Any, Final

from miaosha.adapters.clock import StoreClock
from miaosha.adapters.sql.auditing import SqlLedgerReader
from miaosha.adapters.sql.catalogue import SqlCatalogue
from miaosha.adapters.sql.ledger import SqlLedger
from miaosha.adapters.sql.trail import SqlTrail
from miaosha.bootstrap import SETTLE_MARGIN_MS, SchedulerParts
from miaosha.bootstrap.wiring import Wiring, checkout_of, control_of, mail_queue_of
from miaosha.domain.errors import Fault
from miaosha.ports.heartbeats import Heartbeat
from miaosha.publisher.batcher import Batcher
from miaosha.publisher.intake import Intake
from miaosha.publisher.live_sales import PATH, LiveSales
from miaosha.usecases.allocate import Allocator
from miaosha.usecases.announce import Announcer
from miaosha.usecases.audit import Auditor
from miaosha.usecases.checkout import Checkout
from miaosha.usecases.clock_watch import ClockWatch
from miaosha.usecases.extend import Extension
from miaosha.usecases.grant import Granter
from miaosha.usecases.inspect import Inspector
from miaosha.usecases.manage import Manage
from miaosha.usecases.parked import Parking
from miaosha.usecases.promote import Promoter
from miaosha.usecases.query import Query
from miaosha.usecases.release import Release
from miaosha.usecases.settlement import Settlement
from miaosha.workers.consumer import Consumer
from miaosha.workers.scheduler import Scheduler
from tests.lab.broker import LabBroker, LabQueueReader
from tests.lab.plain_tokens import QUESTION_KEY, PlainAccess, PlainTokens
from tests.lab.process import Process
from tests.lab.provider import LabBus, LabMailer, LabPayments
from tests.lab.sql import LabDatabase
from tests.lab.store import LabStore
from tests.lab.store_readers import LabHeartbeats, LabStoreReader

REFRESH_S: Final = 2.0  # a clock asks the store half as often as elsewhere
BEAT_S: Final = 2.0  # of the five that count


@dataclass
class PublisherDesk:
    """What a press meets. `press`: (sale, user, answer) → the bytes of an HTTP answer."""

    board: LiveSales
    intake: Intake

    async def press(self, sale_id: int, user_id: int, body: bytes) -> bytes:
        asked = _Asked(asyncio.get_running_loop().create_future())
        live = self.board.by_path.get(PATH % sale_id)
        at_once = self.intake.press(live, b"%d" % user_id, body, asked, 0)
        return at_once if at_once is not None else await asked.told


@dataclass
class _Asked:
    """Implements publisher.sale_queue.Asker."""

    told: "asyncio.Future[bytes]"

    def answer(self, number: int, response: bytes) -> None:
        if not self.told.done():
            self.told.set_result(response)


@dataclass
class ApiDesk:
    """What the API's routes call."""

    query: Query
    checkout: Checkout
    release: Release
    extension: Extension
    manage: Manage
    parking: Parking


async def wired(process: Process) -> Wiring:
    """As `bootstrap.wiring.wire`, on the laboratory's servers."""
    world, link = process.world, process.link
    settings = world.settings
    store = LabStore(world.store, link)
    clock = StoreClock(
        store.now_ms,
        refresh_s=REFRESH_S,
        step_max_ms=settings.clock_step_max_ms,
        believe_s=settings.clock_believe_s,
    )
    await clock.start()
    broker = process.broker = LabBroker(
        world.broker,
        link,
        prefetch=settings.prefetch,
        reclaim_after_ms=settings.reclaim_after_ms,
        backlog_max=settings.backlog_max,
        log_max_bytes=settings.log_max_bytes,
    )
    drops = functools.partial(world.drops, world.dice.row(f"{process.name} bus"))
    cut_s = functools.partial(world.reach.until, process.name, "store")
    bus = LabBus(world.bus, link, drops, cut_s)
    database = LabDatabase(world.sql, link)
    ledger, tokens = SqlLedger(database), PlainTokens()
    announcer = Announcer(bus, tokens)
    granter = Granter(ledger.sales, ledger.holds, store, broker, announcer, clock)
    release = Release(ledger.sales, ledger.holds, store, granter, announcer, clock)
    beats = LabHeartbeats(world.store, link)
    return Wiring(
        database, ledger, store, beats, clock, broker, bus, tokens, announcer, granter, release
    )


async def publisher(process: Process) -> None:
    core, settings = await wired(process), process.world.settings
    board = LiveSales(core.store, core.broker, core.clock, settings, process.counters)
    batcher = Batcher(core.broker, core.clock, settings, process.counters, ())
    intake = Intake(
        board, batcher, PlainAccess(), core.clock, QUESTION_KEY, settings, process.counters
    )
    await board.refresh()
    await board.read()
    process.parts = PublisherDesk(board, intake)

    async def close() -> None:
        await batcher.drain()
        await batcher.abandon()

    process.closing = close
    await together(board.run(), beat(process, core))


async def consumer(process: Process) -> None:
    core = await wired(process)
    allocator = Allocator(
        core.ledger.sales,
        core.ledger.holds,
        core.store,
        core.granter,
        core.announcer,
        process.counters,
    )
    role = Consumer(
        core.broker, core.ledger.sales, core.store, allocator.handle, process.consumer_name
    )
    process.closing = role.drain
    process.parts = role
    await together(role.follow(), beat(process, core))


async def scheduler(process: Process) -> None:
    core, settings = await wired(process), process.world.settings
    parts = scheduler_parts(process, core)
    role = Scheduler(parts, settings, process.counters)

    process.closing = role.step_down
    process.parts = role
    await together(role.run(), beat(process, core))


def auditor_of(process: Process) -> Auditor:
    world, link = process.world, process.link
    return Auditor(
        SqlLedgerReader(LabDatabase(world.sql, link)),
        LabStoreReader(world.store, link),
        LabQueueReader(world.broker, link),
    )


def scheduler_parts(process: Process, core: Wiring) -> SchedulerParts:
    """As `bootstrap.scheduler`."""
    settings, ledger = process.world.settings, core.ledger
    owner = f"{process.name}-{process.start_number}"
    control = control_of(core, SqlCatalogue(core.database), settings, owner)
    watch = ClockWatch(
        ledger.sales, control, core.clock, settings.lease_ms, settings.clock_step_max_ms
    )
    auditor = auditor_of(process)
    settlement = Settlement(
        ledger.sales,
        ledger.audits,
        core.store,
        core.broker,
        auditor,
        Inspector(auditor, ledger.audits, core.clock, owner),
        control,
        core.clock,
        settings.confirm_timeout_ms + SETTLE_MARGIN_MS,
        watch,
    )
    return SchedulerParts(
        ledger=ledger,
        store=core.store,
        broker=core.broker,
        clock=core.clock,
        heartbeats=core.heartbeats,
        release=core.release,
        checkout=checkout_of(core, LabPayments(process.world.provider, process.link)),
        promoter=Promoter(core.store, core.granter, core.announcer),
        control=control,
        settlement=settlement,
        watch=watch,
        mail_queue=mail_queue_of(core, settings, None, {}),
        owner=owner,
        checks={},
    )


async def api(process: Process) -> None:
    core, settings = await wired(process), process.world.settings
    ledger, clock = core.ledger, core.clock
    catalogue = SqlCatalogue(core.database)
    owner = f"{process.name}-{process.start_number}"
    control = control_of(core, catalogue, settings, owner)
    sales, holds, trail = ledger.sales, ledger.holds, SqlTrail(core.database)
    process.parts = ApiDesk(
        query=Query(sales, holds, ledger.orders, core.store, core.tokens, clock),
        checkout=checkout_of(core, LabPayments(process.world.provider, process.link)),
        release=core.release,
        extension=Extension(sales, holds, core.granter, clock, settings.extend_by_s),
        manage=Manage(catalogue, trail, control, clock),
        parking=Parking(ledger.outbox, core.broker, trail, clock),
    )
    process.closing = control.close_down
    await asyncio.get_running_loop().create_future()


async def mailer(process: Process) -> None:
    core, settings = await wired(process), process.world.settings
    sender = LabMailer(process.world.mail, process.link)
    queue = mail_queue_of(core, settings, sender, process.counters)
    process.parts = queue
    await together(core.broker.mails(process.consumer_name, queue.deliver), beat(process, core))


async def beat(process: Process, core: Wiring) -> None:
    """As serving.process beats."""
    while True:
        beat = Heartbeat(
            process.role,
            str(process.number),
            process.start_number,
            core.clock.now_ms(),
            dict(process.counters),
            dict(process.watching),
        )
        with contextlib.suppress(Fault):
            await core.heartbeats.beat(beat)
        await asyncio.sleep(BEAT_S)


async def together(*work: Any) -> None:
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one)
