"""Bootstrap: the one place where URLs become adapters. Each role has a context manager, which opens
what the role needs, wires the use cases, and closes everything in reverse order.

Every opener raises SettingsError for a bad setting and, with `strict`, for an unfit server.

Reading order: `parts` (what a role is given), `opening`, `wiring`, `examining`; then `auditing`,
`servers`.
"""

import os
import secrets
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager

from miaosha.bootstrap.examining import refuse_unfit
from miaosha.bootstrap.opening import Opening
from miaosha.bootstrap.parts import (
    ApiParts,
    ConsumerParts,
    GatewayParts,
    MailerParts,
    PublisherParts,
    SchedulerParts,
)
from miaosha.bootstrap.wiring import (
    auditor_of,
    checkout_of,
    control_of,
    mail_queue_of,
    payments_of,
    wire,
)
from miaosha.settings import Settings

__all__ = [
    "ApiParts",
    "ConsumerParts",
    "GatewayParts",
    "MailerParts",
    "PublisherParts",
    "SchedulerParts",
    "api",
    "consumer",
    "gateway",
    "mailer",
    "publisher",
    "scheduler",
]

SETTLE_MARGIN_MS = 1_000  # beside confirm_timeout_ms, before a drained sale is settled


def _owner(role: str, instance: str) -> str:
    return f"{role}-{instance}-{os.getpid()}-{secrets.token_hex(4)}"


@asynccontextmanager
async def publisher(settings: Settings) -> AsyncIterator[PublisherParts]:
    """The store, the broker and what verifies access tokens. No SQL."""
    from miaosha.adapters.access_tokens import AccessTokens
    from miaosha.adapters.keyring import Keyring

    async with AsyncExitStack() as stack:
        await refuse_unfit(settings, sql=False)
        opened = Opening(settings, stack)
        store, heartbeats, clock = await opened.store()
        ring = Keyring.parse(settings.secret_keys)
        yield PublisherParts(
            store, opened.broker(), clock, AccessTokens(ring), ring.question_key(), heartbeats
        )


@asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[GatewayParts]:
    """The store, the bus and what verifies access tokens. No SQL and no broker."""
    from miaosha.adapters.access_tokens import AccessTokens
    from miaosha.adapters.keyring import Keyring

    async with AsyncExitStack() as stack:
        await refuse_unfit(settings, sql=False)
        opened = Opening(settings, stack)
        store, heartbeats, clock = await opened.store()
        ring = Keyring.parse(settings.secret_keys)
        bus = opened.bus()
        opened.checks = {"bus": bus.ping}  # the store is known by its board
        yield GatewayParts(
            store, bus, clock, AccessTokens(ring), ring.question_key(), heartbeats, opened.checks
        )


@asynccontextmanager
async def consumer(
    settings: Settings, counters: MutableMapping[str, float]
) -> AsyncIterator[ConsumerParts]:
    """What decides batches and grants holds; the allocator counts into `counters`."""
    from miaosha.usecases.allocate import Allocator

    async with AsyncExitStack() as stack:
        await refuse_unfit(settings)
        opened = Opening(settings, stack, settings.sql_connections_consumer)
        core = await wire(opened)
        sales, holds = core.ledger.sales, core.ledger.holds
        allocator = Allocator(sales, holds, core.store, core.granter, core.announcer, counters)
        yield ConsumerParts(
            core.ledger,
            core.store,
            core.broker,
            core.clock,
            core.heartbeats,
            allocator,
            opened.checks,
        )


@asynccontextmanager
async def mailer(
    settings: Settings, counters: MutableMapping[str, float]
) -> AsyncIterator[MailerParts]:
    """The mail queue with the mailer of `mail_url`; it counts into `counters`."""
    from miaosha.adapters.mail import open_mailer

    async with AsyncExitStack() as stack:
        await refuse_unfit(settings)
        opened = Opening(settings, stack, settings.sql_connections_mailer)
        core = await wire(opened)
        mailer = open_mailer(settings, core.clock)
        stack.push_async_callback(mailer.close)
        yield MailerParts(
            core.broker,
            core.clock,
            core.heartbeats,
            mail_queue_of(core, settings, mailer, counters),
            opened.checks,
        )


@asynccontextmanager
async def scheduler(settings: Settings, instance: str) -> AsyncIterator[SchedulerParts]:
    """What its duties call; `instance` becomes part of the owner of its leases."""
    from miaosha.adapters.sql.catalogue import SqlCatalogue
    from miaosha.usecases.clock_watch import ClockWatch
    from miaosha.usecases.inspect import Inspector
    from miaosha.usecases.promote import Promoter
    from miaosha.usecases.settlement import Settlement

    async with AsyncExitStack() as stack:
        await refuse_unfit(settings)
        opened = Opening(settings, stack, settings.sql_connections_scheduler)
        core = await wire(opened)
        owner = _owner("scheduler", instance)
        control = control_of(core, SqlCatalogue(core.database), settings, owner)
        watch = ClockWatch(
            core.ledger.sales, control, core.clock, settings.lease_ms, settings.clock_step_max_ms
        )
        auditor = await auditor_of(settings, stack)
        settlement = Settlement(
            core.ledger.sales,
            core.ledger.audits,
            core.store,
            core.broker,
            auditor,
            Inspector(auditor, core.ledger.audits, core.clock, owner),
            control,
            core.clock,
            settings.confirm_timeout_ms + SETTLE_MARGIN_MS,
            watch,
        )
        yield SchedulerParts(
            ledger=core.ledger,
            store=core.store,
            broker=core.broker,
            clock=core.clock,
            heartbeats=core.heartbeats,
            release=core.release,
            checkout=checkout_of(core, payments_of(core, settings)),
            promoter=Promoter(core.store, core.granter, core.announcer),
            control=control,
            settlement=settlement,
            watch=watch,
            mail_queue=mail_queue_of(core, settings, None, {}),
            owner=owner,
            checks=opened.checks,
        )


@asynccontextmanager
async def api(settings: Settings, instance: str = "0") -> AsyncIterator[ApiParts]:
    """What buyers and admins ask for; `instance` becomes part of the owner of its leases."""
    from miaosha.adapters.files import open_files
    from miaosha.adapters.passwords import Argon2Passwords
    from miaosha.adapters.pictures import WorkerPictures
    from miaosha.adapters.sql.accounts import SqlAccounts
    from miaosha.adapters.sql.backoffice import SqlBackoffice
    from miaosha.adapters.sql.catalogue import SqlCatalogue
    from miaosha.adapters.sql.trail import SqlTrail
    from miaosha.usecases.extend import Extension
    from miaosha.usecases.inspect import Inspector
    from miaosha.usecases.parked import Parking
    from miaosha.usecases.query import Query

    async with AsyncExitStack() as stack:
        await refuse_unfit(settings)
        opened = Opening(settings, stack, settings.sql_connections_api)
        core = await wire(opened)
        ledger, catalogue = core.ledger, SqlCatalogue(core.database)
        sales, holds, payments = ledger.sales, ledger.holds, payments_of(core, settings)
        passwords = Argon2Passwords(settings.password_queue_max)
        stack.callback(passwords.close)
        auditor = await auditor_of(settings, stack)
        owner, trail, clock = _owner("api", instance), SqlTrail(core.database), core.clock
        yield ApiParts(
            ledger=ledger,
            store=core.store,
            broker=core.broker,
            bus=core.bus,
            clock=core.clock,
            tokens=core.tokens,
            passwords=passwords,
            accounts=SqlAccounts(core.database),
            catalogue=catalogue,
            trail=trail,
            backoffice=SqlBackoffice(core.database),
            files=open_files(settings),
            pictures=WorkerPictures(),
            payments=payments,
            heartbeats=core.heartbeats,
            query=Query(sales, holds, ledger.orders, core.store, core.tokens, clock),
            checkout=checkout_of(core, payments),
            release=core.release,
            extension=Extension(sales, holds, core.granter, clock, settings.extend_by_s),
            auditor=auditor,
            inspector=Inspector(auditor, core.ledger.audits, core.clock, owner),
            parking=Parking(core.ledger.outbox, core.broker, trail, core.clock),
            control=control_of(core, catalogue, settings, owner),
            checks=opened.checks,
        )
