"""Redis reminders: one zset `reminders`: member `sale_id|rid`, score the due time in server ms.

They only make it punctual: the sweep of the holds finds whatever is lost here. Several processes
may deliver at once; a reminder then comes more than once.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import structlog

from miaosha.adapters.redis.connect import Client, reaching
from miaosha.domain.errors import DependencyDown
from miaosha.ports.broker import Reminder, ReminderHandler

KEY: Final = "reminders"
REMINDERS_MAX: Final = 1_000_000  # kept at most; those due last go first
DELIVERED_MAX: Final = 256  # handed over at once
POLL_S: Final = 0.1
PAUSE_MAX_S: Final = 1.0

log = structlog.get_logger()


class RedisReminders:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def add(self, reminders: Sequence[Reminder], after_s: float) -> None:
        """A reminder that is there already moves to the new time. Raises DependencyDown."""
        if not reminders:
            return
        with reaching("broker"):
            due_ms = await server_ms(self._client) + int(after_s * 1000) + 1  # never early
            members = {f"{reminder.sale_id}|{reminder.rid}": due_ms for reminder in reminders}
            pipe = self._client.pipeline(transaction=True)
            pipe.zadd(KEY, members)
            pipe.zremrangebyrank(KEY, REMINDERS_MAX, -1)
            await pipe.execute()

    async def deliver(self, handler: ReminderHandler) -> None:
        """Until cancelled. A handler that raises, or a server that is away, is tried again after
        a growing pause of at most a second."""
        pause_s = POLL_S
        while True:
            try:
                members = await self._due()
                if members:
                    await handler([r for m in members if (r := _parse(m)) is not None])
                    with reaching("broker"):
                        await self._client.zrem(KEY, *members)
                pause_s = POLL_S
            except DependencyDown as error:
                log.warning("reminders_wait", error=str(error))
                pause_s = min(pause_s * 2, PAUSE_MAX_S)
                members = []
            except Exception:
                log.exception("reminders_failed")
                pause_s = min(pause_s * 2, PAUSE_MAX_S)
                members = []
            if not members:
                await asyncio.sleep(pause_s)

    async def _due(self) -> list[bytes]:
        with reaching("broker"):
            now_ms = await server_ms(self._client)
            due: Any = await self._client.zrangebyscore(KEY, 0, now_ms, start=0, num=DELIVERED_MAX)
        return list(due)


async def server_ms(client: Client) -> int:
    """The server's clock, Unix ms (in a cluster: one node's)."""
    answer: Any = await client.time()
    seconds, micros = answer
    return int(seconds) * 1000 + int(micros) // 1000


def _parse(member: bytes) -> Reminder | None:
    """None for what is not ours: it is removed with the others."""
    sale_id, bar, rid = member.decode("utf-8", "replace").partition("|")
    return Reminder(int(sale_id), rid) if bar and sale_id.isascii() and sale_id.isdigit() else None
