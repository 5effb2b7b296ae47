"""What a `Database` promises: commits that are known, groups that keep units apart, turns."""

import asyncio
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from miaosha.adapters.sql.database import Database, Rollback
from miaosha.adapters.sql.engine import driver_url, open_database
from miaosha.adapters.sql.file_database import FileDatabase, lock_path, write_lock
from miaosha.adapters.sql.tables import leases
from miaosha.domain.errors import DependencyDown, OutcomeUnknown
from tests.contract.sql.shop import NOW, Shop, winner


def put(name: str) -> Any:
    def unit(connection: Connection) -> str:
        connection.execute(insert(leases).values(name=name, owner="me", until_ms=1))
        return name

    return unit


def names(connection: Connection) -> set[str]:
    return set(connection.scalars(select(leases.c.name)))


def writing_engine(database: Any) -> Engine:
    """The engine behind the writes of either implementation."""
    engine: Engine = (
        database._writer._engine
        if isinstance(database, FileDatabase)
        else database._writing.sync_engine
    )
    return engine


async def test_a_unit_is_committed_when_it_answers(database: Database, database_url: str) -> None:
    assert await database.write(put("a")) == "a"
    other = open_database(database_url.removeprefix("server+"))
    assert await other.read(names) == {"a"}
    await other.close()


async def test_a_rollback_undoes_and_answers(database: Database) -> None:
    def unit(connection: Connection) -> str:
        put("a")(connection)
        raise Rollback("no")

    assert await database.write(unit) == "no"
    assert await database.read(names) == set()


async def test_failures_of_a_group_stay_with_their_units(database: Database) -> None:
    def bug(connection: Connection) -> None:
        put("bug")(connection)
        raise LookupError("a bug")

    def broken(connection: Connection) -> None:
        put("broken")(connection)
        connection.execute(text("SELECT nothing FROM nowhere"))

    answers = await asyncio.gather(
        database.write(put("a")),
        database.write(bug),
        database.write(put("a")),
        database.write(broken),
        database.write(put("b")),
        return_exceptions=True,
    )
    assert isinstance(answers[1], LookupError)
    assert isinstance(answers[3], DependencyDown)
    assert [type(answer) for answer in (answers[0], answers[2])].count(IntegrityError) == 1
    assert answers[4] == "b"
    assert await database.read(names) == {"a", "b"}


async def test_a_lost_answer_to_a_commit_is_unknown_and_a_repeat_finds_it(
    shop: Shop, database: Database
) -> None:
    sale = await shop.sale()

    def lose(connection: Connection) -> None:
        dbapi: Any = connection.connection.dbapi_connection
        dbapi.commit()
        raise OperationalError("COMMIT", {}, ConnectionError("gone"))

    engine = writing_engine(database)
    event.listen(engine, "commit", lose)
    with pytest.raises(OutcomeUnknown):
        await shop.ledger.holds.grant(sale, 1, [winner(1)], NOW)
    event.remove(engine, "commit", lose)
    assert isinstance(await shop.ledger.holds.grant(sale, 1, [winner(1)], NOW), list)
    assert (await shop.terms(sale)).granted == 1
    await shop.balanced(sale)


async def test_a_commit_that_failed_leaves_nothing(shop: Shop, database: Database) -> None:
    sale = await shop.sale()

    def fail(_connection: Connection) -> None:
        raise OperationalError("COMMIT", {}, ConnectionError("gone"))

    engine = writing_engine(database)
    event.listen(engine, "commit", fail)
    with pytest.raises(OutcomeUnknown):
        await shop.ledger.holds.grant(sale, 1, [winner(1)], NOW)
    event.remove(engine, "commit", fail)
    assert await shop.holds_of(sale) == []
    await shop.grant(sale, 1)
    await shop.balanced(sale)


async def test_an_error_never_tells_parameters(database: Database) -> None:
    secret = "ann@example.org"

    def unit(connection: Connection) -> None:
        connection.execute(text("INSERT INTO nowhere VALUES (:secret)"), {"secret": secret})

    with pytest.raises(DependencyDown) as caught:
        await database.write(unit)
    assert secret not in f"{caught.value}"


# SQLite alone


async def test_units_that_wait_share_a_commit(file_shop: Shop) -> None:
    commits: list[object] = []
    event.listen(writing_engine(file_shop.db), "commit", commits.append)
    answers = await asyncio.gather(*(file_shop.db.write(put(f"n{i}")) for i in range(200)))
    assert len(answers) == len(await file_shop.db.read(names)) == 200
    assert len(commits) < 50


async def test_a_full_disk_is_down_not_half_done(database_path: Path) -> None:
    database = FileDatabase(driver_url(f"sqlite:///{database_path}"))
    pages = sqlite3.connect(database_path).execute("PRAGMA page_count").fetchone()[0]

    def small(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")

    event.listen(writing_engine(database), "connect", small)

    def big(connection: Connection) -> None:
        connection.execute(
            insert(leases),
            [{"name": f"{i:080}", "owner": "x" * 80, "until_ms": 1} for i in range(500)],
        )

    answers = await asyncio.gather(
        database.write(put("a")), database.write(big), return_exceptions=True
    )
    assert isinstance(answers[1], DependencyDown)
    kept = {"a"} if answers[0] == "a" else set()
    assert await database.read(names) == kept
    await database.write(put("b"))
    assert await database.read(names) == kept | {"b"}
    await database.close()


async def test_a_write_that_waits_too_long_is_withdrawn(database_path: Path) -> None:
    database = FileDatabase(driver_url(f"sqlite:///{database_path}"), write_timeout_s=0.2)
    lock = write_lock(lock_path(driver_url(f"sqlite:///{database_path}")))
    with lock, pytest.raises(DependencyDown, match="withdrawn"):
        await database.write(put("late"))
    await database.write(put("next"))
    assert await database.read(names) == {"next"}
    await database.close()


async def test_the_loop_goes_on_while_a_write_waits_for_the_lock(database_path: Path) -> None:
    database = open_database(f"sqlite:///{database_path}")
    with write_lock(lock_path(driver_url(f"sqlite:///{database_path}"))):
        writing = asyncio.create_task(database.write(put("a")))
        assert await database.read(names) == set()  # readers do not take the lock
        assert not writing.done()
    assert await writing == "a"
    await database.close()


async def test_a_cancelled_write_that_has_not_begun_never_will(database_path: Path) -> None:
    database = open_database(f"sqlite:///{database_path}")
    with write_lock(lock_path(driver_url(f"sqlite:///{database_path}"))):
        writing = asyncio.create_task(database.write(put("a")))
        await database.read(names)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    await database.write(put("b"))
    assert await database.read(names) == {"b"}
    await database.close()


async def test_a_reader_cannot_write(file_shop: Shop) -> None:
    with pytest.raises(DependencyDown, match="readonly"):
        await file_shop.db.read(put("a"))


async def test_a_database_that_is_away_is_down(run_dir: Path) -> None:
    database = open_database(f"sqlite:///{run_dir}/no/such/folder/shop.sqlite")
    for call in (database.read, database.write):
        with pytest.raises(DependencyDown):
            await call(names)
    await database.close()
    with pytest.raises(DependencyDown, match="closed"):
        await database.write(names)


async def test_closing_finishes_what_was_taken(database_path: Path) -> None:
    database = open_database(f"sqlite:///{database_path}")
    writing = [asyncio.create_task(database.write(put(f"n{i}"))) for i in range(100)]
    await asyncio.sleep(0)  # lets the tasks hand over their units
    await database.close()
    assert len(await asyncio.gather(*writing)) == 100


@pytest.mark.parametrize("way", ["read", "write"])
async def test_a_cancellation_that_comes_with_the_answer_is_not_lost(
    database_path: Path, way: str
) -> None:
    """Or a role that was told to end goes on."""
    database = FileDatabase(driver_url(f"sqlite:///{database_path}"))
    begun, answer = threading.Event(), threading.Event()

    def unit(connection: Connection) -> None:
        begun.set()
        answer.wait(20)

    calling = asyncio.create_task(database.read(unit) if way == "read" else database.write(unit))
    await asyncio.to_thread(begun.wait, 20)
    answer.set()
    time.sleep(0.2)  # noqa: ASYNC251 - the answer is there, and the loop has not seen it yet
    asyncio.get_running_loop().call_soon(calling.cancel)
    with pytest.raises(asyncio.CancelledError):
        await calling
    await database.close()


async def test_a_closed_database_is_away(database_path: Path) -> None:
    database = FileDatabase(driver_url(f"sqlite:///{database_path}"))
    assert await database.read(names) == set()
    await database.close()
    with pytest.raises(DependencyDown, match="closed"):
        await database.read(names)
    with pytest.raises(DependencyDown, match="closed"):
        await database.write(put("a"))


async def test_every_connection_follows_the_rules(file_shop: Shop) -> None:
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}

    def pragmas(connection: Connection) -> dict[str, object]:
        return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted}

    assert await file_shop.db.write(pragmas) == wanted
    assert await file_shop.db.read(pragmas) == wanted


BUSY_WRITERS, BUSY_S, WAIT_MAX_S = 4, 2.0, 1.0


async def test_of_four_busy_writers_none_waits_more_than_a_second(database_path: Path) -> None:
    """Four processes write as fast as they can; each tells its longest wait and its count."""
    script = Path(__file__).with_name("busy_writer.py")
    began = time.monotonic()
    writers = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            f"sqlite:///{database_path}",
            str(BUSY_S),
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(BUSY_WRITERS)
    ]
    outputs = await asyncio.gather(*(writer.communicate() for writer in writers))
    assert time.monotonic() - began < 60
    told = [output.split() for output, _ in outputs]
    waits, counts = [float(w) for w, _ in told], [int(n) for _, n in told]
    assert max(waits) < WAIT_MAX_S, waits
    assert min(counts) > max(counts) / 10, counts
