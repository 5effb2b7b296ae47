"""An upgrade that dies between any two changes of the schema is run again, and ends as one that
lived: on MariaDB each change is there for good, on PostgreSQL some are.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from miaosha.adapters.sql import migrate
from tests.contract.sql.servers import serving
from tests.kit.mariadb import start_mariadb
from tests.kit.postgres import start_postgres

CHANGES = ("CREATE", "ALTER", "DROP")


class Died(Exception):
    """The process, so to say."""


class Scissors:
    """Lets so many changes of the schema be made, and dies before the next."""

    def __init__(self) -> None:
        self.left = 0

    def __call__(self, _c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        change = statement.split(None, 1)[0].upper()
        if change in CHANGES and "alembic_version" not in statement:
            if not self.left:
                raise Died
            self.left -= 1


@pytest.fixture
def scissors() -> Iterator[Scissors]:
    cut = Scissors()
    event.listen(Engine, "before_cursor_execute", cut)
    yield cut
    event.remove(Engine, "before_cursor_execute", cut)


def until_done(scissors: Scissors, step: Any, *, each: int) -> int:
    """Repeat `step`, which dies after as many changes as before and `each` more. How often."""
    for times in range(1, 200):
        scissors.left = 1 + each * times
        try:
            step()
        except Died:
            continue
        return times
    raise AssertionError("no end")


def repeated(scissors: Scissors, url: str, *, each: int) -> None:
    """Up, down and up again, each cut off again and again."""

    def up() -> None:
        migrate.upgrade(url)

    assert until_done(scissors, up, each=each) > 1
    scissors.left = 1_000
    migrate.check(url)
    assert until_done(scissors, lambda: migrate.downgrade(url, "base"), each=each) > 1
    assert migrate.current(url) is None
    assert until_done(scissors, up, each=each) > 1
    assert migrate.current(url) == migrate.head()


def test_on_a_file(run_dir: Path, scissors: Scissors) -> None:
    repeated(scissors, f"sqlite:///{run_dir}/shop.sqlite", each=1)


@pytest.mark.servers
@pytest.mark.parametrize(
    ("start", "each"),
    [
        pytest.param(start_mariadb, 0, id="mariadb"),  # each try makes one change, for good
        pytest.param(start_postgres, 1, id="postgresql"),
    ],
)
async def test_on_a_server(start: Any, each: int, scissors: Scissors) -> None:
    scissors.left = 1_000
    async with serving(start) as server:
        await asyncio.to_thread(migrate.downgrade, server.url, "base")
        await asyncio.to_thread(repeated, scissors, server.url, each=each)
