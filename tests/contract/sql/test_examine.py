"""What the doctor says of SQL servers: that they keep what they confirm, or what to change."""

import asyncio
import tempfile
from pathlib import Path

import pytest

from miaosha.adapters.clock import StoreClock
from miaosha.adapters.sql import migrate
from miaosha.adapters.sql.examine import examine_database
from miaosha.domain.findings import Examined, Fitness
from miaosha.supervisor.servers.sql_server import SqlServer
from tests.contract.sql.servers import administer
from tests.kit.mariadb import start_mariadb, start_mariadb_replica


async def examined(
    url: str, replica_url: str = "", *, connections: int = 50, lag_max_ms: int = 5_000
) -> dict[str, Examined]:
    found = await examine_database(url, replica_url, lag_max_ms, connections, StoreClock().now_ms)
    return {f"{finding.part}.{finding.what}": finding for finding in found}


def verdicts(found: dict[str, Examined], verdict: Fitness) -> set[str]:
    return {name for name, finding in found.items() if finding.verdict is verdict}


async def test_a_migrated_file_is_well(database_path: Path) -> None:
    found = await examined(f"sqlite:///{database_path}")
    assert verdicts(found, Fitness.OK) == set(found)
    assert found["database.version"].found.startswith("SQLite 3.")


async def test_a_file_without_a_schema_is_refused(run_dir: Path) -> None:
    found = await examined(f"sqlite:///{run_dir}/new.sqlite")
    assert verdicts(found, Fitness.REFUSED) == {"database.schema"}
    assert "miaosha db upgrade" in found["database.schema"].advice


async def test_one_that_is_away_is_a_finding() -> None:
    found = await examined("mariadb://nobody:secret@127.0.0.1:1/none")
    assert verdicts(found, Fitness.REFUSED) == {"database.answers"}
    assert "secret" not in found["database.answers"].advice


@pytest.mark.servers
async def test_a_private_server_is_well(sql_server: SqlServer) -> None:
    found = await examined(sql_server.url)
    assert verdicts(found, Fitness.OK) == set(found)
    assert {"database.version", "database.isolation", "database.clock"} <= set(found)


@pytest.mark.servers
async def test_what_is_wrong_is_named() -> None:
    with tempfile.TemporaryDirectory(prefix="ms-sql-", dir="/tmp") as name:
        primary = await start_mariadb(Path(name))
        replica = await start_mariadb_replica(Path(name), primary)
        try:
            await asyncio.to_thread(migrate.upgrade, primary.url)
            async with asyncio.timeout(30):
                # Until it has the tables.
                while "replica.lag" not in await examined(primary.url, replica.url):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            await administer(replica, "STOP SLAVE", "SET GLOBAL read_only = 0")
            await primary.stop()
            primary.args += ["--sync-binlog=0", "--innodb-flush-log-at-trx-commit=2"]
            await primary.start()
            found = await examined(primary.url, replica.url, connections=1_000, lag_max_ms=1)
            assert verdicts(found, Fitness.REFUSED) == {"database.innodb_flush_log_at_trx_commit"}
            assert verdicts(found, Fitness.WARNING) == {
                "database.sync_binlog",
                "database.max_connections",
                "replica.lag",
                "replica.read only",
            }
            await replica.stop()
            gone = await examined(primary.url, replica.url)
            assert gone["replica.answers"].verdict is Fitness.WARNING
        finally:
            await replica.stop()
            await primary.stop()
