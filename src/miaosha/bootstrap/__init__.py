"""The one place where URLs become adapters: one context manager per role, which opens exactly what
the role needs, wires the use cases and closes everything in reverse order.
"""

import os
import secrets
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from miaosha.bootstrap.auditing import open_auditor
from miaosha.bootstrap.examining import refuse_unfit
from miaosha.bootstrap.opening import Core, Opening, open_core
from miaosha.bootstrap.parts import (
    ApiParts,
    ConsumerParts,
    GatewayParts,
    MailerParts,
    PublisherParts,
    SchedulerParts,
)
from miaosha.ports.catalogue import Catalogue
from miaosha.ports.payments import Payments
from miaosha.ports.rebuilding import HoldTimes
from miaosha.settings import Settings

if TYPE_CHECKING:
    from miaosha.usecases.audit import Auditor
    from miaosha.usecases.checkout import Checkout
    from miaosha.usecases.control import Control
    from miaosha.usecases.mail_queue import Post

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


def _checkout(core: Core, payments: Payments) -> "Checkout":
    from miaosha.usecases.checkout import Checkout

    ledger = core.ledger
    return Checkout(
        ledger.holds,
        ledger.attempts,
        ledger.orders,
        payments,
        core.tokens,
        core.release,
        core.announcer,
        core.clock,
    )


def _payments(core: Core, settings: Settings) -> Payments:
    from miaosha.adapters.payments import open_payments

    return open_payments(
        settings.payments_url,
        core.database,
        core.clock,
        settings.secret_keys,
        settings.public_url,
    )


def _control(core: Core, catalogue: Catalogue, settings: Settings, owner: str) -> "Control":
    from miaosha.usecases.control import Control
    from miaosha.usecases.rebuild import Rebuilder

    times = HoldTimes(settings.extend_by_s, settings.payment_max_s)
    ledger = core.ledger
    rebuilder = Rebuilder(
        ledger.leases,
        ledger.rebuilds,
        ledger.holds,
        core.store,
        core.broker,
        core.clock,
        owner,
        times,
    )
    return Control(
        ledger.sales,
        ledger.holds,
        core.store,
        catalogue,
        core.granter,
        core.announcer,
        rebuilder,
        core.heartbeats,
        core.clock,
        settings.live_sales_max,
    )


async def _auditor(settings: Settings, stack: AsyncExitStack) -> "Auditor":
    opened = open_auditor(settings.redis_url, settings.broker_url, settings.database_url)
    return await stack.enter_async_context(opened)


@asynccontextmanager
async def publisher(settings: Settings) -> AsyncIterator[PublisherParts]:
    from miaosha.adapters.access_tokens import AccessTokens
    from miaosha.adapters.keyring import Keyring

    async with AsyncExitStack() as stack:
        await refuse_unfit(settings, sql=False)
        opened = Opening(settings, stack)
        store, heartbeats, clock, _ = await opened.store()
        ring = Keyring.parse(settings.secret_keys)
        yield PublisherParts(
            store, opened.broker(), clock, AccessTokens(ring), ring.question_key(), heartbeats
        )


@asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[GatewayParts]:
    from miaosha.adapters.access_tokens import AccessTokens
    from miaosha.adapters.keyring import Keyring

    async with AsyncExitStack() as stack:
        await refuse_unfit(settings, sql=False)
        opened = Opening(settings, stack)
        store, heartbeats, clock, _ = await opened.store()
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
    from miaosha.usecases.allocate import Allocator

    async with AsyncExitStack() as stack:
        await refuse_unfit(settings)
        opened = Opening(settings, stack, settings.sql_connections_consumer)
        core = await open_core(opened)
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
    from miaosha.adapters.mail import open_mailer

    async with AsyncExitStack() as stack:
        await refuse_unfit(settings)
        opened = Opening(settings, stack, settings.sql_connections_mailer)
        core = await open_core(opened)
        letters = open_mailer(settings, core.clock)
        stack.push_async_callback(letters.close)
        yield MailerParts(
            core.broker,
            core.clock,
            core.heartbeats,
            _post(core, settings, letters, counters),
            opened.checks,
        )


def _post(core: Core, settings: Settings, letters: Any, counters: Any) -> "Post":
    from miaosha.usecases.mail_queue import Post

    return Post(
        core.ledger.outbox,
        core.broker,
        letters,
        core.clock,
        settings.mail_attempts_max,
        settings.public_url,
        counters,
    )


@asynccontextmanager
async def scheduler(settings: Settings, instance: str) -> AsyncIterator[SchedulerParts]:
    from miaosha.adapters.sql.catalogue import SqlCatalogue
    from miaosha.usecases.clock_watch import ClockWatch
    from miaosha.usecases.inspect import Inspector
    from miaosha.usecases.promote import Promoter
    from miaosha.usecases.settlement import Settlement

    async with AsyncExitStack() as stack:
        await refuse_unfit(settings)
        opened = Opening(settings, stack, settings.sql_connections_scheduler)
        core = await open_core(opened)
        owner = _owner("scheduler", instance)
        control = _control(core, SqlCatalogue(core.database), settings, owner)
        watch = ClockWatch(
            core.ledger.sales, control, core.clock, settings.lease_ms, settings.clock_step_max_ms
        )
        auditor = await _auditor(settings, stack)
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
            checkout=_checkout(core, _payments(core, settings)),
            promoter=Promoter(core.store, core.granter, core.announcer),
            control=control,
            settlement=settlement,
            watch=watch,
            post=_post(core, settings, None, {}),
            owner=owner,
            checks=opened.checks,
        )


@asynccontextmanager
async def api(settings: Settings, instance: str = "0") -> AsyncIterator[ApiParts]:
    from miaosha.adapters.files import open_files
    from miaosha.adapters.passwords import Argon2Passwords
    from miaosha.adapters.sql.accounts import SqlAccounts
    from miaosha.adapters.sql.backoffice import SqlOffice
    from miaosha.adapters.sql.catalogue import SqlCatalogue
    from miaosha.adapters.sql.trail import SqlTrail
    from miaosha.usecases.extend import Extension
    from miaosha.usecases.inspect import Inspector
    from miaosha.usecases.parked import Parking
    from miaosha.usecases.query import Query

    async with AsyncExitStack() as stack:
        await refuse_unfit(settings)
        opened = Opening(settings, stack, settings.sql_connections_api)
        core = await open_core(opened)
        ledger, catalogue = core.ledger, SqlCatalogue(core.database)
        payments = _payments(core, settings)
        passwords = Argon2Passwords(settings.password_queue_max)
        stack.callback(passwords.close)
        auditor = await _auditor(settings, stack)
        owner, trail = _owner("api", instance), SqlTrail(core.database)
        yield ApiParts(
            ledger=core.ledger,
            store=core.store,
            broker=core.broker,
            bus=core.bus,
            clock=core.clock,
            tokens=core.tokens,
            passwords=passwords,
            accounts=SqlAccounts(core.database),
            catalogue=catalogue,
            trail=trail,
            office=SqlOffice(core.database),
            files=open_files(settings),
            payments=payments,
            heartbeats=core.heartbeats,
            query=Query(
                ledger.sales, ledger.holds, ledger.orders, core.store, core.tokens, core.clock
            ),
            checkout=_checkout(core, payments),
            release=core.release,
            extension=Extension(
                ledger.sales, ledger.holds, core.granter, core.clock, settings.extend_by_s
            ),
            auditor=auditor,
            inspector=Inspector(auditor, core.ledger.audits, core.clock, owner),
            parking=Parking(core.ledger.outbox, core.broker, trail, core.clock),
            control=_control(core, catalogue, settings, owner),
            checks=opened.checks,
        )
