"""Query: a buyer's own view of a sale, the truth behind every push (G9)."""

import msgspec

from miaosha.domain.errors import Problem
from miaosha.domain.messages import split_rid
from miaosha.domain.place import Letter
from miaosha.domain.reservation import HoldState, State, place_of
from miaosha.domain.sale import Phase
from miaosha.ports.clock import Clock
from miaosha.ports.holds import Hold, Holds
from miaosha.ports.orders import Orders
from miaosha.ports.sale_terms import SaleTerms, Terms
from miaosha.ports.store import PlaceView, Reading, StockStore
from miaosha.ports.tokens import Tokens

ACTIVE = frozenset({State.HELD, State.STANDBY, State.PAID})


class Mine(msgspec.Struct, frozen=True, omit_defaults=True):
    """`position` on standby; `pay_by_ms` and `checkout_token` while held; `order_id` once paid;
    `extended`: the hold has had its extra time (absent: it may ask for it)."""

    state: State
    version: int
    server_time_ms: int
    request_id: str | None = None
    position: int | None = None
    pay_by_ms: int | None = None
    checkout_token: str | None = None
    order_id: str | None = None
    extended: bool = False


class Query:
    def __init__(
        self,
        sales: SaleTerms,
        holds: Holds,
        orders: Orders,
        store: StockStore,
        tokens: Tokens,
        clock: Clock,
    ) -> None:
        self._sales = sales
        self._holds = holds
        self._orders = orders
        self._store = store
        self._tokens = tokens
        self._clock = clock

    async def mine(self, sale_id: int, user_id: int, request_id: str | None) -> Mine:
        """Where this buyer stands; with `request_id`, what became of that request.

        In this order: the live row of SQL; the live place in Redis (a hold SQL does not know yet
        reads `queued`); the request's own letter, and the place again if that had one; an ended
        place; the newest row; none.

        Raises:
            Problem: not_found (no such sale), frozen (nothing but live rows can be told now),
                bad_request (a request id that is none).
        """
        rid = _request(request_id)
        terms = await self._sales.terms(sale_id)
        if terms is None or terms.phase is Phase.DRAFT:
            raise Problem("not_found")
        if hold := await self._holds.live(sale_id, user_id):
            return await self._row(hold)
        if terms.phase is Phase.SETTLED:
            newest = await self._holds.newest(sale_id, user_id)
            return await self._row(newest) if newest else self._bare(State.CLOSED)
        reading = await self._store.reading(sale_id)
        if (
            terms.frozen is not None
            or reading is None
            or not reading.usable
            or reading.epoch != terms.epoch
        ):
            raise Problem("frozen", retry_after_s=2)
        view = await self._store.place(sale_id, user_id)
        if view and view.place.state in ACTIVE:
            return await self._place(terms, reading, view)
        if rid and not (view and view.place.rid == request_id):
            request = await self._request(sale_id, *rid)
            if request.state is not State.ENDED:
                return request
            view = await self._store.place(sale_id, user_id)  # it may have come between both looks
            if view and view.place.state in ACTIVE:
                return await self._place(terms, reading, view)
        if view:
            return self._bare(view.place.state, view.place.version, view.place.rid)
        newest = await self._holds.newest(sale_id, user_id)
        return await self._row(newest) if newest else self._bare(State.NONE)

    async def _place(self, terms: Terms, reading: Reading, view: PlaceView) -> Mine:
        place = view.place
        if place.state is State.STANDBY:
            drained = self._clock.now_ms() >= terms.closes_at_ms and reading.held == 0
            state = State.CLOSED if drained else State.STANDBY
            position = None if drained else view.position
            return self._bare(state, place.version, place.rid, position=position)
        row = (await self._holds.by_rid([place.rid])).get(place.rid)  # it may have ended just now
        return await self._row(row) if row else self._bare(State.QUEUED, 0, place.rid)

    async def _request(self, sale_id: int, batch_id: str, index: int) -> Mine:
        letter = await self._store.letter(sale_id, batch_id, index)
        match letter:
            case None:
                state = State.QUEUED
            case Letter.SOLD_OUT:
                state = State.SOLD_OUT
            case Letter.CLOSED:
                state = State.CLOSED
            case _:  # it had a place, or repeated one, that is gone: the place itself answers
                state = State.ENDED
        return self._bare(state, 0, f"{batch_id}.{index}")

    async def _row(self, hold: Hold) -> Mine:
        state = place_of(hold.state, hold.reason)
        order = token = None
        if hold.state is HoldState.PAID:
            order = await self._orders.by_rid(hold.rid, hold.user_id)
        if hold.state is HoldState.HELD:
            token = self._tokens.checkout(hold.rid, hold.sale_id, hold.user_id, hold.pay_by_ms)
        return Mine(
            state=state,
            version=hold.version,
            server_time_ms=self._clock.now_ms(),
            request_id=hold.rid,
            pay_by_ms=hold.pay_by_ms if state in (State.HELD, State.PAYING) else None,
            checkout_token=token,
            order_id=order.id if order else None,
            extended=hold.extended,
        )

    def _bare(
        self, state: State, version: int = 0, rid: str | None = None, position: int | None = None
    ) -> Mine:
        return Mine(state, version, self._clock.now_ms(), request_id=rid, position=position)


def _request(request_id: str | None) -> tuple[str, int] | None:
    if request_id is None:
        return None
    try:
        return split_rid(request_id)
    except ValueError as error:
        raise Problem("bad_request", str(error), field="request_id") from None
