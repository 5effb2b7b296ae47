"""Checker: compares what every buyer saw with the ledger.

It shares no code with what it checks: it reads the tables by SQL of its own, and the buyers' views
came over the wire.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from miaosha.adapters.sql.database import Database
from miaosha.trials.crowd.crowd_plan import View

UNDECIDED = frozenset({"", "none", "queued"})
BELIEVES = frozenset({"held", "paying", "queued"})  # states nobody may be left in


class CheckedHold(NamedTuple):
    rid: str
    user_id: int
    state: str
    reason: str | None
    promoted: int


class SoldRows(NamedTuple):
    """The rows of one sale."""

    stock: int
    sold: int
    granted: int
    verdict: str | None
    holds: list[CheckedHold]
    orders: list[tuple[str, str, int, int]]  # id, rid, user_id, amount
    mails: list[tuple[str, str, str]]  # event, rid, state


async def read_ledger(database: Database, sale_id: int) -> SoldRows:
    """As of one moment. Raises DependencyDown."""

    def unit(base: Connection) -> SoldRows:
        def rows(query: str) -> list[Any]:
            return [tuple(row) for row in base.execute(text(query), {"sale_id": sale_id})]

        [(stock, sold, granted, verdict)] = rows(
            "SELECT l.stock, l.sold, l.granted, s.verdict FROM ledger l "
            "JOIN sales s ON s.id = l.sale_id WHERE l.sale_id = :sale_id"
        )
        holds = rows(
            "SELECT rid, user_id, state, reason, promoted FROM holds WHERE sale_id = :sale_id"
        )
        orders = rows("SELECT id, rid, user_id, amount FROM orders WHERE sale_id = :sale_id")
        mails = rows("SELECT event, rid, state FROM outbox WHERE sale_id = :sale_id")
        held = [CheckedHold(*row) for row in holds]
        return SoldRows(stock, sold, granted, verdict, held, orders, mails)

    return await database.read(unit)


def findings(ledger: SoldRows, views: Sequence[View], people: int) -> list[str]:
    """Every contradiction between the ledger and the views, one sentence each."""
    found = [
        *_books(ledger),
        *_outcomes(views),
        *_paid(ledger, views),
        *_beliefs(ledger, views),
        *_unsold(ledger, views),
    ]
    if len(views) != people:
        found.append(f"{people - len(views)} of {people} buyers left no view")
    for view in views:
        found += [f"buyer {view.number} ({view.kind}): {text}" for text in view.complaints]
    return found


def _books(ledger: SoldRows) -> Iterator[str]:
    """The ledger in itself: never oversold, one order a paid hold, one unit a buyer."""
    paid = [hold for hold in ledger.holds if hold.state == "PAID"]
    if not len(paid) == len(ledger.orders) == ledger.sold <= ledger.stock:
        yield (
            f"{len(paid)} paid holds, {len(ledger.orders)} orders, {ledger.sold} sold "
            f"of a stock of {ledger.stock}"
        )
    if {hold.rid for hold in paid} != {rid for _, rid, _, _ in ledger.orders}:
        yield "orders and paid holds are not of the same requests"
    for user_id, count in Counter(hold.user_id for hold in paid).items():
        if count > 1:
            yield f"user {user_id} paid for {count} units"
    for (event, rid), count in Counter((event, rid) for event, rid, _ in ledger.mails).items():
        if count > 1 and event != "refunded":
            yield f"{count} mails {event!r} for {rid}"
    if ledger.granted != ledger.sold:
        yield f"granted {ledger.granted} but sold {ledger.sold} after the end"


def _outcomes(views: Sequence[View]) -> Iterator[str]:
    for view in views:
        for rid in view.accepted:
            if view.last_asked.get(rid, "") in UNDECIDED:
                yield f"buyer {view.number}: the accepted request {rid} has no outcome"


def _paid(ledger: SoldRows, views: Sequence[View]) -> Iterator[str]:
    """Whoever paid knows it, and nobody else thinks so."""
    owner = {order_id: user_id for order_id, _, user_id, _ in ledger.orders}
    buyers = {user_id for _, _, user_id, _ in ledger.orders}
    for view in views:
        if (view.state == "paid") != (view.user_id in buyers):
            has = "an order" if view.user_id in buyers else "no order"
            yield f"buyer {view.number} ({view.kind}) says {view.state} and has {has}"
        for order_id in view.orders:
            if owner.get(order_id) != view.user_id:
                yield f"buyer {view.number} was given order {order_id}, which is not theirs"


def _beliefs(ledger: SoldRows, views: Sequence[View]) -> Iterator[str]:
    rows = {hold.rid: hold for hold in ledger.holds}
    for view in views:
        if view.state in BELIEVES:
            yield f"buyer {view.number} ({view.kind}) is left with {view.state}"
        for rid, told in view.told.items():
            row = rows.get(rid)
            if "held" in told and (row is None or row.user_id != view.user_id):
                yield f"buyer {view.number} was told held for {rid}, which the ledger does not have"
            if told[-1] in ("expired", "declined") and (row is None or row.reason != told[-1]):
                yield f"buyer {view.number} was told {told[-1]} for {rid}, against the ledger"


def _unsold(ledger: SoldRows, views: Sequence[View]) -> Iterator[str]:
    """No unit is left while somebody waited for one to the end."""
    waited = [v for v in views if v.state == "closed" and v.told.get(v.rid, [""])[-1] == "standby"]
    if ledger.sold < ledger.stock and waited:
        left = ledger.stock - ledger.sold
        yield f"{left} units were not sold though {len(waited)} buyers stood by to the end"
