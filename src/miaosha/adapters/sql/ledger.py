"""Ledger: the SQL side of every noun (`ports.ledger.Ledger`), on any `Database`."""

from collections.abc import Callable

from sqlalchemy import select

from miaosha.adapters.sql.attempts import SqlAttempts, random_order_no
from miaosha.adapters.sql.audits import SqlAudits
from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.holds import SqlHolds
from miaosha.adapters.sql.leases import SqlLeases
from miaosha.adapters.sql.orders import SqlOrders
from miaosha.adapters.sql.outbox import SqlOutbox
from miaosha.adapters.sql.rebuilds import SqlRebuilds
from miaosha.adapters.sql.sale_terms import SqlSaleTerms
from miaosha.ports.ledger import Ledger


class SqlLedger(Ledger):
    """Args: order_no: as of `SqlAttempts`."""

    def __init__(self, db: Database, *, order_no: Callable[[], str] = random_order_no) -> None:
        self._db = db
        self.sales = SqlSaleTerms(db)
        self.holds = SqlHolds(db)
        self.attempts = SqlAttempts(db, order_no)
        self.orders = SqlOrders(db)
        self.outbox = SqlOutbox(db)
        self.leases = SqlLeases(db)
        self.rebuilds = SqlRebuilds(db)
        self.audits = SqlAudits(db)

    async def ping(self) -> None:
        await self._db.read(lambda connection: connection.execute(select(1)).scalar())
