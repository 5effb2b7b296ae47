"""Invariants: I1 to I9 as pure functions of a part of what the audit reads.

Each returns differences. Finding the same thing three seconds later gives the same key. Three
things are no difference. A row with `synced` false is a debt the ledger has written down. For a
hold on `ungranted` SQL was not asked yet. A batch may be in its queue.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from miaosha.ports.auditing import (
    AuditedHold,
    LedgerPage,
    LedgerTotals,
    Logged,
    PlaceSeen,
    StandbyBuyer,
    StoreTotals,
)

LIVE = ("HELD", "PAYING", "PAID")
ADMITTED = ("HELD", "PAYING")


class Difference(NamedTuple):
    """`key`: which thing differs: `what:name` of a rid, a buyer or a batch, or a bare word for a
    count; `how`: in which way, where the key does not say it already; `again`: what to read to see
    whether it is still there."""

    invariant: str
    key: str
    detail: str
    how: str = ""
    again: "Again | None" = None


class Again(NamedTuple):
    """What one difference is about; of a count nothing, since all is counted anew."""

    rid: str = ""
    user_id: int = 0
    batch: Logged | None = None


# SQL alone: I2, I4, I9


def i2_counts(totals: LedgerTotals) -> Iterator[Difference]:
    row, states, _ = totals
    live, paid = sum(states.get(state, 0) for state in LIVE), states.get("PAID", 0)
    if row.granted > row.stock:
        yield Difference(
            "I2", "stock", f"{row.granted} units given out, but only {row.stock} exist"
        )
    if row.sold > row.granted:
        yield Difference("I2", "sold", f"{row.sold} units sold, but only {row.granted} given out")
    if row.granted != live:
        detail = f"the ledger counts {row.granted} units given out, its holds are {live}"
        yield Difference("I2", "granted", detail)
    if row.sold != paid:
        detail = f"the ledger counts {row.sold} units sold, its paid holds are {paid}"
        yield Difference("I2", "paid", detail)


def i2_orders(page: LedgerPage) -> Iterator[Difference]:
    holds = {hold.rid: hold for hold in page.holds}
    orders = Counter(order.rid for order in page.orders)
    captured = {(p.rid, p.attempt) for p in page.payments if p.state == "captured"}
    for rid, hold in holds.items():
        if hold.state == "PAID" and orders[rid] != 1:
            detail = f"hold {rid} is paid and has {orders[rid]} orders instead of one"
            yield Difference("I2", f"orders:{rid}", detail, str(orders[rid]), Again(rid))
    for order in page.orders:
        owner = holds.get(order.rid)
        if owner is None or owner.state != "PAID":
            detail = f"order {order.order_no} belongs to no paid hold"
            yield Difference("I2", f"order:{order.rid}", detail, "", Again(order.rid))
        elif (order.rid, order.attempt) not in captured:
            detail = f"order {order.order_no} has no payment that was received"
            yield Difference("I2", f"payment:{order.rid}", detail, "", Again(order.rid))
    known = {(order.rid, order.attempt) for order in page.orders}
    for rid, attempt in sorted(captured - known):
        detail = f"payment {attempt} of hold {rid} was received, but there is no order for it"
        yield Difference("I2", f"money:{rid}:{attempt}", detail, "", Again(rid))


def i4(live: Mapping[int, int]) -> Iterator[Difference]:
    """`live`: how many live holds each of some buyers has."""
    for user, count in live.items():
        if count > 1:
            detail = f"buyer {user} holds {count} units at once"
            yield Difference("I4", f"user:{user}", detail, str(count), Again(user_id=user))


def i9(page: LedgerPage) -> Iterator[Difference]:
    mails = Counter(
        (mail.rid, mail.event) if mail.event != "refunded" else (mail.dedupe_key, mail.event)
        for mail in page.mails
    )
    rids = {mail.dedupe_key: mail.rid for mail in page.mails if mail.event == "refunded"}
    for (about, event), count in mails.items():
        if count > 1:
            detail = f"{count} mails '{event}' about hold {about} instead of one"
            again = Again(rids.get(about, about))
            yield Difference("I9", f"{event}:{about}", detail, "", again)
    known = {hold.rid for hold in page.holds}
    for rid in {mail.rid for mail in page.mails} - known:
        detail = f"a mail about {rid}, which is no hold"
        yield Difference("I9", f"nobody:{rid}", detail, "", Again(rid))
    for hold in page.holds:
        yield from _i9_due(hold, mails)


def _i9_due(hold: AuditedHold, mails: Mapping[tuple[str, str], int]) -> Iterator[Difference]:
    due = {
        "won": not hold.promoted,
        "your_turn": hold.promoted,
        "paid": hold.state == "PAID",
        "expired": hold.reason == "expired",
    }
    for event, wanted in due.items():
        written = (hold.rid, event) in mails
        if wanted and not written:
            detail = f"the mail '{event}' about hold {hold.rid} was never written"
            yield Difference("I9", f"{event}:{hold.rid}", detail, "", Again(hold.rid))
        elif written and not wanted:
            detail = f"a mail '{event}' about hold {hold.rid}, which it is not"
            yield Difference("I9", f"{event}:{hold.rid}", detail, "", Again(hold.rid))


# Redis alone, or with its log: I1, I3, I5, I6


def i1_sum(store: StoreTotals) -> Iterator[Difference]:
    given = store.held + store.paid
    if store.free < 0 or store.free + given != store.stock:
        detail = (
            f"{store.free} free + {store.held} held + {store.paid} paid units"
            f" are not the stock of {store.stock}"
        )
        how = f"{store.free} {store.held} {store.paid} {store.stock}"
        yield Difference("I1", "sum", detail, how)
    yield from i1_unreadable(store.unreadable)


def i1_unreadable(found: Iterable[str]) -> Iterator[Difference]:
    for what in found:
        yield Difference("I1", f"unreadable:{what}", f"Redis holds something unreadable: {what}")


class CountedPlaces(NamedTuple):
    """Places by state, each buyer once."""

    held: int
    paid: int
    standing: int


def i1_places(store: StoreTotals, found: CountedPlaces) -> Iterator[Difference]:
    """Of a store whose counters did not change while its places were counted."""
    for name, counted, real in (
        ("held", store.held, found.held),
        ("paid", store.paid, found.paid),
    ):
        if counted != real:
            detail = f"Redis counts {counted} {name} units, but {real} buyers have one"
            yield Difference("I1", name, detail, f"{counted} {real}")
    if found.standing != store.waiting:
        detail = f"{found.standing} buyers are on standby, but the line has {store.waiting}"
        yield Difference("I6", "length", detail, f"{found.standing} {store.waiting}")


def i3(batches: Iterable[Logged], records: Mapping[str, str]) -> Iterator[Difference]:
    """`records`: read after it was known which batches are open."""
    for batch in batches:
        name, count, waits = batch
        if not count:
            continue  # a marker: nobody waits for it; or nobody can read it
        letters = records.get(name)
        if letters is None and not waits:
            detail = f"the {count} accepted requests of batch {name} never got an outcome"
            yield Difference("I3", f"batch:{name}", detail, "none", Again(batch=batch))
        elif letters is not None and len(letters) != count:
            detail = f"batch {name} has {count} requests, but {len(letters)} outcomes"
            yield Difference("I3", f"batch:{name}", detail, str(len(letters)), Again(batch=batch))


def i5(frozen: bool, store: StoreTotals) -> Iterator[Difference]:
    if not frozen and store.free > 0 and store.waiting > 0:
        detail = f"{store.free} units lie idle while {store.waiting} buyers stand by"
        yield Difference("I5", "idle", detail, f"{store.free} {store.waiting}")


def i6(heads: Iterable[StandbyBuyer], last: int) -> Iterator[Difference]:
    """The line is in order, and nobody in it was overtaken.

    A buyer is overtaken who stands by with a lower rank than one who was promoted. A rank is given
    on joining, so that buyer was ahead in the line at the promotion. How late a promotion was
    granted in SQL says nothing (its caller may have died), so times are not compared.

    Args:
        heads: read after `last`.
        last: the highest rank that was promoted; 0 after a rebuild, when a lower rank may rightly
            have come back to the line.
    """
    for head in heads:
        if head.state != "standby" or head.rank != head.score:
            state = head.state or "nothing"
            detail = f"buyer {head.user_id} stands in the line, but is {state} (rank {head.rank})"
            yield Difference("I6", f"line:{head.user_id}", detail)
        elif head.rank < last:
            detail = f"buyer {head.user_id} (rank {head.rank}) was overtaken by rank {last}"
            yield Difference("I6", f"overtaken:{head.rid}", detail)


# SQL against Redis: I7, I8


def rows_in_redis(
    holds: Iterable[AuditedHold], places: Mapping[int, PlaceSeen]
) -> Iterator[Difference]:
    """Every live hold has its place. `places`: of their buyers, read after them."""
    for hold in holds:
        if hold.state not in LIVE:
            continue
        rid, user = hold.rid, hold.user_id
        place = places.get(user)
        state = place.state if place is not None and place.rid == rid else ""
        if hold.state in ADMITTED and state != "held":
            detail = (
                f"buyer {user} has hold {rid} ({hold.state.lower()}),"
                " but Redis does not hold a unit for it"
            )
            yield Difference("I7", f"row:{rid}", detail, "", Again(rid, user))
        elif hold.state == "PAID" and state != "paid" and (hold.synced or state != "held"):
            detail = f"buyer {user} has paid for {rid}, but Redis does not say so"
            yield Difference("I8", f"row:{rid}", detail, "", Again(rid, user))


def places_in_sql(
    places: Iterable[PlaceSeen], rows: Mapping[str, AuditedHold], ungranted: Collection[str]
) -> Iterator[Difference]:
    """Every unit that Redis gives out has its hold. `rows`: of these places, read after them;
    `ungranted`: those of them that SQL has not been asked for."""
    for user, state, rid, _ in places:
        row = rows.get(rid)
        if state == "held" and rid not in ungranted and not owes(row, user):
            detail = f"Redis holds a unit for buyer {user} ({rid}), but there is no such hold"
            yield Difference("I7", f"held:{rid}", detail, "", Again(rid, user))
        elif state == "paid" and (row is None or row.state != "PAID" or row.user_id != user):
            detail = f"Redis says buyer {user} has paid for {rid}, but there is no such payment"
            yield Difference("I8", f"paid:{rid}", detail, "", Again(rid, user))


def owes(row: AuditedHold | None, user: int) -> bool:
    """Whether a held place is as it should be: its hold lives, or its end is yet to be told. (A
    paid hold that was told is I8's.)"""
    if row is None or row.user_id != user:
        return False
    return row.state in LIVE or not row.synced


def units_in_both(ledger: LedgerTotals, store: StoreTotals) -> Iterator[Difference]:
    """The counters of the two, where neither changed while they were read. Only this is looked at
    of the places that a sample leaves out."""
    owed = ledger.unsynced
    admitted = sum(ledger.states.get(state, 0) for state in ADMITTED)
    paid = ledger.states.get("PAID", 0)
    if not admitted <= store.held <= admitted + store.ungranted + owed:
        detail = (
            f"Redis counts {store.held} held units, the ledger {admitted}"
            f" (and {store.ungranted} not granted yet, {owed} not told)"
        )
        yield Difference("I7", "units", detail, f"{store.held} {admitted}")
    if not paid - owed <= store.paid <= paid:
        detail = f"Redis counts {store.paid} paid units, the ledger {paid} ({owed} not told)"
        yield Difference("I8", "units", detail, f"{store.paid} {paid}")
