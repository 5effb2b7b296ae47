"""The SQL ledger (`ports.ledger.Ledger`), put together from one part per noun."""

from collections.abc import Callable

from miaosha.adapters.sql.audits import AuditsLedger
from miaosha.adapters.sql.database import Database
from miaosha.adapters.sql.grants import GrantsLedger
from miaosha.adapters.sql.holds import HoldsLedger
from miaosha.adapters.sql.leases import LeasesLedger
from miaosha.adapters.sql.orders import OrdersLedger
from miaosha.adapters.sql.outbox import OutboxLedger
from miaosha.adapters.sql.payments import PaymentsLedger, random_order_no
from miaosha.adapters.sql.rebuilds import RebuildsLedger
from miaosha.adapters.sql.releases import ReleasesLedger
from miaosha.adapters.sql.terms import TermsLedger


class SqlLedger(
    TermsLedger,
    GrantsLedger,
    HoldsLedger,
    ReleasesLedger,
    PaymentsLedger,
    OrdersLedger,
    OutboxLedger,
    LeasesLedger,
    RebuildsLedger,
    AuditsLedger,
):
    """Holds, the ledger row, payments, orders, outbox, leases, what audits remember, on any
    `Database`.

    Args:
        order_no: draws a number for an order; drawn again if it is taken.
    """

    def __init__(self, db: Database, *, order_no: Callable[[], str] = random_order_no) -> None:
        self._db = db
        self._order_no = order_no
