"""Single client: the broker port on the laboratory's single server, as adapters/rabbitmq/broker is.

A batch whose confirm was lost is sent again until its fate is known. So it may stand in the log
twice. What each of several steps of a call leaves undone when it fails is as there, too.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from miaosha.domain.errors import DependencyDown, Fault, OutcomeUnknown, Overloaded, Problem
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
from tests.lab.broker_barriers import BarrierGauge
from tests.lab.broker_mails import MAILS_AT_ONCE, MailGroup
from tests.lab.broker_options import BrokerOptions, batch_of
from tests.lab.broker_shelf import QueueMissing
from tests.lab.broker_single import MAIL_NAME, SingleServer, log_name, queue_name
from tests.lab.broker_single_log import read_log, write_mark
from tests.lab.broker_single_reader import SessionReader
from tests.lab.broker_waits import WaitQueues
from tests.lab.link import Link

UNKNOWN_MAX: Final = 256  # batches kept whose confirm was lost; the oldest goes
AGAIN_S: Final = 0.2  # before a batch is tried again


class SingleClient:
    """Implements ports/broker.Broker. Args: owner: whom the server disconnects with it."""

    def __init__(
        self, server: SingleServer, link: Link, options: BrokerOptions, owner: object
    ) -> None:
        self._server = server
        self._link = link
        self._options = options
        self._owner = owner
        self._gauge = BarrierGauge(server, link, options)
        self._waits = WaitQueues(server, link, owner)
        self._unknown: deque[Batch] = deque(maxlen=UNKNOWN_MAX)
        self._generation = server.generation
        self._logs_up: dict[int, None] = {}
        self._settling: asyncio.Task[None] | None = None

    async def ping(self) -> None:
        await self._link("broker.ping", lambda: None)

    async def open(self, sale_id: int) -> None:
        """Nothing is confirmed before both are bound, `settle_s` after they were made."""
        server, queue, log = self._server, queue_name(sale_id), log_name(sale_id)
        await self._link("broker.open", lambda: server.make(queue))
        if not await self._link("broker.open_log", lambda: server.make_log(log)):
            await asyncio.sleep(self._options.settle_s)
        await self._link("broker.bind", lambda: server.bind(queue))
        await self._link("broker.bind_log", lambda: server.bind_log(log))

    async def drop(self, sale_id: int) -> None:
        await self._link("broker.drop", lambda: self._server.drop(queue_name(sale_id)))
        await self._link("broker.drop_log", lambda: self._server.drop_log(log_name(sale_id)))

    async def close(self) -> None:
        """Without its link: a connection that ends is noticed by the server."""
        if self._settling is not None:
            self._settling.cancel()
            await asyncio.wait({self._settling})
        self._gauge.close()
        self._server.disconnect(self._owner)

    # publishing

    async def publish(self, batch: Batch) -> None:
        self._gauge.see(len(encode_batch(batch)))
        try:
            await self._send(batch)
        except OutcomeUnknown:
            self._unknown.append(batch)
            if self._settling is None or self._settling.done():
                self._settling = asyncio.create_task(self._settle(), name="unknown-batches")
            raise

    async def _send(self, batch: Batch) -> None:
        server, sale_id, raw = self._server, batch.sale_id, encode_batch(batch)
        if self._generation != server.generation:
            self._generation, self._logs_up = server.generation, {}
        if sale_id not in self._logs_up:
            await self._link("broker.find_log", lambda: server.log(log_name(sale_id)))
            self._logs_up[sale_id] = None
        await self._link("broker.publish", lambda: server.route(sale_id, raw), lost=OutcomeUnknown)

    async def _settle(self) -> None:
        """Send again what may be there or not, until it is there, or nothing takes it any more."""
        await asyncio.sleep(AGAIN_S)
        while self._unknown:
            batch = self._unknown[0]
            try:
                await self._send(batch)
            except QueueMissing:
                pass
            except Fault:
                await asyncio.sleep(AGAIN_S)
                continue
            with contextlib.suppress(ValueError):  # pushed out meanwhile
                self._unknown.remove(batch)

    # consuming

    async def consume(self, sale_id: int, consumer: str, handler: BatchHandler) -> None:
        def decode(raw: bytes) -> Batch:
            self._gauge.see(len(raw))
            return batch_of(sale_id, raw)

        reader = SessionReader(
            self._server,
            self._link,
            self._owner,
            queue_name(sale_id),
            consumer,
            made=False,
            prefetch=self._options.prefetch,
            decode=decode,
        )
        await reader.run(handler)

    async def replay(self, sale_id: int, until_batch_id: str) -> AsyncIterator[Batch]:
        server, link, log = self._server, self._link, log_name(sale_id)
        mark = await write_mark(server, link, "broker", log)
        async with contextlib.aclosing(read_log(server, link, "broker", log, mark)) as bodies:
            async for raw in bodies:
                try:
                    batch = decode_batch(raw)
                except MalformedMessage:
                    continue
                if batch.batch_id == until_batch_id:
                    return
                yield batch
        raise DependencyDown(f"broker: {log} ended before its marker")

    async def pressure(self, sale_id: int) -> Pressure:
        return await self._gauge.read(sale_id, exact=True)

    async def full(self, sale_ids: Sequence[int]) -> set[int]:
        read = [await self._gauge.read(sale_id, exact=False) for sale_id in sale_ids]
        return {id_ for id_, pressure in zip(sale_ids, read, strict=True) if pressure.full}

    # reminders, mails, parked messages

    async def remind(self, reminders: Sequence[Reminder], after_s: float) -> None:
        await self._waits.add(reminders, after_s)

    async def reminders(self, handler: ReminderHandler) -> None:
        await self._waits.deliver(handler)

    async def send_mail(self, jobs: Sequence[MailJob]) -> None:
        """Each is a message of its own: some may be there when one of them fails."""
        if not jobs:
            return
        waiting = await self._link("broker.count_mail", self._waiting_mails)
        if waiting + len(jobs) > self._options.mail_max():
            raise Overloaded("mail_queue_max")
        await asyncio.gather(*map(self._send_mail, jobs))

    def _waiting_mails(self) -> int:
        self._server.make(MAIL_NAME)
        return self._server.count(MAIL_NAME).ready

    async def _send_mail(self, job: MailJob) -> None:
        raw = msgspec.msgpack.encode(job)
        await self._link(
            "broker.send_mail", lambda: self._server.put(MAIL_NAME, raw), lost=OutcomeUnknown
        )

    async def mails(self, consumer: str, handler: MailHandler) -> None:
        reader = SessionReader(
            self._server,
            self._link,
            self._owner,
            MAIL_NAME,
            consumer,
            made=True,
            prefetch=MAILS_AT_ONCE,
            decode=decode_mail,
        )
        await reader.run(MailGroup(handler))

    async def parked(self, limit: int = 100) -> list[Parked]:
        return await self._link("broker.parked", lambda: self._server.shelf.newest(limit))

    async def count_parked(self) -> int:
        return await self._link("broker.count_parked", lambda: len(self._server.shelf))

    async def redrive(self, parked_id: str) -> bool:
        """Into the queue, not the log. What fails in the middle puts it back twice."""
        shelf = self._server.shelf
        found = await self._link("broker.parked", lambda: shelf.find(parked_id))
        if found is None:
            return False
        queue, raw = found.parked.queue, found.parked.raw
        if found.size > len(raw):
            raise Problem("conflict", "Only the beginning of this message was kept.")
        try:
            await self._link(
                "broker.redrive", lambda: self._server.put(queue, raw), lost=OutcomeUnknown
            )
        except QueueMissing:
            raise Problem(
                "conflict", "The queue of this message does not exist any more."
            ) from None
        await self._link("broker.forget_parked", lambda: shelf.remove(parked_id))
        return True
