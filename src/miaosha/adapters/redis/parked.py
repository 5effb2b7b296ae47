"""Redis parking lot: messages nobody could decode, in the stream `parked`: bounded, put back once.

An entry has the fields queue (the key of its stream), reason, raw (at most RAW_MAX bytes) and size.
When the stream is full the oldest entry goes.
"""

import re
from pathlib import Path
from typing import Any, Final

from miaosha.adapters.redis.connect import Client, is_cluster, reaching
from miaosha.adapters.redis.stream_queue import FIELD
from miaosha.adapters.redis.stream_reader import PoisonEntry
from miaosha.domain.errors import Problem
from miaosha.ports.broker import Parked

KEY: Final = "parked"
PARKED_MAX: Final = 10_000  # entries kept
RAW_MAX: Final = 16_384  # bytes kept of one: more than the largest batch there can be
_ID = re.compile(r"\d{1,20}-\d{1,20}")
_REDRIVE = Path(__file__).parent / "lua" / "broker" / "redrive.lua"


class RedisParkingLot:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def park(self, poison: PoisonEntry) -> None:
        """Keep it and acknowledge it: one step on one server. In a cluster, where the two keys
        live on different nodes, a crash in between parks it twice."""
        queue = poison.queue
        fields: dict[Any, Any] = {
            "queue": queue.key,
            "reason": poison.reason,
            "raw": poison.raw[:RAW_MAX],
            "size": len(poison.raw),
        }
        with reaching("broker"):
            if is_cluster(self._client):
                await self._client.xadd(KEY, fields, maxlen=PARKED_MAX, approximate=False)
                await self._client.xack(queue.key, queue.group, poison.entry_id)
                return
            pipe = self._client.pipeline(transaction=True)
            pipe.xadd(KEY, fields, maxlen=PARKED_MAX, approximate=False)
            pipe.xack(queue.key, queue.group, poison.entry_id)
            await pipe.execute()

    async def list(self, limit: int) -> list[Parked]:
        """The newest `limit` entries, newest first."""
        with reaching("broker"):
            entries: Any = await self._client.xrevrange(KEY, count=max(1, min(limit, PARKED_MAX)))
        return [_parked(entry_id, fields) for entry_id, fields in entries]

    async def count(self) -> int:
        with reaching("broker"):
            return int(await self._client.xlen(KEY))

    async def redrive(self, parked_id: str) -> bool:
        """See the port.

        Raises:
            Problem: conflict if only the beginning of the message was kept, or its queue is gone.
        """
        if not _ID.fullmatch(parked_id):
            return False
        with reaching("broker"):
            entries: Any = await self._client.xrange(KEY, parked_id, parked_id)
            if not entries:
                return False
            fields = entries[0][1]
            if int(fields[b"size"]) > len(fields[b"raw"]):
                raise Problem("conflict", "Only the beginning of this message was kept.")
            done = await self._put_back(parked_id, fields[b"queue"].decode(), fields[b"raw"])
        if done < 0:
            raise Problem("conflict", "The queue of this message does not exist any more.")
        return done == 1

    async def _put_back(self, parked_id: str, queue: str, raw: bytes) -> int:
        client = self._client
        if not is_cluster(client):
            script = _REDRIVE.read_text(encoding="utf-8")
            answer: Any = await client.eval(script, 2, KEY, queue, parked_id, raw)
            return int(answer)
        # Two nodes: put back first, so that a crash in between repeats it rather than loses it.
        if await client.xadd(queue, {FIELD: raw}, nomkstream=True) is None:
            return -1
        return int(await client.xdel(KEY, parked_id))


def _parked(entry_id: bytes, fields: dict[bytes, bytes]) -> Parked:
    return Parked(
        id=entry_id.decode(),
        queue=fields[b"queue"].decode(),
        reason=fields[b"reason"].decode("utf-8", "replace"),
        parked_at_ms=int(entry_id.partition(b"-")[0]),
        raw=fields[b"raw"],
    )
