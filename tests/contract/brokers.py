"""What the broker's contract tests need of each kind of broker beyond its port: to put raw messages
into its queues, and to see what is left in them."""

import contextlib
from collections.abc import Callable
from typing import Any, Final, Protocol

from miaosha.adapters.rabbitmq.broker import RabbitBroker
from miaosha.adapters.rabbitmq.link import Link, NoQueue
from miaosha.adapters.rabbitmq.topology import (
    EXCHANGE,
    MAIL,
    PARKED,
    REMINDERS,
    count,
    delay_of,
    drop_sale,
    key_of,
    requests_of,
)
from miaosha.adapters.redis.broker import RedisBroker
from miaosha.adapters.redis.broker import requests_of as stream_of
from miaosha.adapters.redis.connect import connect
from miaosha.ports.broker import Broker

SALE: Final = 7
RECLAIM_MS: Final = 300
WAITS_MS: Final = (250, 500, 1_000, 3_600_000)  # of the reminders in these tests
MADE_UP_MS: Final = 1_790_000_000_000


class Rig(Protocol):
    broker: Broker
    queue: str
    mail_max: str

    def another(self, **options: Any) -> Broker: ...

    async def put(self, raw: bytes) -> None:
        """Into the sale's queue and log."""

    async def put_odd(self) -> None:
        """A message unlike any of ours."""

    async def put_mail(self, raw: bytes) -> None: ...

    async def mails(self) -> int: ...

    async def reminders(self) -> int: ...

    async def exists(self) -> bool: ...

    async def close(self) -> None: ...


class RedisRig:
    queue = stream_of(SALE).key
    mail_max = "miaosha.adapters.redis.broker.MAIL_MAX"

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Any = connect(url)
        self.broker: Broker = self.another(backlog_max=10, prefetch=4)

    async def clean(self) -> None:
        for key in (self.queue, "mail", "parked", "reminders"):
            await self._client.delete(key)

    def another(self, **options: Any) -> Broker:
        return RedisBroker(self._url, reclaim_after_ms=RECLAIM_MS, **options)

    async def put(self, raw: bytes) -> None:
        await self._client.xadd(self.queue, {b"b": raw})

    async def put_odd(self) -> None:
        await self._client.xadd(self.queue, {b"other": b"field"})

    async def put_mail(self, raw: bytes) -> None:
        await self._client.xadd("mail", {b"b": raw})

    async def mails(self) -> int:
        return int(await self._client.xlen("mail"))

    async def reminders(self) -> int:
        return int(await self._client.zcard("reminders"))

    async def exists(self) -> bool:
        return bool(await self._client.exists(self.queue))

    async def close(self) -> None:
        await self.broker.close()
        await self._client.aclose()


class RabbitRig:
    queue = requests_of(SALE).name
    mail_max = "miaosha.adapters.rabbitmq.broker.MAIL_MAX"

    def __init__(self, url: str, now_ms: Callable[[], int] = lambda: MADE_UP_MS) -> None:
        self._url = url
        self._now_ms = now_ms
        self._link = Link(url)
        self.broker: Broker = self.another(backlog_max=10, prefetch=4)

    async def clean(self) -> None:
        """As if new. Delay queues are emptied, for they must not be deleted: see `delay_of`."""
        await drop_sale(self._link, SALE)
        async with self._link.channel() as channel:
            for queue in (MAIL, PARKED, REMINDERS):
                await channel.queue_delete(queue.name)
        for wait_ms in WAITS_MS:
            with contextlib.suppress(NoQueue):
                async with self._link.channel() as channel:
                    await channel.queue_purge(delay_of(wait_ms).name)

    def another(self, **options: Any) -> Broker:
        return RabbitBroker(self._url, now_ms=self._now_ms, **{"settle_s": 0.0, **options})

    async def put(self, raw: bytes) -> None:
        await self._link.publish(raw, key_of(SALE), exchange=EXCHANGE)

    async def put_odd(self) -> None:
        await self.put(b"\x00" * 3)

    async def put_mail(self, raw: bytes) -> None:
        await self._link.publish(raw, MAIL.name)

    async def _ready(self, name: str) -> int:
        try:
            return (await count(self._link, name)).ready
        except NoQueue:
            return 0

    async def mails(self) -> int:
        return await self._ready(MAIL.name)

    async def reminders(self) -> int:
        names = [REMINDERS.name, *(delay_of(wait_ms).name for wait_ms in WAITS_MS)]
        return sum([await self._ready(name) for name in names])

    async def exists(self) -> bool:
        try:
            await count(self._link, self.queue)
        except NoQueue:
            return False
        return True

    async def close(self) -> None:
        await self.broker.close()
        await self._link.close()
