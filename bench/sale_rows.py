"""Sale rows: what scenarios read and write in SQL beside the platform, on any of its databases."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from sqlalchemy import Select, String, cast, func, insert, literal, select, union_all

from miaosha.adapters.sql.database import Database, Unit
from miaosha.adapters.sql.tables import holds, outbox, users
from miaosha.bootstrap.opening import Opening
from miaosha.settings import Settings

PEOPLE_MAX = 100_000  # inserted by one transaction
DIGITS = 5  # of PEOPLE_MAX
DATABASES = {"sqlite": "SQLite", "mariadb": "MariaDB", "mysql": "MySQL", "postgresql": "PostgreSQL"}


class HeldUnit(NamedTuple):
    rid: str
    user_id: int
    pay_by_ms: int


class SaleRows:
    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self.name = name

    async def people(self, count: int, now_ms: int) -> int:
        """Insert buyers straight into the table; the first one's id, the others follow."""
        last = await self._database.read(lambda c: c.scalar(select(func.max(users.c.id))))
        first = 1 + (last or 0)
        for start in range(first, first + count, PEOPLE_MAX):
            rows = _buyers(start, min(PEOPLE_MAX, first + count - start), now_ms)
            await self._database.write(_inserting(rows))
        return first

    async def held(self, sale_id: int) -> list[HeldUnit]:
        query = select(holds.c.rid, holds.c.user_id, holds.c.pay_by_ms)
        query = query.where(holds.c.sale_id == sale_id)
        return await self._database.read(lambda c: [HeldUnit(*row) for row in c.execute(query)])

    async def mails_waiting(self) -> int:
        query = select(func.count()).where(outbox.c.state.in_(("new", "queued")))
        return await self._database.read(lambda c: int(c.scalar(query) or 0))

    async def lateness_ms(self, sale_id: int) -> list[int]:
        """Of every hold of the sale that expired, ascending: from its pay_by to the transaction
        that released it, which wrote the mail about it."""
        late = outbox.c.created_at_ms - holds.c.pay_by_ms
        query = (
            select(late)
            .join_from(outbox, holds, outbox.c.rid == holds.c.rid)
            .where(holds.c.sale_id == sale_id, outbox.c.event == "expired")
            .order_by(late)
        )
        return await self._database.read(lambda c: [int(row[0]) for row in c.execute(query)])


def _inserting(rows: Select[Any]) -> Unit[int]:
    names = ["id", "email", "name", "role", "password_hash", "created_at_ms"]
    statement = insert(users).from_select(names, rows)
    return lambda connection: connection.execute(statement).rowcount


def _buyers(first: int, count: int, now_ms: int) -> Select[Any]:
    """`count` rows of `users` from the id `first` on, out of nothing but digits."""
    ten = [union_all(*(select(literal(d).label("d")) for d in range(10))) for _ in range(DIGITS)]
    digits = [each.subquery(f"digit_{place}") for place, each in enumerate(ten)]
    every: Any = digits[0]
    number: Any = literal(first) + digits[0].c.d
    for place, digit in enumerate(digits[1:], 1):
        every = every.join(digit, digits[0].c.d <= digit.c.d + 9)  # always
        number = number + digit.c.d * 10**place
    text = cast(number, String(20))
    name, email = literal("Buyer ") + text, literal("buyer-") + text + literal("@crowd.example")
    row = (number, email, name, literal("buyer"), literal(""), literal(now_ms))
    return select(*row).select_from(every).where(number < first + count)


@asynccontextmanager
async def books(settings: Settings) -> AsyncIterator[SaleRows]:
    async with AsyncExitStack() as stack:
        scheme = settings.database_url.partition(":")[0].partition("+")[0]
        yield SaleRows(Opening(settings, stack).database(), DATABASES.get(scheme, scheme))
