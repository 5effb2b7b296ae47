"""Examination: looks at every configured part, for `miaosha doctor` and for strict roles."""

import asyncio
import time
from typing import Final

import structlog

from miaosha.bootstrap.servers import servers
from miaosha.domain.errors import MiaoshaError, SettingsError
from miaosha.domain.findings import Examined, Fitness
from miaosha.domain.sale import Phase
from miaosha.serving.waiting import Server
from miaosha.settings import Settings

BOARD_S: Final = 5.0
AGAIN_S: Final = 1.0  # between two looks at a server that is away
ANSWERS: Final = "answers"
SETTINGS: Final = {
    "store": "MIAOSHA_REDIS_URL",
    "broker": "MIAOSHA_BROKER_URL",
    "database": "MIAOSHA_DATABASE_URL",
}

log = structlog.get_logger()


def sql_connections(settings: Settings) -> int:
    """What all processes together may open to the primary: each for writes and as many to read."""
    per_role = (
        settings.apis * settings.sql_connections_api,
        settings.consumers * settings.sql_connections_consumer,
        settings.schedulers * settings.sql_connections_scheduler,
        settings.mailers * settings.sql_connections_mailer,
    )
    return 2 * sum(per_role)


async def examine(settings: Settings, *, sql: bool = True) -> list[Examined]:
    """What the servers of these settings are like; one that is away is a finding.

    Args:
        sql: the database too (roles that never use it do not load its driver).

    Raises:
        SettingsError: a URL that cannot be used.
    """
    from miaosha.adapters.clock import StoreClock
    from miaosha.adapters.redis.examine import examine_redis

    machine_ms = StoreClock().now_ms
    waiting = settings.redis_wait_replicas
    found = await examine_redis(settings.redis_url, "store", machine_ms, waiting)
    found += await _broker(settings)
    if sql:
        from miaosha.adapters.sql.examine import examine_database

        found += await examine_database(
            settings.database_url,
            settings.database_replica_url,
            settings.replica_lag_max_ms,
            sql_connections(settings),
            machine_ms,
        )
    return found


async def _broker(settings: Settings) -> list[Examined]:
    """By the scheme of its URL."""
    if settings.broker_url.startswith(("amqp://", "amqps://")):
        from miaosha.adapters.rabbitmq.examine import examine_rabbitmq

        return await examine_rabbitmq(settings.broker_url, await _live_sales(settings))
    from miaosha.adapters.clock import StoreClock
    from miaosha.adapters.redis.examine import examine_redis

    return await examine_redis(settings.broker_url, "broker", StoreClock().now_ms)


async def _live_sales(settings: Settings) -> list[int]:
    """Of the board; none while the store is away, which is a finding of its own."""
    from miaosha.adapters.redis.connect import connect
    from miaosha.adapters.redis.store import RedisStore

    client = connect(settings.redis_url, connections_max=2)
    try:
        async with asyncio.timeout(BOARD_S):
            board = await RedisStore(client).read_sales()
    except (MiaoshaError, TimeoutError):
        return []
    finally:
        await client.aclose()
    sales = board.sales if board else {}
    return [sale_id for sale_id, sale in sales.items() if sale.phase is not Phase.SETTLED]


def _tell(server: Server | None, why: str) -> None:
    if server is not None and server.blame(time.monotonic()):
        log.warning("waiting_for", setting=server.setting, where=server.where, error=why)


async def refuse_unfit(settings: Settings, *, sql: bool = True) -> None:
    """With MIAOSHA_STRICT=1: no start on a server that breaks a promise. One that is away is waited
    for: it may be of either kind.

    Raises:
        SettingsError: naming each, with what to change.
    """
    if not settings.strict:
        return
    reached = {server.setting: server for server in servers(settings)}
    while True:
        found = [f for f in await examine(settings, sql=sql) if f.verdict is Fitness.REFUSED]
        away = [f for f in found if f.what == ANSWERS and f.part in SETTINGS]
        if not away:
            break
        for finding in away:
            _tell(reached.get(SETTINGS[finding.part]), finding.advice)
        await asyncio.sleep(AGAIN_S)
    for server in reached.values():
        if server.told:
            log.warning("came", setting=server.setting, where=server.where)
    bad = found
    if bad:
        lines = [f"{f.part}: {f.what} is {f.found}: {f.advice}" for f in bad]
        raise SettingsError("MIAOSHA_STRICT=1 refuses to start:\n  - " + "\n  - ".join(lines))
