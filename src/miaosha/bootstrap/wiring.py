"""Wiring: the ports and use cases that several roles share, made of what `Opening` opens."""

from collections.abc import MutableMapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from miaosha.bootstrap.auditing import open_auditor
from miaosha.bootstrap.opening import Opening
from miaosha.ports.broker import Broker
from miaosha.ports.bus import Bus
from miaosha.ports.catalogue import Catalogue
from miaosha.ports.clock import StepClock
from miaosha.ports.heartbeats import Heartbeats
from miaosha.ports.ledger import Ledger
from miaosha.ports.mail import Mailer
from miaosha.ports.payments import Payments
from miaosha.ports.rebuilding import HoldTimes
from miaosha.ports.store import StockStore
from miaosha.ports.tokens import Tokens
from miaosha.settings import Settings

if TYPE_CHECKING:
    from miaosha.adapters.sql.database import Database
    from miaosha.usecases.announce import Announcer
    from miaosha.usecases.audit import Auditor
    from miaosha.usecases.checkout import Checkout
    from miaosha.usecases.control import Control
    from miaosha.usecases.grant import Granter
    from miaosha.usecases.mail_queue import MailQueue
    from miaosha.usecases.release import Release


@dataclass
class Wiring:
    """Ports and use cases that several roles work with."""

    database: "Database"
    ledger: Ledger
    store: StockStore
    heartbeats: Heartbeats
    clock: StepClock
    broker: Broker
    bus: Bus
    tokens: Tokens
    announcer: "Announcer"
    granter: "Granter"
    release: "Release"


async def wire(opened: Opening) -> Wiring:
    from miaosha.usecases.announce import Announcer
    from miaosha.usecases.grant import Granter
    from miaosha.usecases.release import Release

    store, heartbeats, clock = await opened.store()
    broker = opened.broker()
    bus = opened.bus()
    database = opened.database()
    ledger = opened.ledger(database)
    tokens = opened.tokens()
    announcer = Announcer(bus, tokens)
    granter = Granter(ledger.sales, ledger.holds, store, broker, announcer, clock)
    release = Release(ledger.sales, ledger.holds, store, granter, announcer, clock)
    return Wiring(
        database, ledger, store, heartbeats, clock, broker, bus, tokens, announcer, granter, release
    )


def checkout_of(core: Wiring, payments: Payments) -> "Checkout":
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


def payments_of(core: Wiring, settings: Settings) -> Payments:
    from miaosha.adapters.payments import open_payments

    return open_payments(
        settings.payments_url, core.database, core.clock, settings.secret_keys, settings.public_url
    )


def control_of(core: Wiring, catalogue: Catalogue, settings: Settings, owner: str) -> "Control":
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


async def auditor_of(settings: Settings, stack: AsyncExitStack) -> "Auditor":
    opened = open_auditor(settings.redis_url, settings.broker_url, settings.database_url)
    return await stack.enter_async_context(opened)


def mail_queue_of(
    core: Wiring, settings: Settings, mailer: Mailer | None, counters: MutableMapping[str, float]
) -> "MailQueue":
    from miaosha.usecases.mail_queue import MailQueue

    return MailQueue(
        core.ledger.outbox,
        core.broker,
        mailer,
        core.clock,
        settings.mail_attempts_max,
        settings.public_url,
        counters,
    )
