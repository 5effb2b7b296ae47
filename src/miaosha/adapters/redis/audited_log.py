"""Audited log: the audit's own view of a sale's queue on Redis, a stream that is also the log."""

from collections.abc import AsyncIterator
from typing import Any, Final

from miaosha.adapters.redis.connect import Client, reaching
from miaosha.ports.auditing import Logged, read_batch

LOG_PAGE: Final = 100  # batches read at a time
PENDING_PAGE: Final = 1_000
GROUP: Final = b"consumers"

Id = tuple[int, int]


class RedisQueueReader:
    """Implements ports/auditing.QueueReader. Takes a client its owner closes."""

    def __init__(self, client: Client) -> None:
        self._client: Any = client

    async def open(self, sale_id: int) -> "RedisLog | None":
        key = f"{{sale:{sale_id}}}:requests"
        with reaching("broker"):
            if not await self._client.exists(key):
                return None
            delivered, pending = await self._unacknowledged(key)
        return RedisLog(self._client, sale_id, key, delivered, pending)

    async def _unacknowledged(self, key: str) -> tuple[Id, set[bytes]]:
        """(last id delivered to anybody, ids delivered and not acknowledged), the former first:
        what is delivered in between counts as open, which it was."""
        groups = await self._client.xinfo_groups(key)
        group = next((g for g in groups if g["name"] == GROUP), None)
        if group is None:
            return (0, 0), set()
        pending: set[bytes] = set()
        after = "-"
        while True:
            page = await self._client.xpending_range(
                key, GROUP, min=after, max="+", count=PENDING_PAGE
            )
            pending |= {entry["message_id"] for entry in page}
            if len(page) < PENDING_PAGE:
                return _order(group["last-delivered-id"]), pending
            after = f"({page[-1]['message_id'].decode()}"


class RedisLog:
    """Implements ports/auditing.Log."""

    def __init__(
        self, client: Any, sale_id: int, key: str, delivered: Id, pending: set[bytes]
    ) -> None:
        self._client = client
        self._sale_id = sale_id
        self._key = key
        self._delivered = delivered
        self._pending = pending

    async def pages(self, newest: int | None = None) -> AsyncIterator[list[Logged]]:
        after = "-" if newest is None else await self._back(newest)
        while True:
            with reaching("broker"):
                page = await self._client.xrange(self._key, after, "+", count=LOG_PAGE)
            yield [self._logged(entry_id, fields) for entry_id, fields in page]
            if len(page) < LOG_PAGE:
                return
            after = f"({page[-1][0].decode()}"

    async def _back(self, newest: int) -> str:
        """Where the newest entries begin."""
        before = "+"
        while newest > 0:
            count = min(newest, LOG_PAGE)
            with reaching("broker"):
                page = await self._client.xrevrange(self._key, before, "-", count=count)
            if not page:
                break
            newest -= len(page)
            before = f"({page[-1][0].decode()}"
        return "-" if before == "+" else before.replace("(", "")

    def _logged(self, entry_id: bytes, fields: dict[bytes, bytes]) -> Logged:
        waits = entry_id in self._pending or _order(entry_id) > self._delivered
        batch = read_batch(fields.get(b"b", b""), self._sale_id)
        return Logged(*batch, waits) if batch else Logged("", 0, waits)


def _order(entry_id: bytes) -> Id:
    ms, _, number = entry_id.partition(b"-")
    return int(ms), int(number)
