"""Redis bus: pub/sub between roles on one channel of the store. At most once, no memory.

A subscription can die without a sign: a proxy forgot it, or an output buffer was cut. So every
listener sends itself a ping each period, on a channel of its own in the same subscription. It
subscribes anew when it has heard none for three periods. A slow listener loses its oldest messages.

In a cluster the channel is sharded: its slot's master alone carries the messages, where a plain one
would send each to every node. Where a server forbids sharded channels, the plain one is used.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any, Final

import structlog
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ResponseError

from miaosha.adapters.redis.cluster import open_owner
from miaosha.adapters.redis.connect import connect, is_cluster, reaching
from miaosha.domain.errors import DependencyDown
from miaosha.domain.messages import (
    BusMessage,
    BusPing,
    MalformedMessage,
    decode_bus,
    encode_bus,
)

CHANNEL: Final = "bus"
PING_PERIOD_S: Final = 1.0
PERIODS_DEAF: Final = 3
QUEUE_MAX: Final = 10_000  # messages a listener may be behind
MESSAGE_BYTES_MAX: Final = 4_000_000
PAUSE_FIRST_S: Final = 0.05
PAUSE_MAX_S: Final = 1.0

log = structlog.get_logger()


class RedisBus:
    """Implements ports/bus.Bus.

    Args:
        url: see `connect`.
        ping_period_s: seconds between two pings of a listener to itself.

    Attributes:
        dropped: messages a slow listener of this process lost.
        resubscribed: times a listener of this process had to subscribe anew.
    """

    def __init__(self, url: str, *, ping_period_s: float = PING_PERIOD_S) -> None:
        self._client = connect(url)
        self._sharded = is_cluster(self._client)
        self._period_s = ping_period_s
        self._listeners: set[_Listener] = set()
        self._closed = False
        self.dropped = 0
        self.resubscribed = 0

    async def publish(self, message: BusMessage) -> None:
        """Raises DependencyDown: nobody was told, or somebody was and we do not know."""
        with reaching("bus"):
            await self._tell(CHANNEL, encode_bus(message))

    async def listen(self) -> AsyncIterator[BusMessage]:
        """Messages (pings aside) until the bus is closed or the iteration is given up."""
        listener = _Listener(self)
        self._listeners.add(listener)
        hearing = asyncio.create_task(self._hear(listener), name="bus-listener")
        try:
            while not self._closed and (message := await listener.queue.get()) is not None:
                yield message
        finally:
            self._listeners.discard(listener)
            hearing.cancel()
            await asyncio.wait({hearing})

    async def ping(self) -> None:
        """For readiness. Raises DependencyDown while a listener of this process is deaf."""
        with reaching("bus"):
            await self._client.ping()
        if any(listener.deaf(self._period_s) for listener in self._listeners):
            raise DependencyDown("bus: not heard")

    async def close(self) -> None:
        self._closed = True
        for listener in list(self._listeners):
            listener.put(None)
        await self._client.aclose()

    async def _hear(self, listener: "_Listener") -> None:
        pause_s = PAUSE_FIRST_S
        while True:
            try:
                with reaching("bus"):
                    await self._subscribed(listener)
            except DependencyDown as error:
                log.warning("bus_away", error=str(error))
            except Exception:  # whatever it is, a listener must not die silently
                log.exception("bus_failed")
            if listener.heard_once:
                pause_s = PAUSE_FIRST_S
            self.resubscribed += 1
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def _tell(self, channel: str, raw: bytes) -> None:
        if self._sharded:
            try:
                await self._client.execute_command("SPUBLISH", channel, raw)
                return
            except ResponseError as error:
                if "unknown command" not in str(error):
                    raise
            self._sharded = False
        await self._client.publish(channel, raw)

    async def _subscribed(self, listener: "_Listener") -> None:
        """One subscription, until it is lost or deaf."""
        loop = asyncio.get_running_loop()
        await self._ping(listener)  # shows where the channel is now, and whether it is sharded
        listener.heard_once = False
        listener.heard_at = loop.time()
        async with self._carrier() as carrier:
            channel: Any = carrier.pubsub()
            pinging = asyncio.create_task(self._ping_self(listener))
            try:
                await self._subscribe(channel, listener)
                while not listener.deaf(self._period_s):
                    message = await channel.get_message(timeout=self._period_s)
                    if message is None:
                        continue
                    if message["type"] in ("message", "smessage"):
                        self._take(listener, message["data"])
                    elif message["type"] == "sunsubscribe":  # its slot has moved
                        return
                log.warning("bus_deaf", after_s=PERIODS_DEAF * self._period_s)
            finally:
                pinging.cancel()
                await asyncio.wait({pinging})
                with contextlib.suppress(Exception):  # it is lost anyway
                    await channel.aclose()

    @contextlib.asynccontextmanager
    async def _carrier(self) -> AsyncIterator[Any]:
        """A client of the server that carries the channel."""
        if not isinstance(self._client, RedisCluster):
            yield self._client
            return
        owner: Redis = await open_owner(self._client, CHANNEL)
        try:
            yield owner
        finally:
            with contextlib.suppress(Exception):
                await owner.aclose()

    async def _subscribe(self, channel: Any, listener: "_Listener") -> None:
        """Plainly too: while servers are upgraded, some may be told in the other way."""
        if self._sharded:
            await channel.subscribe(CHANNEL)
            await channel.ssubscribe(CHANNEL, listener.channel)
        else:
            await channel.subscribe(CHANNEL, listener.channel)

    def _take(self, listener: "_Listener", raw: bytes) -> None:
        if len(raw) > MESSAGE_BYTES_MAX:
            return
        try:
            message = decode_bus(raw)
        except MalformedMessage as error:
            log.warning("bus_malformed", error=str(error)[:200])
            return
        if not isinstance(message, BusPing):
            listener.put(message)
        elif message.origin == listener.origin:
            listener.heard_at = asyncio.get_running_loop().time()
            listener.heard_once = True

    async def _ping_self(self, listener: "_Listener") -> None:
        while True:
            with contextlib.suppress(DependencyDown), reaching("bus"):
                await self._ping(listener)
            await asyncio.sleep(self._period_s)

    async def _ping(self, listener: "_Listener") -> None:
        sent_ms = int(asyncio.get_running_loop().time() * 1000)
        await self._tell(listener.channel, encode_bus(BusPing(listener.origin, sent_ms)))


class _Listener:
    """A bounded queue and when its subscription was last known to work."""

    def __init__(self, bus: RedisBus) -> None:
        self.origin = uuid.uuid4().hex
        self.channel = f"{{{CHANNEL}}}:{self.origin}"  # in the common channel's slot
        self.queue: asyncio.Queue[BusMessage | None] = asyncio.Queue(QUEUE_MAX)
        self.heard_at = asyncio.get_running_loop().time()
        self.heard_once = False
        self._bus = bus

    def deaf(self, period_s: float) -> bool:
        return asyncio.get_running_loop().time() - self.heard_at > PERIODS_DEAF * period_s

    def put(self, message: BusMessage | None) -> None:
        if self.queue.full():
            self.queue.get_nowait()
            self._bus.dropped += 1
        self.queue.put_nowait(message)
