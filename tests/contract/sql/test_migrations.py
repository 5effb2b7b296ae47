"""Migrations: up, down, up again, and the same schema as tables.py; the page in docs is current."""

import sqlite3
import threading
from pathlib import Path

import pytest
from docs.draw import schema
from sqlalchemy import create_engine

from miaosha.adapters.sql import migrate
from miaosha.adapters.sql.engine import driver_url, open_database
from miaosha.adapters.sql.tables import metadata
from miaosha.domain.errors import DependencyDown, SettingsError

ROOT = Path(__file__).parents[3]


def definitions(path: Path) -> dict[str, list[str]]:
    """What SQLite stored of each table and index, its lines sorted: constraints have no order, and
    a table that was made anew has its name in quotes."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
            " AND name NOT LIKE 'alembic%' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
    connection.close()
    plain = {name: sql.replace('"', "") for name, sql in rows}
    return {
        name: sorted(line.strip(" ,") for line in sql.splitlines()) for name, sql in plain.items()
    }


def test_up_down_and_up_again(run_dir: Path) -> None:
    path = run_dir / "new" / "shop.sqlite"
    url = f"sqlite:///{path}"
    assert migrate.current(url) is None
    migrate.upgrade(url)
    assert migrate.current(url) == migrate.head()
    first = definitions(path)
    assert set(metadata.tables) <= set(first)
    migrate.upgrade(url)
    assert definitions(path) == first
    migrate.downgrade(url, "base")
    assert definitions(path) == {}
    assert migrate.current(url) is None
    migrate.upgrade(url)
    assert definitions(path) == first


def test_migrations_make_what_the_tables_say(run_dir: Path) -> None:
    migrated, made = run_dir / "migrated.sqlite", run_dir / "made.sqlite"
    migrate.upgrade(f"sqlite:///{migrated}")
    migrate.check(f"sqlite:///{migrated}")
    engine = create_engine(f"sqlite:///{made}")
    metadata.create_all(engine)
    engine.dispose()
    assert definitions(migrated) == definitions(made)


def test_a_difference_is_noticed(run_dir: Path) -> None:
    path = run_dir / "shop.sqlite"
    migrate.upgrade(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE holds ADD COLUMN surplus INTEGER")
    connection.close()
    with pytest.raises(Exception, match="surplus"):
        migrate.check(f"sqlite:///{path}")


def test_two_upgrades_at_once(run_dir: Path) -> None:
    url = f"sqlite:///{run_dir}/shop.sqlite"
    failures: list[BaseException] = []

    def upgrade() -> None:
        try:
            migrate.upgrade(url)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert migrate.current(url) == migrate.head()


def test_a_file_that_is_no_database_is_said(run_dir: Path) -> None:
    path = run_dir / "shop.sqlite"
    path.write_bytes(b"not a database, but long enough to be looked at" * 10)
    with pytest.raises(DependencyDown, match="not a database"):
        migrate.upgrade(f"sqlite:///{path}")


@pytest.mark.parametrize(
    "url", ["", "shop.sqlite", "oracle://x/y", "sqlite://", "sqlite:///:memory:", "redis://x:1"]
)
def test_a_bad_url_says_what_was_expected(url: str) -> None:
    with pytest.raises(SettingsError, match=r"MIAOSHA_DATABASE_URL.*expected sqlite:///FILE"):
        open_database(url)


def test_a_url_gets_its_driver_and_an_error_hides_its_password() -> None:
    assert driver_url("sqlite:///a.db").drivername == "sqlite+pysqlite"
    assert driver_url("mysql://u:p@h/d").drivername == "mysql+asyncmy"
    assert driver_url("mariadb://u:p@h/d").drivername == "mariadb+asyncmy"
    assert driver_url("postgres://u:p@h/d").drivername == "postgresql+asyncpg"
    assert driver_url("postgresql+psycopg://u:p@h/d").drivername == "postgresql+asyncpg"
    with pytest.raises(SettingsError) as caught:
        driver_url("oracle://user:topsecret@h/d")
    assert "topsecret" not in str(caught.value)


def test_the_schema_page_is_current() -> None:
    assert (ROOT / "docs" / "schema.md").read_text() == schema.render()
