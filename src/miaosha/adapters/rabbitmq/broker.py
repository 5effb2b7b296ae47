"""Broker: RabbitMQ 3.10 or newer, with quorum queues, confirms, and a stream as the log.

`topology` names its queues. A batch whose confirm was lost is sent again until its fate is known. A
broker that died in the middle may have it in the log alone.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import msgspec
import structlog
from pamqp.commands import Basic

from miaosha.adapters.rabbitmq import stream_log as request_log
from miaosha.adapters.rabbitmq.link import Link, NoQueue
from miaosha.adapters.rabbitmq.parked import RabbitParkingLot
from miaosha.adapters.rabbitmq.pressure import QuorumGauge
from miaosha.adapters.rabbitmq.quorum_reader import QuorumReader
from miaosha.adapters.rabbitmq.reminders import RabbitReminders
from miaosha.adapters.rabbitmq.topology import (
    EXCHANGE,
    MAIL,
    MAIL_MAX,
    SETTLE_S,
    count,
    drop_sale,
    key_of,
    log_of,
    make,
    make_sale,
    publish,
    requests_of,
)
from miaosha.domain.errors import DependencyDown, Fault, OutcomeUnknown, Overloaded
from miaosha.domain.messages import (
    Batch,
    MailJob,
    MalformedMessage,
    decode_batch,
    decode_mail,
    encode_batch,
)
from miaosha.ports.broker import (
    BatchHandler,
    MailHandler,
    Parked,
    Pressure,
    Reminder,
    ReminderHandler,
)

UNKNOWN_MAX: Final = 256  # batches kept whose confirm was lost; the oldest goes
MAILS_AT_ONCE: Final = 8  # so that their reads and marks in the ledger share a transaction
AGAIN_S: Final = 0.2  # before a batch is tried again

log = structlog.get_logger()


class RabbitBroker:
    """Implements ports/broker.Broker.

    Args:
        url: amqp:// or amqps://; see `Link`.
        now_ms: Unix ms, for the time of parking.
        backlog_max: batches a sale's queue may hold before it reads `full`.
        log_max_bytes: bytes a sale's log may take (as estimated) before it reads `full`.
        prefetch: batches handed to a consumer's handler at most.
        confirm_timeout_ms: how long `publish` waits for the broker's confirm.
        settle_s: seconds a new sale's queue is given before it is used; see `make_sale`.
    """

    def __init__(
        self,
        url: str,
        *,
        now_ms: Callable[[], int],
        backlog_max: int = 20_000,
        log_max_bytes: int = 2_000_000_000,
        prefetch: int = 16,
        confirm_timeout_ms: int = 5_000,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._link = Link(url)
        self._prefetch = prefetch
        self._settle_s = settle_s
        self._confirm_s = confirm_timeout_ms / 1000
        self._gauge = QuorumGauge(self._link, backlog_max, log_max_bytes)
        self._parking = RabbitParkingLot(self._link, now_ms)
        self._reminding = Link(url)
        self._reminders = RabbitReminders(self._link, self._reminding)
        self._unknown: deque[tuple[int, str, bytes]] = deque(maxlen=UNKNOWN_MAX)
        self._asked_on: object = None  # the connection on which `_logs_up` was learnt
        self._logs_up: set[int] = set()
        self._settling: asyncio.Task[None] | None = None

    async def ping(self) -> None:
        async with self._link.channel():
            pass

    async def open(self, sale_id: int) -> None:
        await make_sale(self._link, sale_id, self._settle_s)

    async def drop(self, sale_id: int) -> None:
        await drop_sale(self._link, sale_id)

    async def close(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
            await asyncio.wait({self._settling})
        await self._gauge.close()
        await self._reminding.close()
        await self._link.close()

    # publishing

    async def publish(self, batch: Batch) -> None:
        """Never makes a queue. Raises DependencyDown for one that was not opened, or is dropped."""
        sale_id, raw = batch.sale_id, encode_batch(batch)
        self._gauge.see(len(raw))
        try:
            await self._send(sale_id, batch.batch_id, raw)
        except OutcomeUnknown:
            self._unknown.append((sale_id, batch.batch_id, raw))
            if self._settling is None or self._settling.done():
                self._settling = asyncio.create_task(self._settle(), name="unknown-batches")
            raise

    async def _send(self, sale_id: int, batch_id: str, raw: bytes) -> None:
        await self._log_is_up(sale_id)
        properties = Basic.Properties(message_id=batch_id)
        await self._link.publish(
            raw,
            key_of(sale_id),
            exchange=EXCHANGE,
            timeout_s=self._confirm_s,
            properties=properties,
        )

    async def _log_is_up(self, sale_id: int) -> None:
        """A server that has just started confirms what is meant for its streams before they are up,
        and they never get it. So every connection asks for the log before the first batch.

        Raises:
            DependencyDown: it is not up, or was never made.
        """
        connection = await self._link.connection()
        if connection is not self._asked_on:
            self._asked_on, self._logs_up = connection, set()
        if sale_id not in self._logs_up:
            await count(self._link, log_of(sale_id))
            self._logs_up.add(sale_id)

    async def _settle(self) -> None:
        """Send again what may be there or not, until it is there, or nothing takes it any more."""
        await asyncio.sleep(AGAIN_S)
        while self._unknown:
            sale_id, batch_id, raw = self._unknown[0]
            try:
                await self._send(sale_id, batch_id, raw)
            except NoQueue:
                pass
            except Fault:
                await asyncio.sleep(AGAIN_S)
                continue
            with contextlib.suppress(ValueError):  # pushed out meanwhile
                self._unknown.remove((sale_id, batch_id, raw))

    # consuming

    async def consume(self, sale_id: int, consumer: str, handler: BatchHandler) -> None:
        def decode(raw: bytes) -> Batch:
            self._gauge.see(len(raw))
            batch = decode_batch(raw)
            if batch.sale_id != sale_id:
                raise MalformedMessage(f"a batch of sale {batch.sale_id}")
            return batch

        reader = QuorumReader(
            self._link,
            requests_of(sale_id),
            consumer,
            prefetch=self._prefetch,
            decode=decode,
            park=self._parking.park,
        )
        await reader.run(handler)

    async def replay(self, sale_id: int, until_batch_id: str) -> AsyncIterator[Batch]:
        """Skips what cannot be decoded.

        Raises:
            DependencyDown: the broker is away, or the log ended before the marker.
        """
        stream = log_of(sale_id)
        async with contextlib.aclosing(request_log.read(self._link, stream)) as bodies:
            async for raw in bodies:
                try:
                    batch = decode_batch(raw)
                except MalformedMessage:
                    continue
                if batch.batch_id == until_batch_id:
                    return
                yield batch
        raise DependencyDown(f"broker: {stream} ended before its marker")

    async def pressure(self, sale_id: int) -> Pressure:
        return await self._gauge.read(sale_id, exact=True)

    async def full(self, sale_ids: Sequence[int]) -> set[int]:
        read = [await self._gauge.read(sale_id, exact=False) for sale_id in sale_ids]
        return {id_ for id_, pressure in zip(sale_ids, read, strict=True) if pressure.full}

    # reminders, mails, parked messages

    async def remind(self, reminders: Sequence[Reminder], after_s: float) -> None:
        await self._reminders.add(reminders, after_s)

    async def reminders(self, handler: ReminderHandler) -> None:
        await self._reminders.deliver(handler, self._parking.park)

    async def send_mail(self, jobs: Sequence[MailJob]) -> None:
        """Raises Overloaded("mail_queue_max") when too many wait already."""
        if not jobs:
            return
        try:
            waiting = (await count(self._link, MAIL.name)).ready
        except NoQueue:
            await make(self._link, MAIL)
            waiting = 0
        if waiting + len(jobs) > MAIL_MAX:
            raise Overloaded("mail_queue_max")
        await asyncio.gather(
            *(publish(self._link, MAIL, msgspec.msgpack.encode(job)) for job in jobs)
        )

    async def mails(self, consumer: str, handler: MailHandler) -> None:
        """MAILS_AT_ONCE are handled at once and acknowledged together. Of a mailer that died they
        come again. Those the ledger knows as sent are not sent again. Some of the others may have
        left already, and come twice under one Message-ID."""
        group: Sequence[MailJob] = ()  # in hand: the same comes again while one of it fails
        handled: set[MailJob] = set()

        async def one(job: MailJob) -> None:
            await handler(job)
            handled.add(job)

        async def each(jobs: Sequence[MailJob]) -> None:
            nonlocal group
            if jobs is not group:
                group = jobs
                handled.clear()
            left = [job for job in dict.fromkeys(jobs) if job not in handled]
            answers = await asyncio.gather(*map(one, left), return_exceptions=True)
            for error in answers:  # only now: none is handled twice at once
                if error is not None:
                    raise error

        reader = QuorumReader(
            self._link,
            MAIL,
            consumer,
            prefetch=MAILS_AT_ONCE,
            decode=decode_mail,
            park=self._parking.park,
        )
        await reader.run(each)

    async def parked(self, limit: int = 100) -> list[Parked]:
        return await self._parking.newest(limit)

    async def count_parked(self) -> int:
        return await self._parking.count()

    async def redrive(self, parked_id: str) -> bool:
        return await self._parking.redrive(parked_id)
