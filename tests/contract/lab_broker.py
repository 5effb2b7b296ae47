"""Lab rig: what the broker's contract tests need of the laboratory's brokers beyond the port."""

from typing import Any, Final

from miaosha.ports.broker import Broker
from tests.contract.brokers import RECLAIM_MS, SALE
from tests.lab.broker import LabBroker
from tests.lab.broker_server import BrokerServer, Kind
from tests.lab.broker_single import MAIL_NAME, REMINDERS_NAME, SingleServer
from tests.lab.link import straight

COUNTED_S: Final = 0.2  # seconds; shorter than a server's, for tests in real time


class LabRig:
    """Implements tests/contract/brokers.Rig."""

    mail_max = "tests.lab.broker.MAIL_MAX"

    def __init__(self, kind: Kind) -> None:
        self.server = BrokerServer(kind, counted_s=COUNTED_S)
        self.queue = self.server.queue(SALE)
        self.broker: Broker = self.another(backlog_max=10, prefetch=4)

    async def clean(self) -> None:
        """It is new."""

    def another(self, **options: Any) -> LabBroker:
        settings = {"reclaim_after_ms": RECLAIM_MS, "settle_s": 0.0, **options}
        return LabBroker(self.server, straight, **settings)

    async def put(self, raw: bytes) -> None:
        inside = self.server.inside
        if isinstance(inside, SingleServer):
            inside.route(SALE, raw)
        else:
            inside.append(self.queue, raw)

    async def put_odd(self) -> None:
        inside = self.server.inside
        if isinstance(inside, SingleServer):
            inside.route(SALE, b"\x00" * 3)
        else:
            inside.append(self.queue, b"", readable=False)

    async def put_mail(self, raw: bytes) -> None:
        inside = self.server.inside
        if isinstance(inside, SingleServer):
            inside.put(MAIL_NAME, raw)
        else:
            inside.append(MAIL_NAME, raw)

    async def mails(self) -> int:
        inside = self.server.inside
        if isinstance(inside, SingleServer):
            return inside.count(MAIL_NAME).ready if MAIL_NAME in inside.queues else 0
        return inside.waiting_mails()

    async def reminders(self) -> int:
        inside = self.server.inside
        if isinstance(inside, SingleServer):
            queued = REMINDERS_NAME in inside.queues
            return (inside.count(REMINDERS_NAME).ready if queued else 0) + len(inside.waits)
        return len(inside.due_s)

    async def exists(self) -> bool:
        inside = self.server.inside
        known: Any = inside.queues if isinstance(inside, SingleServer) else inside.streams
        return self.queue in known

    async def close(self) -> None:
        await self.broker.close()
