"""Redis heartbeats: one hash, a field per process, JSON with its role's time.

A frequent reader judges by its own steady clock: a process is alive while its field changes. A
first look, and one after a pause, can only compare clocks. If the store's clock was set, that look
may be wrong until the next one.
"""

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from miaosha.adapters.redis.connect import Client, reaching
from miaosha.ports.heartbeats import Heartbeat

KEY = "heartbeats"
ALIVE_MS: Final = 5_000
KEPT_MS: Final = 60_000  # a silent process's field is removed after this; the hash with the last

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Heartbeat).decode


class _SeenBeat(NamedTuple):
    """A field as it was seen last; `changed_s`: when it was seen to change (monotonic s)."""

    text: bytes
    changed_s: float


class RedisHeartbeats:
    """Takes a client of `connect`, which its owner closes."""

    def __init__(self, client: Client, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._monotonic = monotonic
        self._seen: dict[bytes, _SeenBeat] = {}
        self._looked_s = float("-inf")

    async def beat(self, heartbeat: Heartbeat) -> None:
        field = f"{heartbeat.role}:{heartbeat.instance}"
        with reaching("heartbeats"):
            pipe = self._client.pipeline(transaction=False)
            pipe.hset(KEY, field, _encode(heartbeat))
            pipe.pexpire(KEY, KEPT_MS)
            await pipe.execute()

    async def alive(self) -> list[Heartbeat]:
        """A beat this version cannot read counts as none."""
        with reaching("heartbeats"):
            seconds, micros = await self._client.time()
            fields: dict[Any, Any] = await self._client.hgetall(KEY)
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        now_s = self._monotonic()
        watched = now_s - self._looked_s <= ALIVE_MS / 1000
        self._looked_s = now_s
        beats = {name: beat for name, text in fields.items() if (beat := _read(text))}
        ages_ms = {
            name: self._age_ms(name, text, now_s, _clocks_ms(beats.get(name), now_ms), watched)
            for name, text in fields.items()
        }
        self._seen = {name: self._seen[name] for name in fields}
        if gone := [name for name, age_ms in ages_ms.items() if age_ms > KEPT_MS]:
            with reaching("heartbeats"):
                await self._client.hdel(KEY, *gone)
        alive = [beat for name, beat in beats.items() if ages_ms[name] <= ALIVE_MS]
        return sorted(alive, key=lambda beat: (beat.role, len(beat.instance), beat.instance))

    def _age_ms(
        self, name: bytes, text: bytes, now_s: float, clocks_ms: int, watched: bool
    ) -> float:
        """Milliseconds since the field changed: seen here, or told by the two clocks."""
        seen = self._seen.get(name)
        if seen is None or not watched:
            changed_s = now_s - max(0, clocks_ms) / 1000
        else:
            changed_s = now_s if seen.text != text else seen.changed_s
        self._seen[name] = _SeenBeat(text, changed_s)
        return (now_s - changed_s) * 1000


def _read(text: bytes) -> Heartbeat | None:
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _clocks_ms(beat: Heartbeat | None, now_ms: int) -> int:
    return now_ms - (beat.beat_ms if beat else 0)
