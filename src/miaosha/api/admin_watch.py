"""What an admin watches of a sale: its numbers from every part, and the audit."""

from litestar.params import FromPath

from miaosha.api.admin_schemas import (
    LedgerStats,
    PressureView,
    Stats,
)
from miaosha.api.declare import Req, Who, operation
from miaosha.api.desk import Desk, desk_of
from miaosha.domain.errors import DependencyDown, Problem
from miaosha.ports.store import Heartbeat, Reading
from miaosha.usecases.audit import Verdict

TAG = "Admin: sales"


@operation(
    "GET",
    "/admin/sales/{sale_id:int}/stats",
    who=Who.ADMIN,
    tag=TAG,
    summary="A sale in numbers",
    answer=Stats,
)
async def stats(request: Req, sale_id: FromPath[int]) -> Stats:
    """Ledger (SQL), reading (Redis), pressure (broker) and every role's heartbeat, side by side."""
    desk = desk_of(request)
    sale = await desk.parts.catalogue.sale(sale_id)
    terms = await desk.parts.ledger.terms(sale_id)
    if sale is None or terms is None:
        raise Problem("not_found")
    reading, beats = await _store(desk, sale_id)
    now = desk.parts.clock.now_ms()
    return Stats(
        sale_id=sale_id,
        phase=sale.phase_at(now),
        server_time_ms=now,
        watching=sum(beat.watching.get(sale_id, 0) for beat in beats),
        ledger=LedgerStats(terms.epoch, terms.frozen, terms.stock, terms.granted, terms.sold),
        reading=reading,
        pressure=await _pressure(desk, sale_id),
        roles=beats,
    )


async def _store(desk: Desk, sale_id: int) -> tuple[Reading | None, list[Heartbeat]]:
    try:
        return await desk.parts.store.reading(sale_id), await desk.parts.heartbeats.alive()
    except DependencyDown:
        return None, []


async def _pressure(desk: Desk, sale_id: int) -> PressureView | None:
    try:
        return PressureView(*await desk.parts.broker.pressure(sale_id))
    except DependencyDown:
        return None


@operation(
    "GET",
    "/admin/sales/{sale_id:int}/audit",
    who=Who.ADMIN,
    tag=TAG,
    summary="Check every promise of a sale now",
    answer=Verdict,
)
async def audit(request: Req, sale_id: FromPath[int]) -> Verdict:
    """A difference between two stores counts only if it is still there three seconds later, so this
    may take a few seconds."""
    desk = desk_of(request)
    if await desk.parts.catalogue.sale(sale_id) is None:
        raise Problem("not_found")
    return await desk.parts.auditor.audit(sale_id)


ROUTES = [stats, audit]
