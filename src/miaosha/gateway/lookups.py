"""Lookups: the event `lookup`, a buyer's place as Redis knows it; a few tasks serve all sockets.

After a gateway died every buyer asks at once. The lookups queue here up to a limit; above it the
acknowledgement is `overloaded`.
"""

import asyncio
from typing import Final, NamedTuple

import msgspec
import structlog

from miaosha.domain.errors import DependencyDown, Problem
from miaosha.domain.reservation import State
from miaosha.domain.sale import Phase
from miaosha.gateway.hub import user_of
from miaosha.gateway.sale_views import Sales
from miaosha.ports.store import PlaceView, StockStore
from miaosha.sockets import packets
from miaosha.sockets.session import Session

WAITING_MAX: Final = 20_000  # lookups that wait in this process
ASKERS: Final = 16  # tasks, each with one lookup at the store

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


class Looked(msgspec.Struct, frozen=True, omit_defaults=True):
    """Acknowledgement of `lookup`; `version` as in a `result`."""

    ok: bool
    sale_id: int
    state: State
    version: int
    request_id: str | None = None
    pay_by_ms: int | None = None
    position: int | None = None


class Denied(msgspec.Struct, frozen=True, omit_defaults=True):
    """The acknowledgement of anything that cannot be done; `code` as in domain/errors.py."""

    ok: bool
    code: str
    retry_after_s: int | None = None


class Lookup(NamedTuple):
    session: Session
    user_id: int
    sale_id: int
    ack_id: int


def denial(problem: Problem) -> bytes:
    return _encode(Denied(False, problem.code, problem.retry_after_s))


class Lookups:
    def __init__(self, store: StockStore, sales: Sales) -> None:
        self._store = store
        self._sales = sales
        self._queue: asyncio.Queue[Lookup] = asyncio.Queue(WAITING_MAX)

    def ask(self, lookup: Lookup) -> None:
        """Queue it. Raises Problem("overloaded")."""
        try:
            self._queue.put_nowait(lookup)
        except asyncio.QueueFull:
            raise Problem("overloaded") from None

    async def run(self) -> None:
        """One asker, until cancelled."""
        while True:
            lookup = await self._queue.get()
            if user_of(lookup.session) != lookup.user_id:
                continue  # the session has ended, or is another user's by now
            answer = await self._answer(lookup)
            if user_of(lookup.session) == lookup.user_id:
                lookup.session.send(packets.ack(lookup.ack_id, answer))

    async def _answer(self, lookup: Lookup) -> bytes:
        try:
            return _encode(await self.look(lookup.sale_id, lookup.user_id))
        except Problem as problem:
            return denial(problem)
        except DependencyDown:
            return denial(Problem("unavailable"))
        except Exception:
            log.exception("lookup_failed", sale_id=lookup.sale_id)
            return denial(Problem("internal"))

    async def look(self, sale_id: int, user_id: int) -> Looked:
        """The buyer's place now; a hold that SQL does not know yet reads queued.

        Raises:
            Problem: not_found, unavailable; frozen, or closed for a settled sale: Redis does not
                know, ask `purchases/mine`.
            DependencyDown: the store is away.
        """
        sale = self._sales.asked(sale_id)
        phase = self._sales.phase(sale)
        if phase is Phase.FROZEN:
            raise Problem("frozen")
        if phase is Phase.SETTLED:
            raise Problem("closed")
        known = await self._store.place(sale_id, user_id)
        if known is None:
            return Looked(True, sale_id, State.NONE, 0)
        if known.place.state is State.STANDBY and phase is Phase.CLOSED:
            reading = await self._store.reading(sale_id)
            if reading is not None and reading.held == 0:
                place = known.place
                return Looked(True, sale_id, State.CLOSED, place.version, place.rid)
        return told(sale_id, known)


def told(sale_id: int, known: PlaceView) -> Looked:
    place = known.place
    if known.ungranted:
        return Looked(True, sale_id, State.QUEUED, 0, place.rid)
    pay_by_ms = place.pay_by_ms if place.state is State.HELD else None
    return Looked(True, sale_id, place.state, place.version, place.rid, pay_by_ms, known.position)
