"""Streams client: the broker port on the laboratory's streams, as adapters/redis/broker is."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from miaosha.domain.errors import DependencyDown, OutcomeUnknown, Overloaded
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
from tests.lab.broker_options import BrokerOptions, batch_of
from tests.lab.broker_shelf import heard, now_s
from tests.lab.broker_streams import MAIL_KEY, REMINDERS_KEY, StreamsServer, requests_key
from tests.lab.broker_streams_reader import GroupReader
from tests.lab.link import Link

PAGE: Final = 200  # batches read at a time by a replay
POLL_S: Final = 0.1
PAUSE_MAX_S: Final = 1.0
QUIET_S: Final = 60.0  # between two looks for reminders when none is known
_ID = re.compile(r"\d{1,20}-\d{1,20}")


class StreamsClient:
    """Implements ports/broker.Broker."""

    def __init__(self, server: StreamsServer, link: Link, options: BrokerOptions) -> None:
        self._server = server
        self._link = link
        self._options = options

    async def ping(self) -> None:
        await self._link("broker.ping", lambda: None)

    async def open(self, sale_id: int) -> None:
        await self._link("broker.open", lambda: self._server.make(requests_key(sale_id)))

    async def drop(self, sale_id: int) -> None:
        await self._link("broker.drop", lambda: self._server.drop(requests_key(sale_id)))

    async def close(self) -> None:
        """Nothing to close: the server knows consumers by name."""

    async def publish(self, batch: Batch) -> None:
        key, raw = requests_key(batch.sale_id), encode_batch(batch)
        await self._link(
            "broker.publish", lambda: self._server.append(key, raw), lost=OutcomeUnknown
        )

    async def consume(self, sale_id: int, consumer: str, handler: BatchHandler) -> None:
        reader = GroupReader(
            self._server,
            self._link,
            requests_key(sale_id),
            consumer,
            prefetch=self._options.prefetch,
            reclaim_after_ms=self._options.reclaim_after_ms,
            decode=lambda raw: batch_of(sale_id, raw),
        )
        await reader.run(handler)

    async def replay(self, sale_id: int, until_batch_id: str) -> AsyncIterator[Batch]:
        key, after = requests_key(sale_id), 0
        while True:
            page = await self._link(
                "broker.read_log",
                lambda after=after: (  # type: ignore[misc]
                    self._server.streams[key].page(after, PAGE)
                    if key in self._server.streams
                    else []
                ),
            )
            for entry in page:
                try:
                    batch = decode_batch(entry.raw)
                except MalformedMessage:
                    continue
                if batch.batch_id == until_batch_id:
                    return
                yield batch
            if len(page) < PAGE:
                raise DependencyDown(f"broker: {key} ended before its marker")
            after += PAGE

    # how full

    async def pressure(self, sale_id: int) -> Pressure:
        return await self._link("broker.pressure", lambda: self._pressure(sale_id))

    async def full(self, sale_ids: Sequence[int]) -> set[int]:
        return await self._link(
            "broker.full", lambda: {id_ for id_ in sale_ids if self._pressure(id_).full}
        )

    def _pressure(self, sale_id: int) -> Pressure:
        stream = self._server.streams.get(requests_key(sale_id))
        if stream is None:
            return Pressure(0, 0, False)
        full = self._options.is_full(stream.backlog, stream.bytes)
        oldest_ms = stream.oldest_ms() if stream.backlog else 0
        return Pressure(stream.backlog, stream.bytes, full, oldest_ms)

    # reminders

    async def remind(self, reminders: Sequence[Reminder], after_s: float) -> None:
        if reminders:
            await self._link("broker.remind", lambda: self._server.remind(reminders, after_s))

    async def reminders(self, handler: ReminderHandler) -> None:
        """Until cancelled. A failure is tried again after a growing pause of at most a second."""
        pause_s = POLL_S
        while True:
            try:
                if members := await self._link("broker.fetch_reminders", self._server.due):
                    await handler([_reminder(member) for member in members])
                    await self._forget(members)
                pause_s = POLL_S
            except Exception:
                pause_s = min(pause_s * 2, PAUSE_MAX_S)
                await asyncio.sleep(pause_s)
                continue
            if not members:
                await self._until_due()

    async def _forget(self, members: Sequence[str]) -> None:
        await self._link("broker.forget_reminders", lambda: self._server.forget(members))

    async def _until_due(self) -> None:
        """Instead of asking ten times a second."""
        end_s = now_s() + QUIET_S
        while now_s() < end_s:
            news, due_s = self._server.news.of(REMINDERS_KEY), self._server.next_due_s()
            if due_s is not None and due_s <= now_s():
                break
            await heard(news, (end_s if due_s is None else min(due_s, end_s)) - now_s())

    # mails and parked messages

    async def send_mail(self, jobs: Sequence[MailJob]) -> None:
        if not jobs:
            return
        waiting = await self._link("broker.count_mail", self._server.waiting_mails)
        if waiting + len(jobs) > self._options.mail_max():
            raise Overloaded("mail_queue_max")
        await self._link("broker.send_mail", lambda: self._append_mails(jobs))

    def _append_mails(self, jobs: Sequence[MailJob]) -> None:
        self._server.make(MAIL_KEY)
        for job in jobs:
            self._server.append(MAIL_KEY, msgspec.msgpack.encode(job))

    async def mails(self, consumer: str, handler: MailHandler) -> None:
        async def each(jobs: Sequence[MailJob]) -> None:
            for job in jobs:
                await handler(job)

        reader = GroupReader(
            self._server,
            self._link,
            MAIL_KEY,
            consumer,
            prefetch=1,
            reclaim_after_ms=self._options.reclaim_after_ms,
            decode=decode_mail,
        )
        await reader.run(each)

    async def parked(self, limit: int = 100) -> list[Parked]:
        return await self._link("broker.parked", lambda: self._server.shelf.newest(limit))

    async def count_parked(self) -> int:
        return await self._link("broker.count_parked", lambda: len(self._server.shelf))

    async def redrive(self, parked_id: str) -> bool:
        if not _ID.fullmatch(parked_id):
            return False
        return await self._link("broker.redrive", lambda: self._server.redrive(parked_id))


def _reminder(member: str) -> Reminder:
    sale_id, _, rid = member.partition("|")
    return Reminder(int(sale_id), rid)
