"""A replica answers what tolerates lag while it is recent; stopped, late or gone, the primary."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from miaosha.adapters.sql import migrate, replica
from miaosha.adapters.sql.backoffice import SqlBackoffice
from miaosha.adapters.sql.engine import open_database
from miaosha.supervisor.servers.sql_server import SqlServer
from tests.contract.sql.servers import administer
from tests.contract.sql.shop import Shop
from tests.kit.mariadb import start_mariadb, start_mariadb_replica
from tests.kit.waits import until

pytestmark = pytest.mark.servers
LATE_S = 30


class Pair:
    """A primary and its replica, opened as a role opens them."""

    def __init__(self, primary: SqlServer, replica: SqlServer) -> None:
        self.primary = primary
        self.replica = replica
        self.database: Any = open_database(primary.url, replica.url, connections=4)

    async def answers_from(self, server: SqlServer) -> bool:
        """Does a read that tolerates lag go to `server` now?"""

        def port(connection: Connection) -> int:
            return int(connection.execute(text("SELECT @@port")).scalar() or 0)

        return bool(await self.database.read(port, lagging=True) == server.port)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="ms-sql-", dir="/tmp") as name:
        primary = await start_mariadb(Path(name))
        replica = await start_mariadb_replica(Path(name), primary)
        try:
            await asyncio.to_thread(migrate.upgrade, primary.url)
            both = Pair(primary, replica)
            yield both
            await both.database.close()
        finally:
            await replica.stop()
            await primary.stop()


async def test_a_recent_replica_answers_what_tolerates_lag_and_nothing_else(pair: Pair) -> None:
    assert await pair.answers_from(pair.primary)  # nothing is known of the replica yet
    await until(lambda: pair.answers_from(pair.replica))

    def port(connection: Connection) -> int:
        return int(connection.execute(text("SELECT @@port")).scalar() or 0)

    assert await pair.database.read(port) == pair.primary.port
    assert await pair.database.write(port) == pair.primary.port


async def test_buyers_read_their_own_writes(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders paid one after another, the history asked after each: never one too few. However slow
    the machine is, the replica counts as recent to the end."""
    shop = Shop(pair.database)
    sale = await shop.sale(stock=20)
    await shop.grant(sale, *range(1, 21))
    await until(lambda: pair.answers_from(pair.replica))
    for verdict_lasts in ("CHECK_S", "VERDICT_S"):
        monkeypatch.setattr(replica, verdict_lasts, 600.0)
    await administer(pair.replica, "STOP SLAVE SQL_THREAD")
    for user in range(1, 4):
        order = await shop.pay(user)
        assert [o.id for o in (await shop.ledger.orders.page(user, None, 10)).items] == [order.id]
        assert (await shop.hold(f"batch.{user}")).state == "PAID"
    assert await pair.answers_from(pair.replica)  # it has not been missed yet


async def test_a_replica_that_stopped_misleads_nobody(pair: Pair) -> None:
    shop, backoffice = Shop(pair.database), SqlBackoffice(pair.database)
    await until(lambda: pair.answers_from(pair.replica))
    await administer(pair.replica, "STOP SLAVE")
    await until(lambda: pair.answers_from(pair.primary))
    await shop.accounts.create("ann@example.org", "Ann", "", "buyer", 1)
    assert [person.name for person in await backoffice.people("ann", None, 10)] == ["Ann"]
    await administer(pair.replica, "START SLAVE")
    await until(lambda: pair.answers_from(pair.replica))


async def test_a_replica_half_a_minute_late_misleads_nobody(pair: Pair) -> None:
    shop, backoffice = Shop(pair.database), SqlBackoffice(pair.database)
    await until(lambda: pair.answers_from(pair.replica))
    await administer(
        pair.replica, "STOP SLAVE", f"CHANGE MASTER TO MASTER_DELAY={LATE_S}", "START SLAVE"
    )
    await until(lambda: pair.answers_from(pair.primary))
    await shop.accounts.create("ann@example.org", "Ann", "", "buyer", 1)
    for _ in range(20):
        assert [person.name for person in await backoffice.people("ann", None, 10)] == ["Ann"]
        assert await pair.answers_from(pair.primary)


async def test_a_replica_that_is_gone_or_hangs_breaks_nothing(pair: Pair) -> None:
    await until(lambda: pair.answers_from(pair.replica))
    await pair.replica.stop(signal.SIGKILL)
    assert await pair.answers_from(pair.primary)
    await pair.replica.start()
    await until(lambda: pair.answers_from(pair.replica))
    pair.replica.pause()
    try:
        assert await pair.answers_from(pair.primary)
    finally:
        pair.replica.resume()
