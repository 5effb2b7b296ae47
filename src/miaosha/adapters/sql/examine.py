"""Examination: what a SQL server is and whether it keeps what it confirms, for the doctor."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from miaosha.adapters.sql import migrate
from miaosha.adapters.sql.borrowing import borrowed
from miaosha.adapters.sql.database import Database, before_commit
from miaosha.adapters.sql.engine import driver_url, is_file, open_database
from miaosha.adapters.sql.replica import lag_of, server_now_ms
from miaosha.domain.errors import MiaoshaError
from miaosha.domain.findings import Examined, Fitness, clock_finding, judged

OLDEST = {"MariaDB": (10, 6), "MySQL": (8, 0, 16), "PostgreSQL": (13,), "SQLite": (3, 35)}
ASK_S = 5.0
DATABASE, REPLICA = "database", "replica"


async def examine_database(
    url: str, replica_url: str, lag_max_ms: int, connections: int, machine_ms: Callable[[], int]
) -> list[Examined]:
    """Connects; a server that does not answer is a finding, not an error.

    Args:
        connections: those of all roles together, as configured.
        machine_ms: this machine's wall clock.
    """
    database = open_database(url, connections=2)
    try:
        async with asyncio.timeout(3 * ASK_S):
            found = await database.write(lambda c: _server(c, connections))
            if not is_file(driver_url(url)):
                server_ms = await database.read(_now_ms)
                found.append(clock_finding(DATABASE, server_ms - machine_ms()))
            found.append(await asyncio.to_thread(_schema, url))
            if replica_url:
                found += await _replica(database, replica_url, lag_max_ms)
    except (MiaoshaError, TimeoutError) as error:
        said = str(error) or "no answer"
        return [Examined(DATABASE, "answers", "no", Fitness.REFUSED, said)]
    finally:
        await database.close()
    return found


def _now_ms(connection: Connection) -> int:
    return int(connection.scalar(select(server_now_ms(connection.dialect.name))) or 0)


def _schema(url: str) -> Examined:
    current = migrate.current(url)
    return judged(
        DATABASE,
        "schema",
        current or "none",
        current == migrate.head(),
        Fitness.REFUSED,
        f"miaosha db upgrade (this version needs {migrate.head()})",
    )


def _server(connection: Connection, connections: int) -> list[Examined]:
    kind, version = _version(connection)
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:3])
    oldest = ".".join(map(str, OLDEST[kind]))
    found = [
        judged(
            DATABASE,
            "version",
            f"{kind} {'.'.join(map(str, numbers))}",
            numbers >= OLDEST[kind],
            Fitness.REFUSED,
            f"at least {kind} {oldest}: older ones do not enforce CHECK constraints as we need",
        )
    ]
    rules = {"PostgreSQL": _postgres, "SQLite": _sqlite}.get(kind, _mysql)
    return found + rules(connection, connections)


def _version(connection: Connection) -> tuple[str, str]:
    if connection.dialect.name == "sqlite":
        return "SQLite", str(connection.exec_driver_sql("SELECT sqlite_version()").scalar())
    version = str(connection.exec_driver_sql("SELECT VERSION()").scalar())
    if connection.dialect.name == "postgresql":
        return "PostgreSQL", version
    return ("MariaDB" if "MariaDB" in version else "MySQL"), version


def _sqlite(connection: Connection, _connections: int) -> list[Examined]:
    mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
    return [
        judged(DATABASE, "journal_mode", mode, mode == "wal", Fitness.REFUSED, "a local disk"),
        judged(
            DATABASE, "synchronous", synchronous, synchronous in (2, 3), Fitness.REFUSED, "FULL"
        ),
    ]


def _mysql(connection: Connection, connections: int) -> list[Examined]:
    def value(name: str) -> Any:
        return connection.exec_driver_sql(f"SELECT @@GLOBAL.{name}").scalar()

    session = connection.exec_driver_sql("SHOW SESSION VARIABLES LIKE '%%x_isolation'").first()
    isolation = str(session[-1]) if session else "?"
    flush, sync = value("innodb_flush_log_at_trx_commit"), value("sync_binlog")
    logged = bool(value("log_bin"))
    read_only, most = bool(value("read_only")), int(value("max_connections"))
    return [
        judged(
            DATABASE,
            "innodb_flush_log_at_trx_commit",
            flush,
            flush == 1,
            Fitness.REFUSED,
            "set it to 1: a crash of the machine forgets units that were sold",
        ),
        judged(
            DATABASE,
            "sync_binlog",
            sync if logged else f"{sync} (no binary log)",
            sync == 1 or not logged,
            Fitness.WARNING,
            "set it to 1: after a crash a replica may have what the primary has not",
        ),
        _isolation(isolation, isolation == "READ-COMMITTED"),
        judged(
            DATABASE, "read_only", read_only, not read_only, Fitness.REFUSED, "this is a replica"
        ),
        _connections(most, connections),
    ]


def _postgres(connection: Connection, connections: int) -> list[Examined]:
    def value(name: str) -> str:
        return str(connection.exec_driver_sql(f"SHOW {name}").scalar())

    fsync, confirmed, pages = (
        value("fsync"),
        value("synchronous_commit"),
        value("full_page_writes"),
    )
    copy = bool(connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar())
    isolation = value("transaction_isolation")
    forgets = "set it to on: a crash of the machine forgets units that were sold"
    return [
        judged(DATABASE, "fsync", fsync, fsync == "on", Fitness.REFUSED, forgets),
        judged(
            DATABASE, "synchronous_commit", confirmed, confirmed != "off", Fitness.REFUSED, forgets
        ),
        judged(
            DATABASE,
            "full_page_writes",
            pages,
            pages == "on",
            Fitness.WARNING,
            "set it to on, unless the disk never tears a page",
        ),
        _isolation(isolation, isolation == "read committed"),
        judged(DATABASE, "in recovery", copy, not copy, Fitness.REFUSED, "this is a replica"),
        _connections(int(value("max_connections")), connections),
    ]


def _isolation(found: str, good: bool) -> Examined:
    return judged(
        DATABASE, "isolation", found, good, Fitness.REFUSED, "a proxy changes our sessions"
    )


def _connections(most: int, wanted: int) -> Examined:
    return judged(
        DATABASE,
        "max_connections",
        f"{most} for up to {wanted} of ours",
        most >= wanted,
        Fitness.WARNING,
        f"raise it to {wanted + 20}, or lower MIAOSHA_SQL_CONNECTIONS_API and its like",
    )


async def _replica(primary: Database, url: str, lag_max_ms: int) -> list[Examined]:
    from miaosha.adapters.sql.server_pool import READING, server_engine

    engine = server_engine(driver_url(url), READING, 1)
    try:
        async with asyncio.timeout(ASK_S), borrowed(engine) as connection:
            protected = await connection.run_sync(_read_only)
        lag_ms = await lag_of(engine, primary, lag_max_ms)
    except (MiaoshaError, SQLAlchemyError, OSError) as error:
        said = f"the primary answers instead ({before_commit(error)})"
        return [Examined(REPLICA, "answers", "no", Fitness.WARNING, said)]
    finally:
        await engine.dispose()
    recent = lag_ms <= lag_max_ms
    return [
        judged(
            REPLICA,
            "lag",
            f"at most {max(lag_ms, 0)} ms" if recent else f"more than {lag_max_ms} ms",
            recent,
            Fitness.WARNING,
            "is replication running? meanwhile the primary answers",
        ),
        judged(
            REPLICA,
            "read only",
            "yes" if protected else "no",
            protected,
            Fitness.WARNING,
            "set read_only: a write here makes it differ for good",
        ),
    ]


def _read_only(connection: Connection) -> bool:
    if connection.dialect.name == "postgresql":
        return bool(connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar())
    return bool(connection.exec_driver_sql("SELECT @@GLOBAL.read_only").scalar())
