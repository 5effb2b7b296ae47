"""Store reader: the audit's own view of a sale's keys in Redis, read raw in pages and parsed here.

It knows the names of keys and the shapes of values from the design alone, and none of the scripts.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from miaosha.adapters.redis.connect import Client, is_cluster, reaching
from miaosha.ports.auditing import (
    NAMES_MAX,
    PlacePage,
    PlaceSeen,
    PublisherBeat,
    StandbyBuyer,
    StoreTotals,
)

PAGE: Final = 500  # entries asked for at a time
ALIVE_MS: Final = 5_000
USER_MAX: Final = 2**63 - 1
NUMBERS: Final = ("epoch", "stock", "free", "held", "paid", "seq")
LETTERS: Final = frozenset(b"hsroc")
# A script, since the client's transactions on a cluster stumble over the answer of HGETALL.
INSTANT: Final = """return {redis.call('HGETALL', KEYS[1]), redis.call('ZCARD', KEYS[2]),
  redis.call('ZCARD', KEYS[3]), redis.call('HLEN', KEYS[4]), redis.call('HLEN', KEYS[5])}"""


class RedisStoreReader:
    """Implements ports/auditing.StoreReader. Takes a client its owner closes."""

    def __init__(self, client: Client) -> None:
        self._client: Any = client

    async def now_ms(self) -> int:
        with reaching("store"):
            seconds, micros = await self._client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def totals(self, sale_id: int) -> StoreTotals | None:
        tag = f"{{sale:{sale_id}}}"
        keys = [f"{tag}:{name}" for name in ("meta", "standby", "ungranted", "batches", "users")]
        with reaching("store"):
            flat, *sizes = await self._client.eval(INSTANT, len(keys), *keys)
            if not flat:
                return None
            meta = dict(zip(flat[::2], flat[1::2], strict=True))
            return _totals(meta, [int(size) for size in sizes], await self._genuine(meta))

    async def _genuine(self, meta: dict[bytes, bytes]) -> bool | None:
        if is_cluster(self._client):
            return None
        info = await self._client.info("server")
        return bool(meta.get(b"run_id", b"").decode() == str(info.get("run_id")))

    async def places(self, sale_id: int, cursor: int) -> PlacePage:
        key = f"{{sale:{sale_id}}}:users"
        with reaching("store"):
            answer = await self._client.hscan(key, cursor=cursor, count=PAGE)
        seen: list[PlaceSeen] = []
        odd: list[str] = []
        for user, text in answer[1].items():
            place = _place(user, text)
            if place is None:
                odd.append(f"place of user {user.decode('utf-8', 'replace')[:40]}")
            else:
                seen.append(place)
        return PlacePage(int(answer[0]), seen, odd)

    async def places_of(self, sale_id: int, users: Collection[int]) -> dict[int, PlaceSeen]:
        assert len(users) <= NAMES_MAX, len(users)
        if not users:
            return {}
        names = [str(user).encode() for user in users]
        with reaching("store"):
            texts = await self._client.hmget(f"{{sale:{sale_id}}}:users", names)
        pairs = zip(names, texts, strict=True)
        places = (_place(name, text) for name, text in pairs if text is not None)
        return {place.user_id: place for place in places if place is not None}

    async def heads(self, sale_id: int, count: int) -> list[StandbyBuyer]:
        key = f"{{sale:{sale_id}}}:standby"
        heads: list[StandbyBuyer] = []
        for start in range(0, count, NAMES_MAX):
            end = min(start + NAMES_MAX, count)
            with reaching("store"):
                line = await self._client.zrange(key, start, end - 1, withscores=True)
            scores = {int(user): int(score) for user, score in line if user.isdigit()}
            places = await self.places_of(sale_id, scores)
            for user, score in scores.items():
                _, state, rid, rank = places.get(user) or PlaceSeen(user, "", "", 0)
                heads.append(StandbyBuyer(user, score, state, rid, rank))
            if len(line) < end - start:
                break
        return heads

    async def ungranted(self, sale_id: int, places: Sequence[PlaceSeen]) -> set[str]:
        assert len(places) <= NAMES_MAX, len(places)
        if not places:
            return set()
        # one is put there as won directly (0) or as promoted (1)
        names = [f"{p.rid}|{p.user_id}|{how}".encode() for p in places for how in (0, 1)]
        with reaching("store"):
            scores = await self._client.zmscore(f"{{sale:{sale_id}}}:ungranted", names)
        pairs = zip(names, scores, strict=True)
        return {name.partition(b"|")[0].decode() for name, score in pairs if score is not None}

    async def records(self, sale_id: int, batches: Collection[str]) -> dict[str, str]:
        assert len(batches) <= NAMES_MAX, len(batches)
        if not batches:
            return {}
        names = list(batches)
        with reaching("store"):
            texts = await self._client.hmget(f"{{sale:{sale_id}}}:batches", names)
        pairs = zip(names, texts, strict=True)
        return {name: text.decode("utf-8", "replace") for name, text in pairs if text is not None}

    async def odd_records(self, sale_id: int, cursor: int) -> tuple[int, list[str]]:
        key = f"{{sale:{sale_id}}}:batches"
        with reaching("store"):
            answer = await self._client.hscan(key, cursor=cursor, count=PAGE)
        odd = [batch for batch, letters in answer[1].items() if set(letters) - LETTERS]
        return int(answer[0]), [batch.decode("utf-8", "replace")[:40] for batch in odd]

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


def _place(user: bytes, text: bytes) -> PlaceSeen | None:
    """`state|rid|rank|version|pay_by`; None for anything else."""
    parts = text.split(b"|")
    if len(parts) != 5 or not user.isdigit() or not (parts[2] + parts[3] + parts[4]).isdigit():
        return None
    if not (parts[2] and parts[3] and parts[4]) or (number := int(user)) > USER_MAX:
        return None
    try:
        return PlaceSeen(number, parts[0].decode(), parts[1].decode(), int(parts[2]))
    except UnicodeDecodeError:
        return None


def _totals(meta: dict[bytes, bytes], sizes: list[int], genuine: bool | None) -> StoreTotals:
    numbers: dict[str, int] = {}
    unreadable: list[str] = []
    for name in NUMBERS:
        try:
            numbers[name] = int(meta.get(name.encode(), b"0"))
        except ValueError:
            numbers[name] = 0
            unreadable.append(f"counter {name}")
    waiting, ungranted, records, places = sizes
    return StoreTotals(
        genuine=genuine,
        phase=meta.get(b"phase", b"").decode("utf-8", "replace"),
        waiting=waiting,
        ungranted=ungranted,
        records=records,
        places=places,
        unreadable=unreadable,
        **numbers,
    )
