"""Parts: what bootstrap gives each role: opened ports and the use cases over them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from miaosha.ports.accounts import Accounts
from miaosha.ports.backoffice import Backoffice
from miaosha.ports.broker import Broker
from miaosha.ports.bus import Bus
from miaosha.ports.catalogue import Catalogue
from miaosha.ports.clock import Clock
from miaosha.ports.files import Files
from miaosha.ports.heartbeats import Heartbeats
from miaosha.ports.ledger import Ledger
from miaosha.ports.passwords import Passwords
from miaosha.ports.payments import Payments
from miaosha.ports.pictures import Pictures
from miaosha.ports.store import StockStore
from miaosha.ports.tokens import Tokens
from miaosha.ports.trail import Trail
from miaosha.serving.readiness import Checks

if TYPE_CHECKING:  # a publisher or gateway never loads the use cases
    from miaosha.adapters.access_tokens import AccessTokens
    from miaosha.usecases.allocate import Allocator
    from miaosha.usecases.audit import Auditor
    from miaosha.usecases.checkout import Checkout
    from miaosha.usecases.clock_watch import ClockWatch
    from miaosha.usecases.control import Control
    from miaosha.usecases.extend import Extension
    from miaosha.usecases.inspect import Inspector
    from miaosha.usecases.mail_queue import MailQueue
    from miaosha.usecases.parked import Parking
    from miaosha.usecases.promote import Promoter
    from miaosha.usecases.query import Query
    from miaosha.usecases.release import Release
    from miaosha.usecases.settlement import Settlement


@dataclass
class PublisherParts:
    store: StockStore
    broker: Broker
    clock: Clock
    access_tokens: "AccessTokens"
    question_key: bytes
    heartbeats: Heartbeats


@dataclass
class GatewayParts:
    store: StockStore
    bus: Bus
    clock: Clock
    access_tokens: "AccessTokens"
    question_key: bytes
    heartbeats: Heartbeats
    checks: Checks


@dataclass
class ConsumerParts:
    ledger: Ledger
    store: StockStore
    broker: Broker
    clock: Clock
    heartbeats: Heartbeats
    allocator: "Allocator"
    checks: Checks


@dataclass
class MailerParts:
    broker: Broker
    clock: Clock
    heartbeats: Heartbeats
    mail_queue: "MailQueue"
    checks: Checks


@dataclass
class SchedulerParts:
    ledger: Ledger
    store: StockStore
    broker: Broker
    clock: Clock
    heartbeats: Heartbeats
    release: "Release"
    checkout: "Checkout"
    promoter: "Promoter"
    control: "Control"
    settlement: "Settlement"
    watch: "ClockWatch"
    mail_queue: "MailQueue"
    owner: str
    checks: Checks


@dataclass
class ApiParts:
    """Also what the command line works with."""

    ledger: Ledger
    store: StockStore
    broker: Broker
    bus: Bus
    clock: Clock
    tokens: Tokens
    passwords: Passwords
    accounts: Accounts
    catalogue: Catalogue
    trail: Trail
    backoffice: Backoffice
    files: Files
    pictures: Pictures
    payments: Payments
    heartbeats: Heartbeats
    query: "Query"
    checkout: "Checkout"
    release: "Release"
    extension: "Extension"
    auditor: "Auditor"
    inspector: "Inspector"
    parking: "Parking"
    control: "Control"
    checks: Checks
