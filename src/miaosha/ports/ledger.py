"""Ledger: what is true of every sale, in SQL, as one port per noun.

Every method is one transaction; every state change in it a single-statement compare-and-set. All
methods raise DependencyDown when the database is away. They raise OutcomeUnknown when a commit was
sent and its answer lost: look it up by rid, or repeat the call, which is always safe. `now_ms` is
the store's clock.
"""

from typing import Protocol

from miaosha.ports.attempts import Attempts
from miaosha.ports.audits import Audits
from miaosha.ports.holds import Holds
from miaosha.ports.leases import Leases
from miaosha.ports.orders import Orders
from miaosha.ports.outbox import Outbox
from miaosha.ports.rebuilding import RebuildRows
from miaosha.ports.sale_terms import SaleTerms


class Ledger(Protocol):
    """All nouns of one database. A use case takes those it needs."""

    sales: SaleTerms
    holds: Holds
    attempts: Attempts
    orders: Orders
    outbox: Outbox
    leases: Leases
    rebuilds: RebuildRows
    audits: Audits

    async def ping(self) -> None:
        """Raises DependencyDown."""
