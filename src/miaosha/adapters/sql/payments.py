"""Payments: HELD → PAYING → PAID or back, each move a compare-and-set that names its attempt."""

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from miaosha.adapters.sql.database import AnyRow, Database
from miaosha.adapters.sql.holds import COLUMNS, hold_of, read_hold
from miaosha.adapters.sql.orders import order_of_attempt
from miaosha.adapters.sql.outbox import Mail, write_mails
from miaosha.adapters.sql.releases import give_back, ledger_state, moved_by, released_values
from miaosha.adapters.sql.tables import holds, ledger, orders, payments, sales
from miaosha.domain.money import Money
from miaosha.domain.reservation import MAX_ATTEMPTS, HoldState
from miaosha.ports.ledger import Attempt, Captured, Delivery, Hold, NotPayable, Order, Released

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


class PaymentsLedger:
    """The part of the ledger port with payments."""

    _db: Database
    _order_no: Callable[[], str]

    async def begin_payment(
        self, rid: str, user_id: int, delivery: Delivery, now_ms: int
    ) -> Attempt | NotPayable:
        return await self._db.write(lambda c: _begin(c, rid, user_id, delivery, now_ms))

    async def capture(self, rid: str, attempt: int, now_ms: int) -> Captured:
        for tries_left in reversed(range(ORDER_NO_TRIES)):
            unit = partial(
                _capture, rid=rid, attempt=attempt, order_no=self._order_no(), now_ms=now_ms
            )
            try:
                return await self._db.write(unit)
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

    async def stale_payments(self, before_ms: int, limit: int) -> list[Attempt]:
        query = (
            select(payments)
            .join(holds, holds.c.rid == payments.c.rid)
            .where(holds.c.state == HoldState.PAYING, holds.c.attempt == payments.c.attempt)
            .where(holds.c.paying_since_ms < before_ms)
            .order_by(holds.c.paying_since_ms)
            .limit(limit)
        )
        return await self._db.read(lambda c: [_attempt(row) for row in c.execute(query)])

    async def attempt_of(self, key: str) -> Attempt | None:
        rid, attempt = split_key(key)
        query = select(payments).where(payments.c.rid == rid, payments.c.attempt == attempt)
        row = await self._db.read(lambda connection: connection.execute(query).first())
        return _attempt(row) if row else None

    async def mark_refunded(self, key: str, now_ms: int) -> None:
        rid, attempt = split_key(key)
        statement = (
            update(payments)
            .where(payments.c.rid == rid, payments.c.attempt == attempt)
            .where(payments.c.state.not_in(("captured", "refunded")))
            .values(state="refunded", changed_at_ms=now_ms)
        )
        query = select(payments).where(payments.c.rid == rid, payments.c.attempt == attempt)

        def unit(connection: Connection) -> None:
            if connection.execute(statement).rowcount:
                of = _attempt(connection.execute(query).one())
                mail = Mail("refunded", key, rid, of.user_id, of.sale_id)
                write_mails(connection, [mail], now_ms)

        await self._db.write(unit)


def _begin(
    connection: Connection, rid: str, user_id: int, delivery: Delivery, now_ms: int
) -> Attempt | NotPayable:
    pin = (
        update(holds)
        .where(holds.c.rid == rid, holds.c.user_id == user_id)
        .where(holds.c.state == HoldState.HELD, holds.c.attempt < MAX_ATTEMPTS)
        .values(
            state=HoldState.PAYING,
            attempt=holds.c.attempt + 1,
            paying_since_ms=now_ms,
            version=holds.c.version + 1,
        )
    )
    if connection.execute(pin).rowcount == 0:
        return _not_payable(read_hold(connection, rid), user_id)
    query = (
        select(holds.c.sale_id, holds.c.attempt, sales.c.amount, sales.c.currency)
        .join(sales, sales.c.id == holds.c.sale_id)
        .where(holds.c.rid == rid)
    )
    sale_id, attempt, amount, currency = connection.execute(query).one()
    connection.execute(
        insert(payments).values(
            rid=rid,
            attempt=attempt,
            sale_id=sale_id,
            user_id=user_id,
            state="started",
            amount=amount,
            currency=currency,
            name=delivery.name,
            phone=delivery.phone,
            address=delivery.address,
            created_at_ms=now_ms,
            changed_at_ms=now_ms,
        )
    )
    return Attempt(rid, sale_id, user_id, attempt, Money(amount, currency), now_ms)


def _not_payable(hold: Hold | None, user_id: int) -> NotPayable:
    if hold is None or hold.user_id != user_id:
        return NotPayable.UNKNOWN
    if hold.state is HoldState.HELD:  # either it came back in between, or its attempts are used up
        return NotPayable.RELEASED if hold.attempt >= MAX_ATTEMPTS else NotPayable.PAYING
    return NotPayable(hold.state.value.lower())


def _capture(
    connection: Connection, rid: str, attempt: int, order_no: str, now_ms: int
) -> Captured:
    pay = (
        update(holds)
        .where(holds.c.rid == rid, holds.c.state == HoldState.PAYING, holds.c.attempt == attempt)
        .values(
            state=HoldState.PAID,
            paying_since_ms=None,
            synced=False,
            version=holds.c.version + 1,
        )
    )
    if connection.execute(pay).rowcount == 0:
        return _captured_before(connection, rid, attempt)
    _end_payment(connection, rid, attempt, now_ms, state="captured", captured_rid=rid)
    query = (
        select(*COLUMNS, payments.c.amount, payments.c.currency)
        .join(payments, payments.c.rid == holds.c.rid)
        .where(holds.c.rid == rid, payments.c.attempt == attempt)
    )
    row = connection.execute(query).one()
    hold = hold_of(row)
    order = Order(
        id=str(uuid4()),
        order_no=order_no,
        rid=rid,
        sale_id=hold.sale_id,
        user_id=hold.user_id,
        state="paid",
        amount=row.amount,
        currency=row.currency,
        created_at_ms=now_ms,
    )
    values: dict[str, Any] = {name: getattr(order, name) for name in order.__struct_fields__}
    connection.execute(insert(orders).values(attempt=attempt, **values))
    write_mails(connection, [Mail("paid", rid, rid, hold.user_id, hold.sale_id)], now_ms)
    # Last, for every payment of the sale waits for this row.
    connection.execute(
        update(ledger).where(ledger.c.sale_id == hold.sale_id).values(sold=ledger.c.sold + 1)
    )
    return Captured(order, ledger_state(connection, hold.sale_id)[0], hold)


def _captured_before(connection: Connection, rid: str, attempt: int) -> Captured:
    hold = read_hold(connection, rid)
    epoch = ledger_state(connection, hold.sale_id)[0] if hold else 0
    return Captured(order_of_attempt(connection, rid, attempt), epoch, hold)


def _end_payment(
    connection: Connection, rid: str, attempt: int, now_ms: int, **values: str
) -> None:
    connection.execute(
        update(payments)
        .where(payments.c.rid == rid, payments.c.attempt == attempt)
        .values(changed_at_ms=now_ms, **values)
    )


def _refuse(
    connection: Connection,
    rid: str,
    attempt: int,
    now_ms: int,
    state: str,
    *,
    frozen: bool = False,
) -> Released:
    owned = (
        update(holds)
        .where(holds.c.rid == rid, holds.c.state == HoldState.PAYING)
        .where(holds.c.attempt == attempt)
    )
    call_id = str(uuid4())
    over = or_(holds.c.pay_by_ms <= now_ms, holds.c.attempt >= MAX_ATTEMPTS)
    back: dict[str, Any] = {
        "state": HoldState.HELD,
        "paying_since_ms": None,
        "version": holds.c.version + 1,
    }
    freed: list[Hold] = []
    if frozen:
        if attempt >= MAX_ATTEMPTS:
            back["pay_by_ms"] = now_ms  # no payment is left to wait for
        moved = connection.execute(owned.values(**back)).rowcount
    else:
        release = owned.where(over).values(**released_values("expired", call_id))
        if moved := connection.execute(release).rowcount:
            freed = moved_by(connection, [rid], call_id)
        else:
            moved = connection.execute(owned.values(**back)).rowcount
    if moved:
        _end_payment(connection, rid, attempt, now_ms, state=state)
    hold = freed[0] if freed else read_hold(connection, rid)
    return give_back(connection, hold.sale_id, freed, now_ms) if hold else Released(0, False, [])
