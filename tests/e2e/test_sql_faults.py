"""A sale's every commit cut off once: its answer is lost, and nothing else. Use cases on a real
server; the audit has the last word.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from miaosha.adapters.payments.sandbox import SandboxPayments
from miaosha.adapters.sql.ledger import SqlLedger
from miaosha.domain.errors import Fault, Problem
from miaosha.domain.messages import Batch
from miaosha.supervisor.mariadb import start_mariadb
from miaosha.supervisor.postgres import start_postgres
from miaosha.supervisor.sqlservers import SqlServer
from tests.contract.sql.cutting import Cut, CuttingProxy
from tests.contract.sql.servers import connected, emptied, running
from tests.usecases.conftest import Urls, fresh_servers_on, urls
from tests.usecases.test_crashes import decide, decline, expire, extend, pay, pay_refused, recover
from tests.usecases.test_crashes import whole as is_whole
from tests.usecases.test_histories import acknowledge_all
from tests.usecases.world import Servers, World

__all__ = ["urls"]
pytestmark = [pytest.mark.servers, pytest.mark.timeout(200)]
STARTS = {"mariadb": start_mariadb, "postgresql": start_postgres}
COMMITS_MAX = 20  # of one act


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
    await ledger.take_lease("a connection", "is open", servers.clock.now_ms(), 1)
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
            assert passing > 1, "the act made no commit worth cutting"
            return
    raise AssertionError("the act never ended")
