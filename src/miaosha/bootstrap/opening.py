"""Opening: adapters by URL, each closed by the stack in reverse order.

Imports stand inside the functions: a role loads only what it opens.
"""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from miaosha.ports.broker import Broker
from miaosha.ports.clock import Clock, StepClock
from miaosha.ports.heartbeats import Heartbeats
from miaosha.ports.ledger import Ledger
from miaosha.ports.store import StockStore
from miaosha.ports.tokens import Tokens
from miaosha.serving.readiness import Check
from miaosha.serving.waiting import waiting
from miaosha.settings import Settings

if TYPE_CHECKING:
    from miaosha.adapters.rabbitmq.broker import RabbitBroker
    from miaosha.adapters.redis.broker import RedisBroker
    from miaosha.adapters.redis.bus import RedisBus
    from miaosha.adapters.sql.database import Database


class Opening:
    """What roles share, opened on first use and closed in reverse by the stack."""

    def __init__(self, settings: Settings, stack: AsyncExitStack, sql_connections: int = 1) -> None:
        self._settings = settings
        self._stack = stack
        self._sql_connections = sql_connections
        self.checks: dict[str, Check] = {}
        self._clock: Clock | None = None

    async def store(self) -> tuple[StockStore, Heartbeats, StepClock]:
        from miaosha.adapters.clock import StoreClock
        from miaosha.adapters.redis.connect import connect
        from miaosha.adapters.redis.copies import Copies
        from miaosha.adapters.redis.heartbeats import RedisHeartbeats
        from miaosha.adapters.redis.store import RedisStore

        client = connect(self._settings.redis_url)
        self._stack.push_async_callback(client.aclose)
        replicas, within_ms = self._settings.redis_wait_replicas, self._settings.redis_wait_ms
        store = RedisStore(client, Copies(replicas, within_ms) if replicas else None)
        clock = StoreClock(
            store.now_ms,
            step_max_ms=self._settings.clock_step_max_ms,
            believe_s=self._settings.clock_believe_s,
        )
        await clock.start()
        self._clock = clock
        self._stack.push_async_callback(clock.stop)

        async def reached() -> None:
            await store.now_ms()

        self.checks["store"] = reached
        names = ("store", "bus", "heartbeats")
        waiting.know("MIAOSHA_REDIS_URL", self._settings.redis_url, names, reached)
        return store, RedisHeartbeats(client), clock

    def broker(self) -> Broker:
        """By the scheme of its URL; after `store`, whose clock it tells the time by."""
        amqp = self._settings.broker_url.startswith(("amqp://", "amqps://"))
        broker: Broker = self._rabbitmq() if amqp else self._redis_broker()
        self._stack.push_async_callback(broker.close)
        self.checks["broker"] = broker.ping
        waiting.know("MIAOSHA_BROKER_URL", self._settings.broker_url, ("broker",), broker.ping)
        return broker

    def _rabbitmq(self) -> "RabbitBroker":
        from miaosha.adapters.rabbitmq.broker import RabbitBroker

        settings = self._settings
        assert self._clock is not None
        return RabbitBroker(
            settings.broker_url,
            now_ms=self._clock.now_ms,
            backlog_max=settings.backlog_max,
            log_max_bytes=settings.log_max_bytes,
            prefetch=settings.prefetch,
            confirm_timeout_ms=settings.confirm_timeout_ms,
        )

    def _redis_broker(self) -> "RedisBroker":
        from miaosha.adapters.redis.broker import RedisBroker

        settings = self._settings
        return RedisBroker(
            settings.broker_url,
            backlog_max=settings.backlog_max,
            log_max_bytes=settings.log_max_bytes,
            prefetch=settings.prefetch,
            reclaim_after_ms=settings.reclaim_after_ms,
            confirm_timeout_ms=settings.confirm_timeout_ms,
        )

    def bus(self) -> "RedisBus":
        from miaosha.adapters.redis.bus import RedisBus

        bus = RedisBus(self._settings.redis_url)
        self._stack.push_async_callback(bus.close)
        return bus

    def database(self) -> "Database":
        from miaosha.adapters.sql.engine import open_database

        database = open_database(
            self._settings.database_url,
            self._settings.database_replica_url,
            connections=self._sql_connections,
            replica_lag_max_ms=self._settings.replica_lag_max_ms,
        )
        self._stack.push_async_callback(database.close)
        if replica := self._settings.database_replica_url:
            name = ("replica",)
            waiting.know("MIAOSHA_DATABASE_REPLICA_URL", replica, name, database.reach_replica)
        return database

    def ledger(self, database: "Database") -> Ledger:
        from miaosha.adapters.sql.ledger import SqlLedger

        ledger = SqlLedger(database)
        self.checks["database"] = ledger.ping
        url = self._settings.database_url
        waiting.know("MIAOSHA_DATABASE_URL", url, ("database",), ledger.ping)
        return ledger

    def tokens(self) -> Tokens:
        from miaosha.adapters.keyring import Keyring
        from miaosha.adapters.tokens import JwtTokens

        ring = Keyring.parse(self._settings.secret_keys)
        return JwtTokens(ring, access_token_s=self._settings.access_token_s)
