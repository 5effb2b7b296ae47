"""What holds on MariaDB and PostgreSQL alone: sessions, deadlocks, cut commits, restarts."""

import asyncio
import random
import signal
import threading
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, text, update
from sqlalchemy.util import await_only

from miaosha.adapters.sql import migrate, server_database
from miaosha.adapters.sql.borrowing import GIVE_BACK_S
from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.sale_terms import lock_terms
from miaosha.adapters.sql.tables import leases, sales
from miaosha.domain.errors import DependencyDown, OutcomeUnknown, Overloaded
from miaosha.domain.reservation import GRACE_MS, HoldState
from miaosha.domain.sale import Phase
from miaosha.ports.attempts import BegunAttempt, NotPayable
from miaosha.supervisor.servers.sql_server import SqlServer
from tests.contract.sql.cutting import Cut, CuttingProxy
from tests.contract.sql.servers import CONNECTIONS, connected, serving
from tests.contract.sql.shop import DELIVERY, NOW, PAY_WITHIN_S, Shop, winner
from tests.kit.mariadb import start_mariadb
from tests.kit.postgres import start_postgres

pytestmark = pytest.mark.servers
HANG_S = 1.0
SLOW_S = 10.0  # what a busy machine may add
FAULTS = {type(None), DependencyDown, OutcomeUnknown, Overloaded}


def put(name: str, until_ms: int = 0) -> Any:
    def unit(connection: Connection) -> None:
        connection.execute(insert(leases).values(name=name, owner="me", until_ms=until_ms))

    return unit


def add_one(connection: Connection, name: str) -> None:
    row = update(leases).where(leases.c.name == name)
    connection.execute(row.values(until_ms=leases.c.until_ms + 1))


def count_of(name: str) -> Any:
    return lambda c: c.scalar(select(leases.c.until_ms).where(leases.c.name == name))


async def test_every_session_has_its_rules(server_database: Database) -> None:
    names = {
        "mysql": (
            "@@SESSION.tx_isolation, @@SESSION.tx_read_only, @@SESSION.max_statement_time,"
            " @@SESSION.innodb_lock_wait_timeout, @@SESSION.sql_mode LIKE '%STRICT_TRANS%'"
        ),
        "postgresql": (
            "current_setting('transaction_isolation'), current_setting('transaction_read_only'),"
            " current_setting('statement_timeout'), current_setting('lock_timeout'), true"
        ),
    }
    wanted = {
        "mysql": [("READ-COMMITTED", 0, 8, 3, 1), ("REPEATABLE-READ", 1, 8, 3, 1)],
        "postgresql": [
            ("read committed", "off", "8s", "3s", True),
            ("repeatable read", "on", "8s", "3s", True),
        ],
    }

    def rules(connection: Connection) -> tuple[str, Any]:
        name = connection.dialect.name
        kind = "postgresql" if name == "postgresql" else "mysql"
        return kind, tuple(connection.execute(text(f"SELECT {names[kind]}")).one())

    kind, writing = await server_database.write(rules)
    assert [writing, (await server_database.read(rules))[1]] == wanted[kind]


async def test_a_reader_cannot_write(server_database: Database) -> None:
    with pytest.raises(DependencyDown, match=r"(?i)read.only"):
        await server_database.read(put("a"))


async def test_a_read_sees_one_snapshot(server_database: Database) -> None:
    await server_database.write(put("a"))
    seen, written = asyncio.Event(), asyncio.Event()

    def unit(connection: Connection) -> Any:
        first = connection.scalar(select(func.count()).select_from(leases))
        seen.set()
        await_only(written.wait())
        return first, connection.scalar(select(func.count()).select_from(leases))

    reading = asyncio.create_task(server_database.read(unit))
    await seen.wait()
    await server_database.write(put("b"))
    written.set()
    assert await reading == (1, 1)


async def test_no_update_is_lost(server_database: Database) -> None:
    await server_database.write(put("a"))
    await asyncio.gather(*(server_database.write(lambda c: add_one(c, "a")) for _ in range(100)))
    assert await server_database.read(count_of("a")) == 100


async def test_a_deadlock_is_tried_again(server_database: Database) -> None:
    for name in ("a", "b"):
        await server_database.write(put(name))
    runs: list[str] = []
    both = asyncio.Barrier(2)

    def crossing(first: str, second: str) -> Any:
        def unit(connection: Connection) -> None:
            runs.append(first)
            add_one(connection, first)
            if len(runs) <= 2:  # the first time round each holds what the other wants
                await_only(both.wait())
            add_one(connection, second)

        return unit

    await asyncio.gather(
        server_database.write(crossing("a", "b")), server_database.write(crossing("b", "a"))
    )
    assert len(runs) >= 3, "one was undone, and ran again"
    assert [await server_database.read(count_of(name)) for name in ("a", "b")] == [2, 2]


async def test_a_server_that_stops_answering_holds_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether it hangs before a statement, after it, or while the connection is given back."""
    monkeypatch.setattr(server_database, "READ_TIMEOUT_S", HANG_S)
    async with serving(start_mariadb) as server:
        database = connected(server.url, write_timeout_s=HANG_S)

        def unit(pause: str) -> Any:
            def work(connection: Connection) -> None:
                if pause == "before":
                    server.pause()
                connection.execute(select(leases.c.name))
                if pause == "after":
                    server.pause()

            return work

        for call in (database.read, database.write):
            for pause in ("before", "after"):
                calls = [call(unit(pause)), *(call(unit("")) for _ in range(3 * CONNECTIONS))]
                async with asyncio.timeout(HANG_S + 4 * GIVE_BACK_S + SLOW_S):
                    ended = await asyncio.gather(*calls, return_exceptions=True)
                assert {type(end) for end in ended} <= FAULTS
                server.resume()
                # no connection of the pool is lost for it
                await asyncio.gather(*(call(unit("")) for _ in range(2 * CONNECTIONS)))
        await database.close()


@pytest.mark.parametrize("how", ["read", "write"])
async def test_a_call_that_is_cancelled_ends_and_is_not_tried_again(
    server_database: Database, how: str
) -> None:
    inside = asyncio.Event()
    tries = 0

    def unit(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        connection.execute(select(leases.c.name))
        inside.set()
        await_only(asyncio.Event().wait())

    call = asyncio.create_task(getattr(server_database, how)(unit))
    async with asyncio.timeout(SLOW_S):
        await inside.wait()
        call.cancel()
        await asyncio.wait({call})
    assert call.cancelled()
    assert tries == 1


async def test_a_deadline_is_the_end_of_a_write(sql_server: SqlServer) -> None:
    database = connected(sql_server.url, write_timeout_s=HANG_S)
    tries = 0

    def unit(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        connection.execute(select(leases.c.name))
        await_only(asyncio.Event().wait())

    async with asyncio.timeout(HANG_S + 2 * GIVE_BACK_S + SLOW_S):
        with pytest.raises(DependencyDown):
            await database.write(unit)
    assert tries == 1
    await database.close()


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER, Cut.SILENT])
async def test_a_commit_that_was_cut_is_unknown_and_found_by_its_rid(
    server_database: Database, sql_server: SqlServer, cut: Cut
) -> None:
    direct = Shop(server_database)
    sale = await direct.sale()
    async with CuttingProxy(sql_server.port) as proxy:
        database = connected(
            sql_server.url.replace(f":{sql_server.port}/", f":{proxy.port}/"), write_timeout_s=2
        )
        shop = Shop(database)
        proxy.cut = await _armed(shop, cut)
        with pytest.raises(OutcomeUnknown):
            await shop.ledger.holds.grant(sale, 1, [winner(1)], NOW)
        assert proxy.cut is Cut.NEVER
        there = cut is not Cut.BEFORE
        assert bool(await direct.ledger.holds.by_rid(["batch.1"])) == there
        granted = await shop.ledger.holds.grant(
            sale, 1, [winner(1)], NOW
        )  # asked again, as callers do
        assert isinstance(granted, list) and granted[0].state is HoldState.HELD
        proxy.cut = await _armed(shop, cut)
        with pytest.raises(OutcomeUnknown):
            await shop.begin(1)
        hold = await shop.hold("batch.1")
        assert (hold.state is HoldState.PAYING) == there
        attempt = 1 if there else (await shop.begin(1)).attempt
        proxy.cut = await _armed(shop, cut)
        with pytest.raises(OutcomeUnknown):
            await shop.ledger.attempts.capture("batch.1", attempt, NOW)
        captured = await shop.ledger.attempts.capture("batch.1", attempt, NOW)
        assert captured.order is not None
        await database.close()
    await direct.balanced(sale)


async def _armed(shop: Shop, cut: Cut) -> Cut:
    """With an open connection, for MariaDB's driver commits once when it opens one."""
    await shop.ledger.leases.take("a connection", "is open", NOW, None)
    return cut


async def test_a_connection_that_died_is_replaced_unseen(
    server_database: Database, sql_server: SqlServer
) -> None:
    shop = Shop(server_database)
    sale = await shop.sale()
    await _end_all_sessions(server_database, sql_server)
    await shop.grant(sale, 1)
    await _end_all_sessions(server_database, sql_server)
    assert (await shop.terms(sale)).granted == 1


async def _end_all_sessions(database: Database, server: SqlServer) -> None:
    """Of `database`, from another connection; twice, for two pools of it."""
    other = connected(server.url)

    def unit(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return
        mine = connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar()
        ids = "SELECT id FROM information_schema.processlist WHERE user = 'miaosha'"
        for (session,) in connection.exec_driver_sql(ids).all():
            if session != mine:
                connection.exec_driver_sql(f"KILL {session}")

    await other.write(unit)
    await other.close()


@pytest.mark.parametrize("start", [start_mariadb, start_postgres])
async def test_a_server_killed_and_started_again_lost_nothing_it_confirmed(start: Any) -> None:
    async with serving(start) as server:
        database = connected(server.url)
        shop = Shop(database)
        sale = await shop.sale(stock=1_000)
        told: list[int] = []
        busy = asyncio.Event()

        async def grants(first: int) -> None:
            for user in range(first, first + 100):
                try:
                    if isinstance(
                        await shop.ledger.holds.grant(sale, 1, [winner(user)], NOW), list
                    ):
                        told.append(user)
                        if len(told) == 20:
                            busy.set()
                except (DependencyDown, OutcomeUnknown):
                    return

        granting = [asyncio.create_task(grants(first)) for first in (1, 201, 401, 601)]
        await asyncio.wait_for(busy.wait(), 20)
        await server.stop(signal.SIGKILL)
        await asyncio.gather(*granting)
        with pytest.raises(DependencyDown):
            await shop.ledger.ping()
        await server.start()
        rows = {hold.user_id for hold in await shop.holds_of(sale)}
        assert set(told) <= rows
        assert len(rows) <= len(told) + 4  # what was under way may be there
        await shop.balanced(sale)
        await shop.pay(told[0])
        await database.close()


async def test_pay_against_expiry_at_the_deadline_has_one_winner(server_database: Database) -> None:
    shop, rounds = Shop(server_database), 200
    sale = await shop.sale(stock=rounds)
    await shop.grant(sale, *range(1, rounds + 1))
    due = NOW + PAY_WITHIN_S * 1000 + GRACE_MS
    draw = random.Random(7)
    at_once = asyncio.Semaphore(4)  # pairs: half of the connections

    async def pair(user: int) -> bool:
        async with at_once:
            return await one(user)

    async def one(user: int) -> bool:
        rid, head_start_s = f"batch.{user}", draw.uniform(-0.005, 0.01)  # of the payment

        async def begin() -> Any:
            await asyncio.sleep(max(0, -head_start_s))
            return await shop.ledger.attempts.begin(rid, user, DELIVERY, due)

        async def expire() -> Any:
            await asyncio.sleep(max(0, head_start_s))
            return await shop.ledger.holds.release(sale, [rid], "expired", due)

        paid, released = await asyncio.gather(begin(), expire())
        if isinstance(paid, BegunAttempt):
            captured = await shop.ledger.attempts.capture(paid.hold.rid, paid.hold.attempt, due)
            assert captured.order is not None
        else:
            assert paid is NotPayable.RELEASED
        assert isinstance(paid, BegunAttempt) != bool(released.holds)
        return isinstance(paid, BegunAttempt)

    paid = await asyncio.gather(*(pair(user) for user in range(1, rounds + 1)))
    assert 0 < sum(paid) < rounds
    await shop.balanced(sale)


async def test_of_settling_and_freezing_one_sees_the_other(server_database: Database) -> None:
    """Settling holds the ledger row while a freeze, an arming and a raise wait for it."""
    shop = Shop(server_database)
    sale = await shop.sale()
    locked, go_on = asyncio.Event(), asyncio.Event()

    def settle(connection: Connection) -> None:
        lock_terms(connection, sale)
        of_sale = update(sales).where(sales.c.id == sale)
        connection.execute(of_sale.values(phase=Phase.SETTLED, settled_at_ms=NOW))
        locked.set()
        await_only(go_on.wait())

    settling = asyncio.create_task(server_database.write(settle))
    await locked.wait()
    waiting = [
        asyncio.create_task(shop.ledger.sales.freeze(sale, 1, "late")),
        asyncio.create_task(shop.ledger.rebuilds.begin(sale, "late")),
        asyncio.create_task(shop.ledger.sales.raise_stock(sale, 99, NOW)),
        asyncio.create_task(shop.ledger.sales.lower_stock(sale, 1)),
    ]
    await _until_waiting(server_database, len(waiting))
    go_on.set()
    await settling
    assert await asyncio.gather(*waiting) == [False, None, None, None]
    terms = await shop.terms(sale)
    assert (terms.epoch, terms.frozen, terms.stock) == (1, None, 10)


async def _until_waiting(database: Database, count: int) -> None:
    """Until so many sessions wait for a lock; MariaDB tells it a moment late."""

    def waiting(connection: Connection) -> int:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            if connection.dialect.name == "postgresql"
            else "SELECT count(*) FROM information_schema.processlist WHERE command = 'Query'"
            " AND time_ms > 100 AND info LIKE '%%ledger%%'"
        )
        return int(connection.exec_driver_sql(query).scalar() or 0)

    async with asyncio.timeout(8):  # less than three tries wait for a lock
        while await database.read(waiting) < count:  # noqa: ASYNC110 - the server cannot call us
            await asyncio.sleep(0.02)


def test_up_down_and_up_again(sql_server: SqlServer) -> None:
    migrate.downgrade(sql_server.url, "base")
    assert migrate.current(sql_server.url) is None
    failures: list[BaseException] = []

    def upgrade() -> None:
        try:
            migrate.upgrade(sql_server.url)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(3)]  # one migrates, two wait
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert migrate.current(sql_server.url) == migrate.head()
    migrate.check(sql_server.url)


async def test_on_postgresql_an_index_is_made_beside_those_who_write(postgresql: SqlServer) -> None:
    """One transaction is under way and keeps the index waiting; others write meanwhile."""
    await asyncio.to_thread(migrate.downgrade, postgresql.url, "0001")
    database = connected(postgresql.url)
    began, end = asyncio.Event(), asyncio.Event()

    def lock(connection: Connection) -> None:
        connection.exec_driver_sql("LOCK TABLE holds IN ROW EXCLUSIVE MODE")

    def long(connection: Connection) -> None:
        lock(connection)
        began.set()
        await_only(end.wait())

    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'"
    )
    writing = asyncio.create_task(database.write(long))
    await began.wait()
    upgrading = asyncio.create_task(asyncio.to_thread(migrate.upgrade, postgresql.url))
    async with asyncio.timeout(9):  # the long one is given up after ten seconds
        while not await database.read(lambda c: c.exec_driver_sql(waiting).scalar()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await database.write(lock)
    end.set()
    await writing
    await upgrading
    await database.close()
    await asyncio.to_thread(migrate.check, postgresql.url)


async def test_a_difference_is_noticed(server_database: Database, sql_server: SqlServer) -> None:
    def alter(words: str) -> Any:
        return lambda c: c.exec_driver_sql(f"ALTER TABLE holds {words}")

    await server_database.write(alter("ADD COLUMN surplus INTEGER"))
    with pytest.raises(Exception, match="surplus"):
        await asyncio.to_thread(migrate.check, sql_server.url)
    await server_database.write(alter("DROP COLUMN surplus"))
