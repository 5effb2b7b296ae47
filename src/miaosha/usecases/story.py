"""Story: one buyer's, for support: account, orders, and the place in each sale and why. Holds,
payments and mails follow; of one sale also what the buyer pressed.

Read from SQL (rows), Redis (the place) and the broker (the log); it changes nothing and shows no
token, no card and no address.
"""

from typing import Final

import msgspec

from miaosha.domain.errors import DependencyDown, Problem
from miaosha.domain.reservation import HoldState, State, place_of
from miaosha.domain.sale import Phase, Sale
from miaosha.ports.accounts import Accounts
from miaosha.ports.backoffice import Backoffice, HoldLine, MailLine, PaymentLine, Rows
from miaosha.ports.catalogue import Catalogue
from miaosha.ports.holds import Hold, Holds
from miaosha.ports.orders import Order, Orders
from miaosha.ports.store import PlaceView, PlaceViews
from miaosha.usecases.presses import Presses, PressLine

SALES_MAX: Final = 20  # sales of one story
ORDERS_MAX: Final = 50


class HoldStory(msgspec.Struct, frozen=True):
    """The newest row of SQL. `attempt` counts payments; `promoted`: it came from standby."""

    rid: str
    state: HoldState
    reason: str | None
    rank: int
    pay_by_ms: int
    attempt: int
    promoted: bool
    extended: bool
    synced: bool
    version: int


class PlaceStory(msgspec.Struct, frozen=True):
    """The place in Redis. `ungranted`: won, but SQL does not know it yet."""

    rid: str
    state: State
    rank: int
    version: int
    ungranted: bool
    position: int | None


class SaleStory(msgspec.Struct, frozen=True):
    """`says` is what it comes to in one sentence."""

    sale_id: int
    title: str
    says: str
    hold: HoldStory | None
    place: PlaceStory | None


class Story(msgspec.Struct, frozen=True):
    """`holds`, `payments`, `mails`: every row, newest first. `presses`: the accepted requests of
    the one sale that was asked for, oldest first; null if they cannot be read (a settled sale
    keeps none)."""

    user_id: int
    email: str
    name: str
    role: str
    sales: list[SaleStory]
    orders: list[Order]
    holds: list[HoldLine]
    payments: list[PaymentLine]
    mails: list[MailLine]
    presses: list[PressLine] | None


class Stories:
    def __init__(
        self,
        accounts: Accounts,
        catalogue: Catalogue,
        holds: Holds,
        orders: Orders,
        store: PlaceViews,
        backoffice: Backoffice,
        presses: Presses,
    ) -> None:
        self._accounts = accounts
        self._catalogue = catalogue
        self._holds = holds
        self._orders = orders
        self._store = store
        self._backoffice = backoffice
        self._presses = presses

    async def story(self, user_id: int, sale_id: int | None = None) -> Story:
        """The story in one sale, or in the SALES_MAX that opened last of those that have a trace of
        the buyer.

        Raises:
            Problem: not_found (no such account, no such sale).
        """
        user = await self._accounts.by_id(user_id)
        if user is None:
            raise Problem("not_found")
        rows = await self._backoffice.rows(user_id, sale_id)
        sales = await self._sales(sale_id, user_id, rows)
        told = [await self._in_sale(sale, user_id) for sale in sales]
        pressed = None
        if sale_id is not None and sales[0].phase is not Phase.SETTLED:
            pressed = await self._presses.of(sale_id, user_id)
        page = await self._orders.page(user_id, None, ORDERS_MAX, sale_id=sale_id)
        return Story(
            user_id=user.id,
            email=user.email,
            name=user.name,
            role=user.role,
            sales=[t for t in told if sale_id is not None or t.hold or t.place],
            orders=page.items,
            holds=rows.holds,
            payments=rows.payments,
            mails=rows.mails,
            presses=pressed,
        )

    async def _sales(self, sale_id: int | None, user_id: int, rows: Rows) -> list[Sale]:
        if sale_id is not None:
            sale = await self._catalogue.sale(sale_id)
            if sale is None:
                raise Problem("not_found")
            return [sale]
        live = {sale.id: sale for sale in await self._catalogue.live()}
        ids = dict.fromkeys(hold.sale_id for hold in rows.holds)
        try:
            places = await self._store.places(list(live), user_id)
        except DependencyDown:
            places = {}
        ids |= dict.fromkeys(id_ for id_, view in places.items() if view is not None)
        sales = [live.get(id_) or await self._catalogue.sale(id_) for id_ in ids]
        found = sorted((s for s in sales if s), key=lambda s: (-s.opens_at_ms, -s.id))
        return found[:SALES_MAX]

    async def _in_sale(self, sale: Sale, user_id: int) -> SaleStory:
        hold = await self._holds.newest(sale.id, user_id)
        view = None
        if sale.phase is not Phase.SETTLED:
            try:
                view = await self._store.place(sale.id, user_id)
            except DependencyDown:
                view = None
        return SaleStory(
            sale_id=sale.id,
            title=sale.title,
            says=_says(hold, view),
            hold=_hold(hold) if hold else None,
            place=_place(view) if view else None,
        )


def _says(hold: Hold | None, view: PlaceView | None) -> str:
    if view and view.ungranted:
        return "won a unit that is being written to the ledger"
    if view and view.place.state is State.STANDBY:
        return f"on standby, number {view.position}"
    if hold is None:
        return view.place.state.value if view else "no trace"
    state = place_of(hold.state, hold.reason)
    how = " from standby" if hold.promoted else ""
    tries = f" after {hold.attempt} payment attempts" if hold.attempt else ""
    told = "" if hold.synced or hold.state is HoldState.HELD else ", Redis not told yet"
    return f"{state.value}{how}{tries}{told}"


def _hold(hold: Hold) -> HoldStory:
    return HoldStory(
        rid=hold.rid,
        state=hold.state,
        reason=hold.reason,
        rank=hold.rank,
        pay_by_ms=hold.pay_by_ms,
        attempt=hold.attempt,
        promoted=hold.promoted,
        extended=hold.extended,
        synced=hold.synced,
        version=hold.version,
    )


def _place(view: PlaceView) -> PlaceStory:
    place = view.place
    return PlaceStory(
        place.rid, place.state, place.rank, place.version, view.ungranted, view.position
    )
