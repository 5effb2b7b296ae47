"""What a SQL server can do to a running sale: commits whose answer is lost, a server that dies
among payments, connections that run out. Use cases on a real server; the audit has the last word.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.util import await_only

from miaosha.adapters.payments.sandbox import SandboxPayments
from miaosha.adapters.sql import server_pool
from miaosha.adapters.sql.ledger import SqlLedger
from miaosha.adapters.sql.server_database import ServerDatabase
from miaosha.domain.errors import Fault, Overloaded, Problem
from miaosha.domain.messages import Batch
from miaosha.supervisor.servers.sql_server import SqlServer
from miaosha.usecases.checkout import Paid
from tests.contract.sql.cutting import Cut, CuttingProxy
from tests.contract.sql.servers import CONNECTIONS, connected, emptied, running, serving
from tests.kit.mariadb import start_mariadb
from tests.kit.postgres import start_postgres
from tests.usecases.conftest import Urls, fresh_servers_on, urls
from tests.usecases.test_crashes import decide, decline, expire, extend, pay, pay_refused, recover
from tests.usecases.test_crashes import whole as is_whole
from tests.usecases.test_histories import acknowledge_all
from tests.usecases.world import GOOD, HOME, RETURN_URL, Servers, World

__all__ = ["urls"]
pytestmark = [pytest.mark.servers, pytest.mark.timeout(200)]
STARTS = {"mariadb": start_mariadb, "postgresql": start_postgres}
COMMITS_MAX = 20  # of one act
BUYERS = 50


@pytest.fixture(scope="module", params=list(STARTS))
def sql_server(request: pytest.FixtureRequest) -> Iterator[SqlServer]:
    yield from running(STARTS[request.param])


@asynccontextmanager
async def fresh(urls: Urls, server: SqlServer) -> AsyncIterator[Servers]:
    """Everything empty; `server` reached directly."""
    database = await emptied(connected(server.url))
    async with fresh_servers_on(urls, database, server.url) as servers:
        yield servers


@asynccontextmanager
async def through(proxy: CuttingProxy, server: SqlServer, servers: Servers) -> AsyncIterator[World]:
    """A process that reaches SQL through the proxy, its connection open (MariaDB's driver commits
    once when it opens one)."""
    database = connected(server.url.replace(f":{server.port}/", f":{proxy.port}/"))
    ledger = SqlLedger(database)
    await ledger.leases.take("a connection", "is open", servers.clock.now_ms(), None)
    payments = SandboxPayments(database, servers.clock, b"w" * 32, "http://localhost/sandbox")
    yield World(replace(servers, ledger=ledger, payments=payments))
    await database.close()


async def pressed(servers: Servers, count: int, *, stock: int) -> tuple[int, list[int], Batch]:
    world = World(servers)
    sale = await world.sale(stock=stock, standby=stock)
    users = await world.users(count)
    return sale.id, users, await world.press(sale.id, users)


ACTS: dict[str, tuple[Callable[..., Any], bool]] = {
    # act: what it is, whether the batch was decided before it
    "decide": (decide, False),
    "expire": (expire, True),
    "decline": (decline, True),
    "extend": (extend, True),
    "pay": (pay, True),
    "pay refused": (pay_refused, True),
}


@pytest.mark.parametrize("name", ACTS)
async def test_every_commit_of_an_act_is_cut_once(
    urls: Urls, sql_server: SqlServer, name: str
) -> None:
    """Right after COMMIT was sent: the ledger says what came of it, asking again is harmless."""
    act, decided = ACTS[name]
    for passing in range(COMMITS_MAX):
        async with fresh(urls, sql_server) as servers, CuttingProxy(sql_server.port) as proxy:
            sale_id, users, batch = await pressed(servers, 5, stock=2)
            if decided:
                await acknowledge_all(World(servers), sale_id)
            async with through(proxy, sql_server, servers) as world:
                proxy.cut, proxy.passing = Cut.AFTER, passing
                with suppress(Fault, Problem):
                    await act(world, sale_id, users, batch)
                cut, proxy.cut = proxy.cut is Cut.NEVER, Cut.NEVER
            after = await recover(servers, sale_id, batch)
            await is_whole(after, sale_id, users, batch, f"commit {passing}")
        if not cut:
            assert passing, "the act made no commit worth cutting"
            return
    raise AssertionError("the act never ended")


async def test_a_payment_cut_off_at_any_commit_is_one_order(
    urls: Urls, sql_server: SqlServer
) -> None:
    """Pinned, charged, captured, synced: whichever answer was lost, there is one order."""
    for passing in range(4):
        async with fresh(urls, sql_server) as servers, CuttingProxy(sql_server.port) as proxy:
            sale_id, users, _ = await pressed(servers, 1, stock=1)
            await acknowledge_all(World(servers), sale_id)
            async with through(proxy, sql_server, servers) as world:
                token = await world.token(sale_id, users[0])
                proxy.cut, proxy.passing = Cut.AFTER, passing
                with suppress(Fault):  # `synced` is left to the scheduler
                    await world.checkout.pay(sale_id, users[0], token, GOOD, HOME, RETURN_URL)
                assert proxy.cut is Cut.NEVER
                again = await world.checkout.pay(sale_id, users[0], token, GOOD, HOME, RETURN_URL)
            assert isinstance(again, Paid) and again.repeated
            await World(servers).duties(sale_id)
            terms = await servers.ledger.sales.terms(sale_id)
            assert (terms.granted, terms.sold) == (1, 1)
            assert (await servers.auditor.audit(sale_id)).clean


async def test_buyers_who_leave_amid_their_payments_find_one_order(
    urls: Urls, sql_server: SqlServer
) -> None:
    async with fresh(urls, sql_server) as servers:
        sale_id, users, _ = await pressed(servers, BUYERS, stock=BUYERS)
        await acknowledge_all(World(servers), sale_id)
        world = World(servers)
        tokens = {user: await world.token(sale_id, user) for user in users}
        paying = [asyncio.create_task(_paid(world, sale_id, u, tokens[u])) for u in users]
        await asyncio.wait(paying[::2], return_when=asyncio.FIRST_COMPLETED)
        for leaving in paying[1::2]:
            leaving.cancel()
        await asyncio.gather(*paying, return_exceptions=True)
        again = [_paid(world, sale_id, user, tokens[user]) for user in users]
        orders = await asyncio.wait_for(asyncio.gather(*again), 60)
        stayed = [task.result() for task in paying if not task.cancelled()]
        assert set(stayed) <= set(orders) and len(stayed) >= BUYERS / 2
        await _all_sold(world, sale_id, orders)


@pytest.mark.parametrize(
    ("kind", "sig"),
    [
        ("mariadb", signal.SIGKILL),
        ("mariadb", signal.SIGTERM),
        ("postgresql", signal.SIGKILL),
        ("postgresql", signal.SIGINT),  # to it, TERM means: once all clients have left
    ],
)
async def test_the_primary_restarts_among_payments(urls: Urls, kind: str, sig: int) -> None:
    async with serving(STARTS[kind]) as server:
        database = connected(server.url)
        async with fresh_servers_on(urls, database, server.url) as servers:
            sale_id, users, _ = await pressed(servers, BUYERS, stock=BUYERS)
            await acknowledge_all(World(servers), sale_id)
            world = World(servers)
            tokens = {user: await world.token(sale_id, user) for user in users}
            paying = [asyncio.create_task(_paid(world, sale_id, u, tokens[u])) for u in users]
            await asyncio.wait(paying, return_when=asyncio.FIRST_COMPLETED)
            await server.stop(sig)
            await server.start()
            orders = await asyncio.wait_for(asyncio.gather(*paying), 60)
            await _all_sold(world, sale_id, orders)


async def _all_sold(world: World, sale_id: int, orders: list[str]) -> None:
    assert len(set(orders)) == BUYERS
    await world.duties(sale_id)
    terms = await world.servers.ledger.sales.terms(sale_id)
    assert (terms.granted, terms.sold) == (BUYERS, BUYERS)
    verdict = await world.servers.auditor.audit(sale_id)
    assert verdict.clean, verdict.findings


async def _paid(world: World, sale_id: int, user: int, token: str) -> str:
    """The order's id; asks again as a page does, until there is an answer."""
    while True:
        try:
            paid = await world.checkout.pay(sale_id, user, token, GOOD, HOME, RETURN_URL)
            assert isinstance(paid, Paid)
            return paid.order.id
        except (Fault, Problem) as error:
            if isinstance(error, Problem) and error.code == "payment_in_progress":
                # Pinned, and the charge was never asked for: the scheduler voids such a payment.
                await _voided(world)
            await asyncio.sleep(0.05)


async def _voided(world: World) -> None:
    with suppress(Fault):
        await world.checkout.settle_stale(world.servers.clock.now_ms() + 1)


async def test_connections_that_run_out_are_said_so_and_come_back(
    sql_server: SqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_pool, "POOL_WAIT_S", 0.2)
    database: ServerDatabase = connected(sql_server.url)
    all_out, go_on = asyncio.Barrier(CONNECTIONS + 1), asyncio.Event()

    def hold(_: Any) -> None:
        await_only(all_out.wait())
        await_only(go_on.wait())

    holding = [asyncio.create_task(database.write(hold)) for _ in range(CONNECTIONS)]
    await asyncio.wait_for(all_out.wait(), 20)
    ledger = SqlLedger(database)
    with pytest.raises(Overloaded, match="sql_connections"):
        await ledger.leases.take("a", "me", 1, None)
    with pytest.raises(Overloaded, match="sql_connections"):
        await ledger.attempts.mark_refunded("a:1", 1)
    await ledger.ping()  # reading goes on
    go_on.set()
    await asyncio.gather(*holding)
    row, _ = await ledger.leases.take("a", "me", 1, None)
    assert row.owner == "me"
    await database.close()
