"""Servers: those that the settings name, for callers that wait for them. SQLite is none."""

from collections.abc import Iterator

from miaosha.serving.waiting import Check, Server, shown
from miaosha.settings import Settings

BROKER_SCHEMES = ("amqp://", "amqps://")


def servers(settings: Settings) -> list[Server]:
    """Each once. Their checks raise DependencyDown, and open a connection of their own."""
    found: dict[str, Server] = {}
    for name, check in _checks(settings):
        url = getattr(settings, name)
        found.setdefault(url, Server(f"MIAOSHA_{name.upper()}", shown(url), check))
    return list(found.values())


def store(settings: Settings) -> Server:
    """The first of them."""
    return servers(settings)[0]


def _checks(settings: Settings) -> Iterator[tuple[str, Check]]:
    yield "redis_url", lambda: _redis(settings.redis_url, "store")
    if settings.broker_url.startswith(BROKER_SCHEMES):
        yield "broker_url", lambda: _rabbitmq(settings.broker_url)
    else:
        yield "broker_url", lambda: _redis(settings.broker_url, "broker")
    if not settings.database_url.startswith("sqlite"):
        yield "database_url", lambda: _sql(settings.database_url)


async def _redis(url: str, what: str) -> None:
    from miaosha.adapters.redis.connect import connect, reaching

    client = connect(url, connections_max=1)
    try:
        with reaching(what):
            await client.time()
    finally:
        await client.aclose()


async def _rabbitmq(url: str) -> None:
    from miaosha.adapters.rabbitmq.link import Link

    link = Link(url)
    try:
        await link.connection()
    finally:
        await link.close()


async def _sql(url: str) -> None:
    from sqlalchemy import select

    from miaosha.adapters.sql.engine import open_database

    database = open_database(url, connections=1)
    try:
        await database.read(lambda connection: connection.scalar(select(1)))
    finally:
        await database.close()
