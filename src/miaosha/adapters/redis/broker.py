"""Redis broker: the broker on Redis streams, on a server of its own (`appendfsync always`).

Stream `{sale:7}:requests` with group `consumers` is a sale's queue and log, never trimmed, deleted
at settlement. Others are `reminders`, stream `mail` with group `mailers`, stream `parked`. Every
entry has one field `b` with the message's bytes.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    MaxConnectionsError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from miaosha.adapters.redis.bell import Bell
from miaosha.adapters.redis.connect import connect, is_cluster, reaching
from miaosha.adapters.redis.parked import RedisParkingLot
from miaosha.adapters.redis.pipelined_connection import Wire, refusal
from miaosha.adapters.redis.pressure import StreamGauge
from miaosha.adapters.redis.reminders import RedisReminders
from miaosha.adapters.redis.stream_queue import FIELD, StreamQueue, make_queue
from miaosha.adapters.redis.stream_reader import StreamReader
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

MAIL: Final = StreamQueue("mail", "mailers", made=True, trimmed=True)
MAIL_MAX: Final = 100_000  # mails queued at most; the outbox keeps the rest
READERS_MAX: Final = 1_000  # queues that one process reads at a time
PAGE: Final = 200  # batches read at a time by a replay


def requests_of(sale_id: int) -> StreamQueue:
    return StreamQueue(f"{{sale:{sale_id}}}:requests", "consumers")


class RedisBroker:
    """Implements ports/broker.Broker.

    Args:
        url: unix://, redis://, rediss:// or redis+cluster://; see `connect`.
        backlog_max: batches a sale's queue may hold before it reads `full`.
        log_max_bytes: bytes a sale's stream may take before it reads `full`.
        prefetch: batches handed to a consumer's handler at most.
        reclaim_after_ms: what a consumer has not acknowledged for so long is taken over.
        confirm_timeout_ms: how long `publish` waits for the broker's answer.
    """

    def __init__(
        self,
        url: str,
        *,
        backlog_max: int = 20_000,
        log_max_bytes: int = 2_000_000_000,
        prefetch: int = 16,
        reclaim_after_ms: int = 5_000,
        confirm_timeout_ms: int = 5_000,
    ) -> None:
        self._client = connect(url)
        self._blocking = connect(url, connections_max=READERS_MAX)
        # A read that was repeated behind our back could leave the first answer's entries unseen.
        self._blocking.set_retry(Retry(NoBackoff(), 0))
        self._wire = None if is_cluster(self._client) else Wire(url)
        self._bell: Bell | None = None
        if isinstance(self._blocking, Redis):  # one call reads no streams of several servers
            self._bell = Bell(self._blocking, reclaim_after_ms / 2_000)
        self._prefetch = prefetch
        self._reclaim_after_ms = reclaim_after_ms
        self._confirm_s = confirm_timeout_ms / 1000
        self._gauge = StreamGauge(self._client, backlog_max, log_max_bytes)
        self._parking = RedisParkingLot(self._client)
        self._reminders = RedisReminders(self._client)

    async def ping(self) -> None:
        with reaching("broker"):
            await self._client.ping()

    async def open(self, sale_id: int) -> None:
        with reaching("broker"):
            await make_queue(self._client, requests_of(sale_id))

    async def drop(self, sale_id: int) -> None:
        with reaching("broker"):
            await self._client.unlink(requests_of(sale_id).key)

    async def close(self) -> None:
        if self._bell is not None:
            await self._bell.close()
        if self._wire is not None:
            await self._wire.close()
        await self._blocking.aclose()
        await self._client.aclose()

    # publishing

    async def publish(self, batch: Batch) -> None:
        """One XADD; never makes a queue: a batch for one that was not opened, or is dropped, is
        refused with DependencyDown."""
        key, raw = requests_of(batch.sale_id).key, encode_batch(batch)
        if self._wire is None:
            entry_id = await self._publish_clustered(key, raw)
        else:
            entry_id = await self._wire.call(
                "XADD", key, "NOMKSTREAM", "*", FIELD, raw, timeout_s=self._confirm_s
            )
        if entry_id is None:
            raise DependencyDown(f"broker: no queue {key}")

    async def _publish_clustered(self, key: str, raw: bytes) -> Any:
        try:
            async with asyncio.timeout(self._confirm_s):
                return await self._client.xadd(key, {FIELD: raw}, nomkstream=True)
        except ResponseError as error:
            raise refusal(str(error)) from error
        except MaxConnectionsError:
            raise Overloaded("broker_connections_max") from None
        except (RedisClusterException, RedisError, OSError) as error:  # also asyncio's TimeoutError
            raise OutcomeUnknown(f"broker: {type(error).__name__}") from error

    # consuming

    async def consume(self, sale_id: int, consumer: str, handler: BatchHandler) -> None:
        def decode(raw: bytes) -> Batch:
            batch = decode_batch(raw)
            if batch.sale_id != sale_id:
                raise MalformedMessage(f"a batch of sale {batch.sale_id}")
            return batch

        reader = StreamReader(
            self._blocking,
            requests_of(sale_id),
            consumer,
            prefetch=self._prefetch,
            reclaim_after_ms=self._reclaim_after_ms,
            decode=decode,
            park=self._parking.park,
            bell=self._bell,
        )
        await reader.run(handler)

    async def replay(self, sale_id: int, until_batch_id: str) -> AsyncIterator[Batch]:
        """Skips what cannot be decoded.

        Raises:
            DependencyDown: the broker is away, or the log ended before the marker.
        """
        key, after = requests_of(sale_id).key, b"-"
        while True:
            with reaching("broker"):
                page: Any = await self._client.xrange(key, after, "+", count=PAGE)
            for _, fields in page:
                try:
                    batch = decode_batch(fields.get(FIELD, b""))
                except MalformedMessage:
                    continue
                if batch.batch_id == until_batch_id:
                    return
                yield batch
            if len(page) < PAGE:
                raise DependencyDown(f"broker: {key} ended before its marker")
            after = b"(" + page[-1][0]

    # how full

    async def pressure(self, sale_id: int) -> Pressure:
        return await self._gauge.read(requests_of(sale_id))

    async def full(self, sale_ids: Sequence[int]) -> set[int]:
        full = await self._gauge.full([requests_of(sale_id) for sale_id in sale_ids])
        return {id_ for id_, is_full in zip(sale_ids, full, strict=True) if is_full}

    # reminders, mails, parked messages

    async def remind(self, reminders: Sequence[Reminder], after_s: float) -> None:
        await self._reminders.add(reminders, after_s)

    async def reminders(self, handler: ReminderHandler) -> None:
        await self._reminders.deliver(handler)

    async def send_mail(self, jobs: Sequence[MailJob]) -> None:
        """Raises Overloaded("mail_queue_max") when too many wait already."""
        if not jobs:
            return
        with reaching("broker"):
            if await self._client.xlen(MAIL.key) + len(jobs) > MAIL_MAX:
                raise Overloaded("mail_queue_max")
            pipe = self._client.pipeline(transaction=True)
            for job in jobs:
                pipe.xadd(MAIL.key, {FIELD: msgspec.msgpack.encode(job)})
            await pipe.execute()

    async def mails(self, consumer: str, handler: MailHandler) -> None:
        async def each(jobs: Sequence[MailJob]) -> None:
            for job in jobs:
                await handler(job)

        reader = StreamReader(
            self._blocking,
            MAIL,
            consumer,
            prefetch=1,  # so that a mail is acknowledged as soon as it is sent
            reclaim_after_ms=self._reclaim_after_ms,
            decode=decode_mail,
            park=self._parking.park,
        )
        await reader.run(each)

    async def parked(self, limit: int = 100) -> list[Parked]:
        return await self._parking.list(limit)

    async def count_parked(self) -> int:
        return await self._parking.count()

    async def redrive(self, parked_id: str) -> bool:
        return await self._parking.redrive(parked_id)
