"""Broker: the laboratory's implementation of the broker's port, and of the audit's look at it."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from miaosha.domain.messages import Batch, MailJob
from miaosha.ports.auditing import Log
from miaosha.ports.broker import (
    BatchHandler,
    Broker,
    MailHandler,
    Parked,
    Pressure,
    Reminder,
    ReminderHandler,
)
from tests.lab.broker_audit import open_single, open_stream
from tests.lab.broker_barriers import BarrierQuestions
from tests.lab.broker_options import BrokerOptions
from tests.lab.broker_server import BrokerServer
from tests.lab.broker_single import SingleServer
from tests.lab.broker_single_client import SingleClient
from tests.lab.broker_streams_client import StreamsClient
from tests.lab.link import Link

MAIL_MAX: Final = 100_000  # mails queued at most
SETTLE_S: Final = 2.0


class LabBroker:
    """Implements ports/broker.Broker: one process's client of a BrokerServer, of either kind.

    Args:
        backlog_max: batches a sale's queue may hold before it reads `full`.
        log_max_bytes: bytes a sale's log may take before it reads `full`.
        prefetch: batches handed to a consumer's handler at most.
        reclaim_after_ms: of streams: what a consumer has not acknowledged for so long is taken.
        settle_s: of `single`: seconds a new sale's queue is given before it is used.
    """

    def __init__(
        self,
        server: BrokerServer,
        link: Link,
        *,
        backlog_max: int = 20_000,
        log_max_bytes: int = 2_000_000_000,
        prefetch: int = 16,
        reclaim_after_ms: int = 5_000,
        settle_s: float = SETTLE_S,
    ) -> None:
        options = BrokerOptions(
            backlog_max, log_max_bytes, prefetch, reclaim_after_ms, settle_s, lambda: MAIL_MAX
        )
        inside = server.inside
        self._client: Broker
        if isinstance(inside, SingleServer):
            self._client = SingleClient(inside, link, options, self)
        else:
            self._client = StreamsClient(inside, link, options)

    async def ping(self) -> None:
        await self._client.ping()

    async def open(self, sale_id: int) -> None:
        await self._client.open(sale_id)

    async def publish(self, batch: Batch) -> None:
        await self._client.publish(batch)

    async def consume(self, sale_id: int, consumer: str, handler: BatchHandler) -> None:
        await self._client.consume(sale_id, consumer, handler)

    def replay(self, sale_id: int, until_batch_id: str) -> AsyncIterator[Batch]:
        return self._client.replay(sale_id, until_batch_id)

    async def pressure(self, sale_id: int) -> Pressure:
        return await self._client.pressure(sale_id)

    async def full(self, sale_ids: Sequence[int]) -> set[int]:
        return await self._client.full(sale_ids)

    async def drop(self, sale_id: int) -> None:
        await self._client.drop(sale_id)

    async def remind(self, reminders: Sequence[Reminder], after_s: float) -> None:
        await self._client.remind(reminders, after_s)

    async def reminders(self, handler: ReminderHandler) -> None:
        await self._client.reminders(handler)

    async def send_mail(self, jobs: Sequence[MailJob]) -> None:
        await self._client.send_mail(jobs)

    async def mails(self, consumer: str, handler: MailHandler) -> None:
        await self._client.mails(consumer, handler)

    async def parked(self, limit: int = 100) -> list[Parked]:
        return await self._client.parked(limit)

    async def count_parked(self) -> int:
        return await self._client.count_parked()

    async def redrive(self, parked_id: str) -> bool:
        return await self._client.redrive(parked_id)

    async def close(self) -> None:
        await self._client.close()


class LabQueueReader:
    """Implements ports/auditing.QueueReader."""

    def __init__(self, server: BrokerServer, link: Link) -> None:
        self._inside = server.inside
        self._link = link
        self._questions: BarrierQuestions | None = None
        if isinstance(self._inside, SingleServer):
            self._questions = BarrierQuestions(self._inside, link, "queue")

    async def open(self, sale_id: int) -> Log | None:
        if isinstance(self._inside, SingleServer):
            assert self._questions is not None
            return await open_single(self._inside, self._link, self._questions, sale_id)
        return await open_stream(self._inside, self._link, sale_id)
