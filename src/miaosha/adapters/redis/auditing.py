"""The audit's own view of a sale's keys in Redis and of its queue: read raw, parsed here.

Knows the names of keys and the shapes of values from the design alone, and none of the scripts.
Reads in pages; what it keeps is bounded by the stock, by HEADS_MAX and by one id per batch.
"""

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from miaosha.adapters.redis.connect import Client, is_cluster, reaching
from miaosha.ports.auditing import PublisherBeat, QueueFacts, StoreFacts, Waiting, read_batch

HEADS_MAX: Final = 10_000  # places of the standby line that are looked at one by one
UNREADABLE_MAX: Final = 100  # named at most
PAGE: Final = 1_000
LOG_PAGE: Final = 200
ALIVE_MS: Final = 5_000
COUNTERS: Final = ("epoch", "run_id", "phase", "stock", "free", "held", "paid", "seq")
LETTERS: Final = frozenset("hsroc")
# A script, since the client's transactions on a cluster stumble over the answer of HGETALL.
INSTANT: Final = "return {redis.call('HGETALL', KEYS[1]), redis.call('ZCARD', KEYS[2])}"


class _Places:
    """What a walk over all places found."""

    def __init__(self) -> None:
        self.held: dict[int, str] = {}
        self.paid: dict[int, str] = {}
        self.standing = 0
        self.unreadable: list[str] = []

    def see(self, user: bytes, text: bytes) -> None:
        parts = text.decode("utf-8", "replace").split("|")
        if len(parts) != 5 or not user.isdigit() or not all(p.isdigit() for p in parts[2:]):
            if len(self.unreadable) < UNREADABLE_MAX:
                self.unreadable.append(f"place of user {user.decode('utf-8', 'replace')[:40]}")
            return
        state, rid = parts[0], parts[1]
        if state == "held":
            self.held[int(user)] = rid
        elif state == "paid":
            self.paid[int(user)] = rid
        elif state == "standby":
            self.standing += 1


class RedisStoreReader:
    """Implements ports/auditing.StoreReader. Takes a client its owner closes."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def now_ms(self) -> int:
        with reaching("store"):
            seconds, micros = await self._client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def facts(self, sale_id: int) -> StoreFacts | None:
        tag = f"{{sale:{sale_id}}}"
        with reaching("store"):
            before = await self._counters(tag)
            if before is None:
                return None
            places = _Places()
            async for user, text in self._scan(f"{tag}:users"):
                places.see(user, text)
            heads = await self._heads(tag)
            ungranted = await self._ungranted(tag)
            letters = {}
            async for batch, text in self._scan(f"{tag}:batches"):
                letters[batch.decode("utf-8", "replace")] = text.decode("utf-8", "replace")
            after = await self._counters(tag)
            genuine = await self._genuine(before[0])
        return _facts(before, after, genuine, places, heads, ungranted, letters)

    async def _counters(self, tag: str) -> tuple[dict[str, bytes], int] | None:
        """The counters and the length of standby, of one instant."""
        answer: Any = await self._client.eval(INSTANT, 2, f"{tag}:meta", f"{tag}:standby")
        meta, waiting = answer
        if not meta:
            return None
        fields = zip(meta[::2], meta[1::2], strict=True)
        return {name.decode(): value for name, value in fields}, int(waiting)

    async def _scan(self, key: str) -> AsyncIterator[tuple[bytes, bytes]]:
        cursor = 0
        while True:
            answer: Any = await self._client.hscan(key, cursor=cursor, count=PAGE)
            cursor, chunk = int(answer[0]), answer[1]
            for field, value in chunk.items():
                yield field, value
            if cursor == 0:
                return

    async def _heads(self, tag: str) -> list[Waiting]:
        line: Any = await self._client.zrange(f"{tag}:standby", 0, HEADS_MAX - 1, withscores=True)
        line = [(user, score) for user, score in line if user.isdigit()]  # others: no buyer
        heads: list[Waiting] = []
        for start in range(0, len(line), PAGE):
            page = line[start : start + PAGE]
            places: Any = await self._client.hmget(f"{tag}:users", [user for user, _ in page])
            for (user, score), text in zip(page, places, strict=True):
                parts = text.decode("utf-8", "replace").split("|") if text else ["", "", "0"]
                rank = int(parts[2]) if len(parts) > 2 and parts[2].isdigit() else 0
                heads.append(Waiting(int(user), int(score), parts[0], parts[1], rank))
        return heads

    async def _ungranted(self, tag: str) -> set[str]:
        members: Any = await self._client.zrange(f"{tag}:ungranted", 0, -1)
        return {member.decode("utf-8", "replace").split("|")[0] for member in members}

    async def _genuine(self, meta: dict[str, bytes]) -> bool | None:
        if is_cluster(self._client):
            return None
        info: Any = await self._client.info("server")
        return bool(meta.get("run_id", b"").decode() == str(info.get("run_id")))

    async def publishers(self) -> list[PublisherBeat]:
        now_ms = await self.now_ms()
        with reaching("store"):
            fields: Any = await self._client.hgetall("heartbeats")
        beats = []
        for text in fields.values():
            try:
                beat = msgspec.json.decode(text)
                if beat["role"] != "publisher" or now_ms - beat["beat_ms"] > ALIVE_MS:
                    continue
                sold_out = float(beat["counters"].get("refused_sold_out", 0))
                beats.append(PublisherBeat(str(beat["instance"]), int(beat["beat_ms"]), sold_out))
            except (msgspec.DecodeError, KeyError, TypeError, ValueError):
                continue  # not a beat of this version
        return beats


def _facts(
    before: tuple[dict[str, bytes], int],
    after: tuple[dict[str, bytes], int] | None,
    genuine: bool | None,
    places: _Places,
    heads: list[Waiting],
    ungranted: set[str],
    letters: dict[str, str],
) -> StoreFacts:
    meta, waiting = before
    numbers: dict[str, int] = {}
    for name in ("epoch", "stock", "free", "held", "paid", "seq"):
        text = meta.get(name, b"0")
        try:
            numbers[name] = int(text)
        except ValueError:
            numbers[name] = 0
            places.unreadable.append(f"counter {name}")
    places.unreadable += [
        f"record of batch {batch[:40]}" for batch, text in letters.items() if set(text) - LETTERS
    ][:UNREADABLE_MAX]
    return StoreFacts(
        epoch=numbers["epoch"],
        genuine=genuine,
        phase=meta.get("phase", b"").decode("utf-8", "replace"),
        stock=numbers["stock"],
        free=numbers["free"],
        counted_held=numbers["held"],
        counted_paid=numbers["paid"],
        seq=numbers["seq"],
        waiting=waiting,
        held=places.held,
        paid=places.paid,
        standing=places.standing,
        still=after is not None and after[1] == waiting and _same(meta, after[0]),
        heads=heads,
        ungranted=ungranted,
        letters=letters,
        unreadable=places.unreadable,
    )


def _same(one: dict[str, bytes], other: dict[str, bytes]) -> bool:
    return all(one.get(name) == other.get(name) for name in COUNTERS)


class RedisQueueReader:
    """Implements ports/auditing.QueueReader for the embedded broker: a stream and its group."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def facts(self, sale_id: int) -> QueueFacts | None:
        key = f"{{sale:{sale_id}}}:requests"
        requests: dict[str, int] = {}
        entries: dict[bytes, str] = {}
        undecodable = 0
        with reaching("broker"):
            if not await self._client.exists(key):
                return None
            async for entry_id, raw in self._log(key):
                batch = read_batch(raw, sale_id)
                if batch is None:
                    undecodable += 1
                    continue
                requests[batch[0]] = batch[1]
                entries[entry_id] = batch[0]
            delivered, pending = await self._unacknowledged(key)
        waiting = {
            batch
            for entry_id, batch in entries.items()
            if entry_id in pending or _order(entry_id) > _order(delivered)
        }
        return QueueFacts(requests, waiting, undecodable)

    async def _log(self, key: str) -> AsyncIterator[tuple[bytes, bytes]]:
        after = "-"
        while True:
            page: Any = await self._client.xrange(key, after, "+", count=LOG_PAGE)
            for entry_id, fields in page:
                yield entry_id, fields.get(b"b", b"")
            if len(page) < LOG_PAGE:
                return
            after = f"({page[-1][0].decode()}"

    async def _unacknowledged(self, key: str) -> tuple[bytes, set[bytes]]:
        """(last id delivered to anybody, ids delivered and not acknowledged)."""
        groups: Any = await self._client.xinfo_groups(key)
        group = next((g for g in groups if g["name"] == b"consumers"), None)
        if group is None:
            return b"0-0", set()
        pending: set[bytes] = set()
        after = "-"
        while True:
            page: Any = await self._client.xpending_range(
                key, "consumers", min=after, max="+", count=PAGE
            )
            pending |= {entry["message_id"] for entry in page}
            if len(page) < PAGE:
                return group["last-delivered-id"], pending
            after = f"({page[-1]['message_id'].decode()}"


def _order(entry_id: bytes) -> tuple[int, int]:
    ms, _, number = entry_id.partition(b"-")
    return int(ms), int(number)
