"""Items of a `Bulk`: they share transactions, and nothing else. Servers use `GroupCommit`."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.util import await_only

from miaosha.adapters.sql import group_commit
from miaosha.adapters.sql.database import Bulk, Database
from miaosha.adapters.sql.server_database import ServerDatabase
from miaosha.adapters.sql.tables import leases
from miaosha.domain.errors import DependencyDown, OutcomeUnknown, Overloaded
from tests.contract.sql.cutting import Cut, CuttingProxy
from tests.contract.sql.servers import connected
from tests.contract.sql.shop import NOW, Shop

NAMES = [f"item {i}" for i in range(20)]


class Writes:
    """A bulk that inserts leases by name; the run that holds `gate`'s name waits for it to open."""

    def __init__(self, gate: str = "") -> None:
        self.gate = gate
        self.runs: list[list[str]] = []
        self.waiting, self.go_on = asyncio.Event(), asyncio.Event()
        self.bulk = Bulk(self._run, key=lambda name: name)

    def _run(self, connection: Connection, items: Sequence[str]) -> list[str]:
        self.runs.append(list(items))
        rows = [{"name": name, "owner": "me", "until_ms": 1} for name in items]
        connection.execute(insert(leases), rows)
        if self.gate in items:
            self.waiting.set()
            await_only(self.go_on.wait())
        return [name.upper() for name in items]


def names(connection: Connection) -> set[str]:
    return set(connection.scalars(select(leases.c.name)))


@pytest.fixture(
    params=[
        "server",
        *(pytest.param(n, marks=pytest.mark.servers) for n in ("mariadb", "postgresql")),
    ]
)
def database_url(request: pytest.FixtureRequest) -> str:
    """All that run units asynchronously."""
    if request.param == "server":
        return f"server+sqlite:///{request.getfixturevalue('database_path')}"
    return str(request.getfixturevalue(request.param).url)


async def test_items_that_wait_go_together_and_each_is_answered(database: Database) -> None:
    writes = Writes(gate=NAMES[0])
    first = asyncio.create_task(database.write_one(writes.bulk, NAMES[0]))
    await writes.waiting.wait()
    others = [asyncio.create_task(database.write_one(writes.bulk, name)) for name in NAMES[1:]]
    await asyncio.sleep(0)
    writes.go_on.set()
    assert await asyncio.gather(first, *others) == [name.upper() for name in NAMES]
    assert writes.runs == [NAMES[:1], NAMES[1:]]
    assert await database.read(names) == set(NAMES)


async def test_what_one_item_breaks_the_others_do_not_notice(database: Database) -> None:
    writes = Writes()
    await database.write_one(writes.bulk, "taken")
    answers = await asyncio.gather(
        *(database.write_one(writes.bulk, name) for name in ["a", "taken", "b"]),
        return_exceptions=True,
    )
    assert isinstance(answers[1], IntegrityError)
    assert [answers[0], answers[2]] == ["A", "B"]
    assert await database.read(names) == {"taken", "a", "b"}


async def test_items_with_one_key_never_share_a_run(database: Database) -> None:
    runs: list[list[tuple[str, int]]] = []

    def run(connection: Connection, items: Sequence[tuple[str, int]]) -> list[int]:
        runs.append(list(items))
        return [number for _, number in items]

    bulk = Bulk(run, key=lambda item: item[0])
    items = [("a", 1), ("a", 2), ("b", 3), ("a", 4)]
    assert await asyncio.gather(*(database.write_one(bulk, i) for i in items)) == [1, 2, 3, 4]
    # a server may run several rounds at once, in whatever order their connections come
    assert sorted(runs) == [[("a", 1), ("b", 3)], [("a", 2)], [("a", 4)]]


async def test_a_caller_who_leaves_takes_a_waiting_item_along_and_no_neighbour(
    database: ServerDatabase,
) -> None:
    writes = Writes(gate="first")
    first = asyncio.create_task(database.write_one(writes.bulk, "first"))
    await writes.waiting.wait()
    gone = asyncio.create_task(database.write_one(writes.bulk, "gone"))
    stays = asyncio.create_task(database.write_one(writes.bulk, "stays"))
    await asyncio.sleep(0)
    gone.cancel()
    first.cancel()  # its round goes on, for whoever shares it
    await asyncio.gather(first, gone, return_exceptions=True)
    writes.go_on.set()
    assert await stays == "STAYS"
    assert await database.read(names) == {"first", "stays"}
    await _idle(database)


async def _idle(database: ServerDatabase) -> None:
    """No connection stays out, and none inside a transaction: each could lock every row."""
    touch = update(leases).values(until_ms=leases.c.until_ms + 1)
    async with asyncio.timeout(20):
        while database._writing.pool.checkedout():  # type: ignore[attr-defined] # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.gather(*(database.write(lambda c: c.execute(touch)) for _ in range(8)))


async def test_a_caller_who_waits_too_long_is_told_what_is_known(
    database: ServerDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "ROUNDS_MAX", 1)
    database._write_timeout_s = 1.0  # of callers
    writes = Writes(gate="first")
    await database.write_one(writes.bulk, "before")
    database._write_timeout_s = 30.0  # of rounds
    first = asyncio.create_task(database.write_one(writes.bulk, "first"))
    await writes.waiting.wait()
    waiting = asyncio.create_task(database.write_one(writes.bulk, "waiting"))
    with pytest.raises(OutcomeUnknown):
        await first  # it has begun: its round may have been committed this very moment
    with pytest.raises(DependencyDown):
        await waiting
    writes.go_on.set()
    await _idle(database)


async def test_one_round_that_hangs_does_not_hold_up_the_next(database: Database) -> None:
    def run(connection: Connection, items: Sequence[str]) -> Sequence[str]:
        if "hangs" in items:
            started.set()
            await_only(end.wait())
        return items

    started, end = asyncio.Event(), asyncio.Event()
    bulk = Bulk(run, key=lambda name: name)
    hangs = asyncio.create_task(database.write_one(bulk, "hangs"))
    await started.wait()
    if "sqlite" not in str(database._writing.url):  # type: ignore[attr-defined] # one writer there
        assert await asyncio.wait_for(database.write_one(bulk, "next"), 9) == "next"
    end.set()
    assert await hangs == "hangs"


async def test_more_than_may_wait_are_refused_and_it_recovers(
    database: ServerDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database._writes, "_most", 5)
    writes = Writes(gate=NAMES[0])
    tasks = [asyncio.create_task(database.write_one(writes.bulk, name)) for name in NAMES]
    await writes.waiting.wait()
    writes.go_on.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [a.limit for a in answers if isinstance(a, Overloaded)]
    assert refused == ["sql_writes_waiting_max"] * (len(NAMES) - 5)
    assert await database.write_one(writes.bulk, "after") == "AFTER"


async def test_closing_finishes_what_was_taken(database: Database) -> None:
    writes = Writes(gate="first")
    taken = asyncio.create_task(database.write_one(writes.bulk, "first"))
    await writes.waiting.wait()
    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0)
    writes.go_on.set()
    assert await taken == "FIRST"
    await closing


@pytest.mark.servers
async def test_a_deadlock_undoes_a_round_and_every_item_is_done(server_database: Database) -> None:
    """The round holds `a` and wants `z`; another transaction holds `z` and wants `a`."""
    await asyncio.gather(*(server_database.write_one(Writes().bulk, n) for n in ("a", "m", "z")))
    both = asyncio.Barrier(2)
    runs: list[list[str]] = []
    crossed: list[bool] = []

    def add(connection: Connection, name: str, count: int = 1) -> None:
        row = update(leases).where(leases.c.name == name)
        connection.execute(row.values(until_ms=leases.c.until_ms + count))

    def run(connection: Connection, items: Sequence[str]) -> Sequence[str]:
        runs.append(list(items))
        for name in items:
            add(connection, name)
            if runs == [["a", "m", "z"]] and name == "a":
                await_only(both.wait())
        return items

    def crossing(connection: Connection) -> None:
        for name in [f"z{i}" for i in range(50)]:  # more to undo: the server picks the other
            connection.execute(insert(leases).values(name=name, owner="me", until_ms=1))
        add(connection, "z")
        if not crossed:
            crossed.append(True)
            await_only(both.wait())
        add(connection, "a")

    bulk = Bulk(run, key=lambda name: name)
    await asyncio.gather(
        server_database.write(crossing),
        *(server_database.write_one(bulk, name) for name in ("a", "m", "z")),
    )
    query = select(leases.c.name, leases.c.until_ms).where(leases.c.name.in_(["a", "m", "z"]))
    found = await server_database.read(lambda c: dict(tuple(row) for row in c.execute(query)))
    assert found == {"a": 3, "m": 2, "z": 3}


@pytest.mark.servers
@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
async def test_a_commit_that_was_cut_is_unknown_to_all_of_a_round(
    server_database: Database, sql_server: Any, cut: Cut
) -> None:
    direct = Shop(server_database)
    sale = await direct.sale(stock=20)
    await direct.grant(sale, *range(1, 21))
    attempts = await asyncio.gather(*(direct.begin(user) for user in range(1, 21)))
    async with CuttingProxy(sql_server.port) as proxy:
        database = connected(sql_server.url.replace(f":{sql_server.port}/", f":{proxy.port}/"))
        shop = Shop(database)
        await shop.ledger.leases.take("a connection", "is open", NOW, None)
        proxy.cut = cut
        calls = [shop.ledger.attempts.capture(a.rid, a.attempt, NOW) for a in attempts]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, OutcomeUnknown) for answer in answers)
        assert (await direct.terms(sale)).sold == (20 if cut is Cut.AFTER else 0)
        calls = [shop.ledger.attempts.capture(a.rid, a.attempt, NOW) for a in attempts]
        captured = await asyncio.gather(*calls)
        assert len({c.order.id for c in captured if c.order}) == 20
        await database.close()
    assert (await direct.terms(sale)).sold == 20
    await direct.balanced(sale)
