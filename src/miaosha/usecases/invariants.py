"""The invariants I1 to I9 as pure functions of what the audit read; each answers differences.

A difference has a key that is the same when the same thing is found again three seconds later.
What is not counted as one: a debt the ledger itself has written down (`synced` false: Redis has
not been told yet), a hold on `ungranted` (SQL has not been asked yet), a batch still in its queue.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from miaosha.ports.auditing import HoldRow, LedgerFacts, QueueFacts, StoreFacts

LIVE = ("HELD", "PAYING", "PAID")
ADMITTED = ("HELD", "PAYING")


class Difference(NamedTuple):
    """`key`: which thing differs: `what:name` of a rid, a buyer or a batch, or a bare word for a
    count; `how`: in which way, where the key does not say it already."""

    invariant: str
    key: str
    detail: str
    how: str = ""


def ledger_differences(facts: LedgerFacts) -> Iterator[Difference]:
    """I2, I4 and I9: SQL alone."""
    yield from _i2_counts(facts)
    yield from _i2_orders(facts)
    yield from _i4(facts)
    yield from _i9(facts)


def _i2_counts(facts: LedgerFacts) -> Iterator[Difference]:
    row = facts.ledger
    states = Counter(hold.state for hold in facts.holds)
    live, paid = sum(states[state] for state in LIVE), states["PAID"]
    if row.granted > row.stock:
        yield Difference(
            "I2", "stock", f"{row.granted} units given out, but only {row.stock} exist"
        )
    if row.sold > row.granted:
        yield Difference("I2", "sold", f"{row.sold} units sold, but only {row.granted} given out")
    if row.granted != live:
        detail = f"the ledger counts {row.granted} units given out, its reservations are {live}"
        yield Difference("I2", "granted", detail)
    if row.sold != paid:
        detail = f"the ledger counts {row.sold} units sold, its paid reservations are {paid}"
        yield Difference("I2", "paid", detail)


def _i2_orders(facts: LedgerFacts) -> Iterator[Difference]:
    holds = {hold.rid: hold for hold in facts.holds}
    orders = Counter(order.rid for order in facts.orders)
    captured = {(p.rid, p.attempt) for p in facts.payments if p.state == "captured"}
    for rid, hold in holds.items():
        if hold.state == "PAID" and orders[rid] != 1:
            detail = f"reservation {rid} is paid and has {orders[rid]} orders instead of one"
            yield Difference("I2", f"orders:{rid}", detail)
    for order in facts.orders:
        owner = holds.get(order.rid)
        if owner is None or owner.state != "PAID":
            detail = f"order {order.order_no} belongs to no paid reservation"
            yield Difference("I2", f"order:{order.rid}", detail)
        elif (order.rid, order.attempt) not in captured:
            detail = f"order {order.order_no} has no payment that was received"
            yield Difference("I2", f"payment:{order.rid}", detail)
    known = {(order.rid, order.attempt) for order in facts.orders}
    for rid, attempt in sorted(captured - known):
        detail = (
            f"payment {attempt} of reservation {rid} was received, but there is no order for it"
        )
        yield Difference("I2", f"money:{rid}:{attempt}", detail)


def _i4(facts: LedgerFacts) -> Iterator[Difference]:
    live = Counter(hold.user_id for hold in facts.holds if hold.state in LIVE)
    for user, count in live.items():
        if count > 1:
            yield Difference("I4", f"user:{user}", f"buyer {user} holds {count} units at once")


def _i9(facts: LedgerFacts) -> Iterator[Difference]:
    mails = Counter(
        (mail.rid, mail.event) if mail.event != "refunded" else (mail.dedupe_key, mail.event)
        for mail in facts.mails
    )
    for (about, event), count in mails.items():
        if count > 1:
            detail = f"{count} mails '{event}' about reservation {about} instead of one"
            yield Difference("I9", f"{event}:{about}", detail)
    known = {hold.rid for hold in facts.holds}
    for rid in {mail.rid for mail in facts.mails} - known:
        yield Difference("I9", f"nobody:{rid}", f"a mail about {rid}, which is no reservation")
    for hold in facts.holds:
        due = {
            "won": not hold.promoted,
            "your_turn": hold.promoted,
            "paid": hold.state == "PAID",
            "expired": hold.reason == "expired",
        }
        for event, wanted in due.items():
            if wanted and not mails[hold.rid, event]:
                detail = f"the mail '{event}' about reservation {hold.rid} was never written"
                yield Difference("I9", f"{event}:{hold.rid}", detail)
            elif not wanted and mails[hold.rid, event]:
                detail = f"a mail '{event}' about reservation {hold.rid}, which it is not"
                yield Difference("I9", f"{event}:{hold.rid}", detail)


def store_differences(
    ledger: LedgerFacts, store: StoreFacts, queue: QueueFacts | None
) -> Iterator[Difference]:
    """I1, I3, I5, I6, I7 and I8, of a Redis that is in use."""
    yield from _i1(store)
    if queue is not None:
        yield from _i3(store, queue)
    if ledger.ledger.frozen is None and store.free > 0 and store.waiting > 0:
        detail = f"{store.free} units lie idle while {store.waiting} buyers stand by"
        yield Difference("I5", "idle", detail, f"{store.free} {store.waiting}")
    yield from _i6(ledger, store)
    yield from _i7(ledger, store)
    yield from _i8(ledger, store)


def _i1(store: StoreFacts) -> Iterator[Difference]:
    given = store.counted_held + store.counted_paid
    if store.free < 0 or store.free + given != store.stock:
        detail = (
            f"{store.free} free + {store.counted_held} held + {store.counted_paid} paid units"
            f" are not the stock of {store.stock}"
        )
        how = f"{store.free} {store.counted_held} {store.counted_paid} {store.stock}"
        yield Difference("I1", "sum", detail, how)
    if store.still:
        for name, counted, found in (
            ("held", store.counted_held, len(store.held)),
            ("paid", store.counted_paid, len(store.paid)),
        ):
            if counted != found:
                detail = f"Redis counts {counted} {name} units, but {found} buyers have one"
                yield Difference("I1", name, detail, f"{counted} {found}")
    for what in store.unreadable:
        yield Difference("I1", f"unreadable:{what}", f"Redis holds something unreadable: {what}")


def _i3(store: StoreFacts, queue: QueueFacts) -> Iterator[Difference]:
    for batch, count in queue.requests.items():
        if not count:
            continue  # a marker: nobody waits for it
        letters = store.letters.get(batch)
        if letters is None and batch not in queue.open:
            detail = f"the {count} accepted requests of batch {batch} never got an outcome"
            yield Difference("I3", f"batch:{batch}", detail, "none")
        elif letters is not None and len(letters) != count:
            detail = f"batch {batch} has {count} requests, but {len(letters)} outcomes"
            yield Difference("I3", f"batch:{batch}", detail, str(len(letters)))


def _i6(ledger: LedgerFacts, store: StoreFacts) -> Iterator[Difference]:
    """The line is in order, and nobody in it was overtaken.

    Overtaken is who stands by with a lower rank than a buyer who was promoted: a rank is given on
    joining, so that buyer was in the line, and ahead, when the other was promoted. How late a
    promotion was granted in SQL says nothing (its caller may have died), so times are not compared.
    After a rebuild (epoch above 1) a lower rank may rightly have come back to the line, hence only
    the line itself is checked.
    """
    for head in store.heads:
        if head.state != "standby" or head.rank != head.score:
            state = head.state or "nothing"
            detail = f"buyer {head.user_id} stands in the line, but is {state} (rank {head.rank})"
            yield Difference("I6", f"line:{head.user_id}", detail)
    if store.still and store.standing != store.waiting:
        detail = f"{store.standing} buyers are on standby, but the line has {store.waiting}"
        yield Difference("I6", "length", detail, f"{store.standing} {store.waiting}")
    if ledger.ledger.epoch > 1:
        return
    last = max((hold.rank for hold in ledger.holds if hold.promoted), default=0)
    for head in store.heads:
        if head.state == "standby" and head.rank == head.score and head.rank < last:
            detail = f"buyer {head.user_id} (rank {head.rank}) was overtaken by rank {last}"
            yield Difference("I6", f"overtaken:{head.rid}", detail)


def _i7(ledger: LedgerFacts, store: StoreFacts) -> Iterator[Difference]:
    rows = {hold.rid: hold for hold in ledger.holds}
    for hold in ledger.holds:
        if hold.state in ADMITTED and store.held.get(hold.user_id) != hold.rid:
            detail = (
                f"buyer {hold.user_id} has reservation {hold.rid} ({hold.state.lower()}),"
                " but Redis does not hold a unit for it"
            )
            yield Difference("I7", f"row:{hold.rid}", detail)
    for user, rid in store.held.items():
        if rid in store.ungranted or _owes(rows.get(rid), user):
            continue
        detail = f"Redis holds a unit for buyer {user} ({rid}), but there is no such reservation"
        yield Difference("I7", f"held:{rid}", detail)


def _owes(row: HoldRow | None, user: int) -> bool:
    """Whether a held place is as it should be: its hold lives, or its end is yet to be told. (A
    paid hold that was told is I8's.)"""
    if row is None or row.user_id != user:
        return False
    return row.state in LIVE or not row.synced


def _i8(ledger: LedgerFacts, store: StoreFacts) -> Iterator[Difference]:
    paid = {hold.rid: hold for hold in ledger.holds if hold.state == "PAID"}
    for rid, hold in paid.items():
        if store.paid.get(hold.user_id) == rid:
            continue
        if not hold.synced and store.held.get(hold.user_id) == rid:
            continue
        detail = f"buyer {hold.user_id} has paid for {rid}, but Redis does not say so"
        yield Difference("I8", f"row:{rid}", detail)
    for user, rid in store.paid.items():
        if rid not in paid or paid[rid].user_id != user:
            detail = f"Redis says buyer {user} has paid for {rid}, but there is no such payment"
            yield Difference("I8", f"paid:{rid}", detail)
