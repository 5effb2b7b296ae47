"""The port Heartbeats: one hash, a field per process, JSON with the time of its last beat."""

from typing import Any

import msgspec

from miaosha.adapters.redis.connect import Client, reaching
from miaosha.ports.store import Heartbeat

KEY = "heartbeats"
ALIVE_MS = 5_000
KEPT_MS = 60_000  # a silent process's field is removed after this; the hash goes with the last one

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Heartbeat).decode


class RedisHeartbeats:
    """Takes a client of `connect`, which its owner closes."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def beat(self, heartbeat: Heartbeat) -> None:
        field = f"{heartbeat.role}:{heartbeat.instance}"
        with reaching("heartbeats"):
            pipe = self._client.pipeline(transaction=False)
            pipe.hset(KEY, field, _encode(heartbeat))
            pipe.pexpire(KEY, KEPT_MS)
            await pipe.execute()

    async def alive(self) -> list[Heartbeat]:
        """By the store's clock; a beat this version cannot read counts as none."""
        with reaching("heartbeats"):
            seconds, micros = await self._client.time()
            fields: dict[Any, Any] = await self._client.hgetall(KEY)
        now_ms = seconds * 1000 + micros // 1000
        beats = {name: beat for name, text in fields.items() if (beat := _read(text))}
        gone = [name for name in fields if _age_ms(beats.get(name), now_ms) > KEPT_MS]
        if gone:
            with reaching("heartbeats"):
                await self._client.hdel(KEY, *gone)
        alive = [beat for beat in beats.values() if _age_ms(beat, now_ms) <= ALIVE_MS]
        return sorted(alive, key=lambda beat: (beat.role, len(beat.instance), beat.instance))


def _read(text: bytes) -> Heartbeat | None:
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _age_ms(beat: Heartbeat | None, now_ms: int) -> int:
    return now_ms - (beat.beat_ms if beat else 0)
