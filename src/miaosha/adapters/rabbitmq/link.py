"""Link: one connection to RabbitMQ, made again when it is lost, with its errors turned into ours.

A link never repeats what was sent: a lost connection fails everything on the way, and the next call
connects anew. It knows no queue by name.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import structlog
from aiormq.abc import DeliveredMessage
from aiormq.connection import Connection
from aiormq.exceptions import AMQPError, ChannelNotFoundEntity, DeliveryError, PublishError
from pamqp.commands import Basic
from yarl import URL

from miaosha.adapters.options import checked_options
from miaosha.adapters.rabbitmq.channels import Channel, Channels
from miaosha.domain.errors import DependencyDown, OutcomeUnknown, Overloaded, SettingsError
from miaosha.domain.urls import server_of
from miaosha.serving.ending import cancellations

Delivered = DeliveredMessage
Properties = Basic.Properties

SCHEMES: Final = ("amqp", "amqps")
EXPECTED: Final = "expected amqp[s]://user:password@host:port/vhost"
OPTIONS: Final = {  # by name: whether it is a file
    **dict.fromkeys(("cafile", "certfile", "keyfile"), True),
    **dict.fromkeys(("heartbeat", "name", "timeout", "no_verify_ssl", "auth"), False),
}
CONNECT_TIMEOUT_S: Final = 5.0
COMMAND_TIMEOUT_S: Final = 5.0
CLOSE_TIMEOUT_S: Final = 2.0
RETRY_AFTER_S: Final = 0.1  # a refused connect is answered from memory for so long
HEARTBEAT_S: Final = 10  # a peer that hangs is given up after about three of them
INFLIGHT_MAX: Final = 4_096  # messages on the way of one process
PERSISTENT: Final = 2

log = structlog.get_logger()


class NoQueue(DependencyDown):
    """The queue is not there (or nothing is bound where a message was sent)."""


class Returned(NoQueue):
    """The broker gave the message back, so it is nowhere."""


@contextmanager
def reaching() -> Iterator[None]:
    """Turn "the broker is away, or hung up" into DependencyDown, a missing queue into NoQueue."""
    before = cancellations()
    try:
        yield
    except ChannelNotFoundEntity as error:
        if "no queue" in str(error):
            raise NoQueue(f"broker: {error}") from error
        raise DependencyDown(f"broker: {error}") from error
    except (AMQPError, OSError, RuntimeError) as error:  # includes asyncio's TimeoutError
        raise DependencyDown(f"broker: {type(error).__name__}: {error}") from error
    except asyncio.CancelledError:
        if cancellations() > before:
            raise
        # Not ours: the client cancels what waits on a connection that is gone.
        raise DependencyDown("broker: the connection was lost") from None


class Link:
    """See the module.

    Args:
        url: amqp:// or amqps://user:password@host:port/vhost; TLS files as query parameters
            (cafile, certfile, keyfile).

    Raises:
        SettingsError: the URL is none.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = server_of(url)
            numbers = ("heartbeat", "timeout")
            for name, value in checked_options(parts, OPTIONS).items():
                if name in numbers and not value.isdecimal():
                    raise ValueError(f"with {name}, which is no number of seconds")
        except ValueError as error:
            raise SettingsError(f"broker URL: {EXPECTED}, not one {error}") from None
        try:
            self._url = URL(url)
        except ValueError:  # its text may quote the password
            raise SettingsError(f"broker URL: {EXPECTED}") from None
        if parts.scheme not in SCHEMES:
            raise SettingsError(f"broker URL: {EXPECTED}")
        if "heartbeat" not in self._url.query:
            self._url = self._url.update_query(heartbeat=HEARTBEAT_S)
        # The client logs what we tell ourselves, a lost connection as an error with its stack, and
        # messages with their bodies.
        logging.getLogger("aiormq").setLevel(logging.CRITICAL)
        self._connection: Connection | None = None
        self._was_blocked = False
        self._connecting = asyncio.Lock()
        self._retry_at = 0.0
        self._closed = False
        self._shared: Channel | None = None
        self._inflight = 0
        self._channels = Channels()

    async def connection(self) -> Connection:
        """The live connection, made if need be. Raises DependencyDown."""
        connection = self._connection
        if connection is not None and connection.is_opened:
            return connection
        async with self._connecting:
            if self._connection is None or not self._connection.is_opened:
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        if self._closed or loop.time() < self._retry_at:
            raise DependencyDown("broker: no connection")
        fresh = Connection(self._url, loop=loop)
        try:
            with reaching():
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await fresh.connect()
        except DependencyDown:
            self._retry_at = loop.time() + RETRY_AFTER_S
            raise
        self._shared = None
        fresh.closing.add_done_callback(self._ended)
        return fresh

    def _ended(self, closing: "asyncio.Future[Any]") -> None:
        if not self._closed:
            why = "closed" if closing.cancelled() else repr(closing.exception())
            log.warning("broker_connection_lost", error=why[:200])

    async def version(self) -> tuple[int, ...]:
        """Of the server, e.g. (3, 10, 8)."""
        properties: Any = (await self.connection()).server_properties
        return tuple(int(n) for n in str(properties["version"]).split(".")[:3] if n.isdigit())

    @asynccontextmanager
    async def channel(self, *, confirms: bool = False) -> AsyncIterator[Channel]:
        """A channel for the caller, closed at the end: what it has not acknowledged comes again.
        Errors inside are turned as `reaching` says."""
        with reaching():
            connection = await self.connection()
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                channel = await self._channels.open(connection, confirms=confirms)
            try:
                yield channel
            finally:
                await _close(channel)

    async def publish(
        self,
        body: bytes,
        routing_key: str,
        *,
        exchange: str = "",
        timeout_s: float = COMMAND_TIMEOUT_S,
        properties: Properties | None = None,
    ) -> None:
        """Send one message and wait until the broker has it durably.

        Raises:
            DependencyDown: nothing was sent.
            Returned: no queue takes it.
            Overloaded: the broker takes nothing for the time being, or too many are on the way.
            OutcomeUnknown: no confirm came, or the broker could not store it everywhere.
        """
        connection = await self.connection()
        self._refuse_blocked(connection)
        if self._inflight >= INFLIGHT_MAX:
            raise Overloaded("broker_inflight_max")
        channel = await self._publishing(connection)
        properties = properties or Properties()
        properties.delivery_mode = PERSISTENT
        self._inflight += 1
        try:
            with reaching():
                async with asyncio.timeout(timeout_s):
                    await _send(channel, body, exchange, routing_key, properties)
        except (Returned, OutcomeUnknown):
            raise
        except DependencyDown as error:
            raise OutcomeUnknown(str(error)) from error
        finally:
            self._inflight -= 1

    def _refuse_blocked(self, connection: Connection) -> None:
        now = blocked(connection)
        if now != self._was_blocked:
            log.warning("broker_blocked" if now else "broker_unblocked")
            self._was_blocked = now
        if now:
            raise Overloaded("broker_blocked")

    async def _publishing(self, connection: Connection) -> Channel:
        """The one channel all publishes of this process share."""
        shared = self._shared
        if shared is not None and not shared.is_closed and connection is self._connection:
            return shared
        async with self._connecting:
            shared = self._shared
            if shared is None or shared.is_closed:
                with reaching():
                    async with asyncio.timeout(COMMAND_TIMEOUT_S):
                        shared = self._shared = await self._channels.open(connection, confirms=True)
            return shared

    async def close(self) -> None:
        self._closed = True
        await self.hang_up()

    @property
    def up(self) -> bool:
        """Whether there is a live connection at the moment."""
        return self._connection is not None and self._connection.is_opened

    async def hang_up(self) -> None:
        """End the connection; the next call makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(DependencyDown), reaching():
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await connection.close()


async def _send(
    channel: Channel, body: bytes, exchange: str, routing_key: str, properties: Properties
) -> None:
    try:
        await channel.basic_publish(
            body,
            exchange=exchange,
            routing_key=routing_key,
            mandatory=True,
            properties=properties,
        )
    except PublishError:
        raise Returned(f"broker: no queue takes {routing_key}") from None
    except DeliveryError:  # refused by one of several queues: another may have it
        raise OutcomeUnknown(f"broker: {routing_key} was refused") from None


def blocked(connection: Connection) -> bool:
    """Whether the broker has said that it reads nothing from us now (an alarm): `ready` returns
    at its first step unless it has to wait for the end of that."""
    step: Any = connection.ready()
    try:
        step.send(None)
    except StopIteration:
        return False
    step.close()
    return True


async def _close(channel: Channel) -> None:
    """End a channel within a bound, also while we are being cancelled."""
    with contextlib.suppress(DependencyDown), reaching():
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await channel.close()
