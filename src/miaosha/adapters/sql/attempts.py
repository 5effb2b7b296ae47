"""Attempts: HELD → PAYING → PAID or back, each move a compare-and-set that names its attempt."""

import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection, Integer, bindparam, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from miaosha.adapters.sql.captures import CAPTURE, Charged
from miaosha.adapters.sql.database import AnyRow, Bulk, Database
from miaosha.adapters.sql.hold_rows import lock_holds, read_hold
from miaosha.adapters.sql.outbox import OutboxMail, write_mails
from miaosha.adapters.sql.releases import RELEASED, give_back, moved_by
from miaosha.adapters.sql.tables import holds, payments, sales
from miaosha.domain.money import Money
from miaosha.domain.reservation import MAX_ATTEMPTS, HoldState
from miaosha.ports.attempts import Attempt, BegunAttempt, Captured, NotPayable
from miaosha.ports.holds import Hold, Released
from miaosha.ports.orders import Delivery

ORDER_NO_LETTERS = "23456789ABCDEFGHJKLMNPQRSTVWXYZ"  # none that is mistaken for another
ORDER_NO_TRIES = 5


def random_order_no() -> str:
    """Such as K7PM-3XQZ: 31^8 of them, and a taken one is drawn again."""
    letters = [secrets.choice(ORDER_NO_LETTERS) for _ in range(8)]
    return f"{''.join(letters[:4])}-{''.join(letters[4:])}"


def split_key(key: str) -> tuple[str, int]:
    """`rid:attempt` → (rid, attempt); ("", 0), which no payment has, if it is not one."""
    rid, _, attempt = key.rpartition(":")
    return (rid, int(attempt)) if attempt.isascii() and attempt.isdigit() else ("", 0)


def _attempt(row: AnyRow) -> Attempt:
    return Attempt(
        rid=row.rid,
        sale_id=row.sale_id,
        user_id=row.user_id,
        attempt=row.attempt,
        amount=Money(row.amount, row.currency),
        paying_since_ms=row.created_at_ms,
    )


_OF: Any = (payments.c.rid == bindparam("of"), payments.c.attempt == bindparam("nth"))
_NOW: Any = bindparam("now_ms")
_ATTEMPT = select(payments).where(*_OF)
_STALE = (
    select(payments)
    .join(holds, holds.c.rid == payments.c.rid)
    .where(holds.c.state == HoldState.PAYING, holds.c.attempt == payments.c.attempt)
    .where(holds.c.paying_since_ms < bindparam("before_ms"))
    .order_by(holds.c.paying_since_ms)
    .limit(bindparam("n", type_=Integer))
)
_REFUNDED = (
    update(payments)
    .where(*_OF, payments.c.state.not_in(("captured", "refunded")))
    .values(state="refunded", changed_at_ms=_NOW)
)
_ENDED = update(payments).where(*_OF).values(state=bindparam("how"), changed_at_ms=_NOW)


class SqlAttempts:
    """The port `Attempts` in SQL.

    Args:
        order_no: draws a number for an order; drawn again if it is taken.
    """

    def __init__(self, db: Database, order_no: Callable[[], str] = random_order_no) -> None:
        self._db = db
        self._order_no = order_no

    async def begin(
        self, rid: str, user_id: int, delivery: Delivery, now_ms: int
    ) -> BegunAttempt | NotPayable:
        return await self._db.write_one(BEGIN, Wish(rid, user_id, delivery, now_ms))

    async def capture(self, rid: str, attempt: int, now_ms: int) -> Captured:
        for tries_left in reversed(range(ORDER_NO_TRIES)):
            charged = Charged(rid, attempt, self._order_no(), now_ms)
            try:
                return await self._db.write_one(CAPTURE, charged)
            except IntegrityError:  # the number is taken
                if not tries_left:
                    raise
        raise AssertionError("unreachable")

    async def refuse(
        self, rid: str, attempt: int, now_ms: int, *, state: str = "refused"
    ) -> Released:
        """A frozen sale releases nothing: there the hold goes back to HELD, ripe for the sweep."""
        assert state in ("refused", "voided"), state
        answer = await self._db.write(lambda c: _refuse(c, rid, attempt, now_ms, state))
        if answer.frozen:
            answer = await self._db.write(
                lambda c: _refuse(c, rid, attempt, now_ms, state, frozen=True)
            )
        return answer

    async def stale(self, before_ms: int, limit: int) -> list[Attempt]:
        values = {"before_ms": before_ms, "n": limit}
        return await self._db.read(lambda c: [_attempt(row) for row in c.execute(_STALE, values)])

    async def by_key(self, key: str) -> Attempt | None:
        rid, attempt = split_key(key)
        values = {"of": rid, "nth": attempt}
        row = await self._db.read(lambda connection: connection.execute(_ATTEMPT, values).first())
        return _attempt(row) if row else None

    async def mark_refunded(self, key: str, now_ms: int) -> None:
        rid, attempt = split_key(key)
        named = {"of": rid, "nth": attempt}

        def unit(connection: Connection) -> None:
            if connection.execute(_REFUNDED, {**named, "now_ms": now_ms}).rowcount:
                of = _attempt(connection.execute(_ATTEMPT, named).one())
                mail = OutboxMail("refunded", key, rid, of.user_id, of.sale_id)
                write_mails(connection, [mail], now_ms)

        await self._db.write(unit)


_PAYING = (
    update(holds)
    .where(holds.c.rid.in_(bindparam("rids", expanding=True)))
    .where(holds.c.state == HoldState.HELD, holds.c.attempt < MAX_ATTEMPTS)
    .values(
        state=HoldState.PAYING,
        attempt=holds.c.attempt + 1,
        paying_since_ms=_NOW,
        version=holds.c.version + 1,
    )
)
_PRICES = select(sales.c.id, sales.c.amount, sales.c.currency).where(
    sales.c.id.in_(bindparam("ids", expanding=True))
)
_STARTED = insert(payments)


class Wish(NamedTuple):
    """A payment to begin."""

    rid: str
    user_id: int
    delivery: Delivery
    now_ms: int


def _begin(connection: Connection, wishes: Sequence[Wish]) -> list[BegunAttempt | NotPayable]:
    found = lock_holds(connection, [wish.rid for wish in wishes])
    wanted = [wish for wish in wishes if _payable(found.get(wish.rid), wish.user_id)]
    begun: dict[str, BegunAttempt] = {}
    if wanted:
        now_ms = max(wish.now_ms for wish in wanted)
        _pin(connection, wanted, now_ms)
        prices = _prices(connection, {found[wish.rid].sale_id for wish in wanted})
        for rid, user_id, _, _ in wanted:
            hold = found[rid]
            price = prices[hold.sale_id]
            attempt = Attempt(rid, hold.sale_id, user_id, hold.attempt + 1, price, now_ms)
            begun[rid] = BegunAttempt(attempt, _pinned(hold, now_ms))
        rows = [_started(begun[wish.rid].attempt, wish.delivery) for wish in wanted]
        connection.execute(_STARTED, rows)
    return [begun.get(w.rid) or _not_payable(found.get(w.rid), w.user_id) for w in wishes]


def _payable(hold: Hold | None, user_id: int) -> bool:
    return (
        hold is not None
        and hold.user_id == user_id
        and hold.state is HoldState.HELD
        and hold.attempt < MAX_ATTEMPTS
    )


def _pin(connection: Connection, wishes: Sequence[Wish], now_ms: int) -> None:
    """HELD → PAYING; the rows are locked."""
    rids = [wish.rid for wish in wishes]
    moved = connection.execute(_PAYING, {"rids": rids, "now_ms": now_ms}).rowcount
    assert moved == len(wishes), (moved, len(wishes))


def _pinned(hold: Hold, now_ms: int) -> Hold:
    """The row as `_pin` left it."""
    return hold._replace(
        state=HoldState.PAYING,
        attempt=hold.attempt + 1,
        paying_since_ms=now_ms,
        version=hold.version + 1,
    )


def _prices(connection: Connection, sale_ids: Collection[int]) -> dict[int, Money]:
    rows = connection.execute(_PRICES, {"ids": list(sale_ids)})
    return {row.id: Money(row.amount, row.currency) for row in rows}


def _started(attempt: Attempt, delivery: Delivery) -> dict[str, Any]:
    return {
        "rid": attempt.rid,
        "attempt": attempt.attempt,
        "sale_id": attempt.sale_id,
        "user_id": attempt.user_id,
        "state": "started",
        "amount": attempt.amount.amount,
        "currency": attempt.amount.currency,
        "name": delivery.name,
        "phone": delivery.phone,
        "address": delivery.address,
        "created_at_ms": attempt.paying_since_ms,
        "changed_at_ms": attempt.paying_since_ms,
    }


def _not_payable(hold: Hold | None, user_id: int) -> NotPayable:
    if hold is None or hold.user_id != user_id:
        return NotPayable.UNKNOWN
    if hold.state is HoldState.HELD:  # its attempts are used up; a frozen sale has such rows
        return NotPayable.RELEASED
    return NotPayable(hold.state.value.lower())


BEGIN = Bulk(_begin, key=lambda wish: wish.rid)


_OWNED = (
    update(holds)
    .where(holds.c.rid == bindparam("of"), holds.c.state == HoldState.PAYING)
    .where(holds.c.attempt == bindparam("nth"))
)
_OVER = or_(holds.c.pay_by_ms <= _NOW, holds.c.attempt >= MAX_ATTEMPTS)
_FREED = _OWNED.where(_OVER).values(RELEASED)
_BACK = _OWNED.values(state=HoldState.HELD, paying_since_ms=None, version=holds.c.version + 1)
_BACK_RIPE = _BACK.values(pay_by_ms=_NOW)  # no payment is left to wait for


def _refuse(
    connection: Connection,
    rid: str,
    attempt: int,
    now_ms: int,
    state: str,
    *,
    frozen: bool = False,
) -> Released:
    owned = {"of": rid, "nth": attempt}
    timed = {**owned, "now_ms": now_ms}
    freed: list[Hold] = []
    if frozen and attempt >= MAX_ATTEMPTS:
        moved = connection.execute(_BACK_RIPE, timed).rowcount
    elif frozen:
        moved = connection.execute(_BACK, owned).rowcount
    else:
        call_id = str(uuid4())
        release = {**timed, "why": "expired", "call": call_id}
        if moved := connection.execute(_FREED, release).rowcount:
            freed = moved_by(connection, [rid], call_id)
        else:
            moved = connection.execute(_BACK, owned).rowcount
    if moved:
        connection.execute(_ENDED, {**timed, "how": state})
    hold = freed[0] if freed else read_hold(connection, rid)
    return give_back(connection, hold.sale_id, freed, now_ms) if hold else Released(0, False, [])
