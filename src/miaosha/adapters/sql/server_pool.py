"""Server pool: drivers, bounded pools and session rules of MariaDB/MySQL and PostgreSQL.

Nothing is left to a server's defaults. Writes are READ COMMITTED: every change is a compare-and-set
of one statement. REPEATABLE READ of MySQL and MariaDB would lose updates. Reads are read-only and
REPEATABLE READ, so that the selects of one unit see one snapshot.
"""

import logging
from typing import Any, NamedTuple

from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_S = 3
STATEMENT_S = 8  # a statement runs at most this long; less than what a caller waits
LOCK_S = 3  # and waits this long for a lock: a unit may be tried three times
IDLE_IN_TRANSACTION_S = 15  # PostgreSQL ends a session that forgot its transaction
POOL_WAIT_S = 5  # for a free connection
RECYCLE_S = 1_800  # an older connection is made anew: proxies forget idle ones
MODE = "STRICT_TRANS_TABLES,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"


class PooledSession(NamedTuple):
    """What connections of a pool are for."""

    isolation: str
    read_only: bool
    statement_s: int = STATEMENT_S  # 0: no limit
    idle_s: int = IDLE_IN_TRANSACTION_S  # 0: no limit


WRITING = PooledSession("READ COMMITTED", read_only=False)
READING = PooledSession("REPEATABLE READ", read_only=True)
MIGRATING = PooledSession("READ COMMITTED", read_only=False, statement_s=0, idle_s=0)


def server_engine(url: URL, session: PooledSession, connections: int) -> AsyncEngine:
    """An engine with at most `connections`. Imports the driver; opens nothing yet."""
    postgres = url.get_backend_name() == "postgresql"
    engine = create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S,
        pool_recycle=RECYCLE_S,
        pool_use_lifo=True,
        pool_reset_on_return=None,  # every unit ends its own transaction: one round trip less
        isolation_level=session.isolation,
        hide_parameters=True,
        connect_args=_postgres_arguments(session) if postgres else {"connect_timeout": CONNECT_S},
    )
    if not postgres:
        # It logs what an ignoring insert passed over, values included.
        logging.getLogger("asyncmy").setLevel(logging.ERROR)
        _attach_mysql_rules(engine, session)
    return engine


def _postgres_arguments(session: PooledSession) -> dict[str, Any]:
    return {
        "timeout": CONNECT_S,
        "server_settings": {
            "application_name": "miaosha",
            "statement_timeout": str(session.statement_s * 1000),
            "lock_timeout": str(LOCK_S * 1000),
            "idle_in_transaction_session_timeout": str(session.idle_s * 1000),
            "default_transaction_read_only": "on" if session.read_only else "off",
        },
    }


def _attach_mysql_rules(engine: AsyncEngine, session: PooledSession) -> None:
    def prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT VERSION()")
        mariadb = "MariaDB" in cursor.fetchone()[0]
        limit = (
            f"max_statement_time = {session.statement_s}"
            if mariadb
            else f"max_execution_time = {session.statement_s * 1000}"
        )
        cursor.execute(
            f"SET SESSION sql_mode = '{MODE}', {limit}, "
            f"innodb_lock_wait_timeout = {LOCK_S}, lock_wait_timeout = {LOCK_S}"
        )
        if session.read_only:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
        cursor.close()

    event.listen(engine.sync_engine, "connect", prepare)
