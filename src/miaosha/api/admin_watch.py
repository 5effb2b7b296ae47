"""Admin watch: a sale's numbers from every part, the audit, how it went."""

from litestar.params import FromPath

from miaosha.api.admin_schemas import (
    AuditView,
    LedgerStats,
    PressureView,
    Report,
    Stats,
    admin_sale,
)
from miaosha.api.context import WAIT_S, ApiContext, context_of
from miaosha.api.declare import Req, Who, operation
from miaosha.domain.errors import DependencyDown, Problem
from miaosha.ports.heartbeats import Heartbeat, watchers
from miaosha.ports.sale_terms import Terms
from miaosha.ports.store import Reading
from miaosha.usecases.audit import last_verdict

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
    context = context_of(request)
    sale = await context.parts.catalogue.sale(sale_id)
    terms = await context.parts.ledger.sales.terms(sale_id)
    if sale is None or terms is None:
        raise Problem("not_found")
    books = await context.sale_watch.books(sale_id)
    reading, beats = await _store(context, sale_id)
    now = context.parts.clock.now_ms()
    return Stats(
        sale_id=sale_id,
        phase=sale.phase_at(now),
        stored_phase=sale.phase,
        opens_at_ms=sale.opens_at_ms,
        closes_at_ms=sale.closes_at_ms,
        settled_at_ms=sale.settled_at_ms,
        server_time_ms=now,
        watching=watchers(beats)[sale_id],
        ledger=_ledger(terms),
        reading=reading,
        pressure=await _pressure(context, sale_id),
        roles=beats,
        books=books,
        audit=last_verdict(await context.sale_watch.verdict(sale_id)),
        audit_run=await context.sale_watch.audit_run(sale_id),
    )


def _ledger(terms: Terms) -> LedgerStats:
    return LedgerStats(terms.epoch, terms.frozen, terms.stock, terms.granted, terms.sold)


async def _store(context: ApiContext, sale_id: int) -> tuple[Reading | None, list[Heartbeat]]:
    try:
        return await context.parts.store.reading(sale_id), await context.parts.heartbeats.alive()
    except DependencyDown:
        return None, []


async def _pressure(context: ApiContext, sale_id: int) -> PressureView | None:
    try:
        return PressureView(*await context.parts.broker.pressure(sale_id))
    except DependencyDown:
        return None


@operation(
    "GET",
    "/admin/sales/{sale_id:int}/audit",
    who=Who.ADMIN,
    tag=TAG,
    summary="What the audit last said",
    answer=AuditView,
)
async def audit(request: Req, sale_id: FromPath[int]) -> AuditView:
    """And whether one of the whole sale is under way. Once a minute a running sale is audited: all
    its counters, and a sample of the rest (`whole` is false then)."""
    return await _audit(context_of(request), sale_id)


@operation(
    "POST",
    "/admin/sales/{sale_id:int}/audit",
    who=Who.ADMIN,
    tag=TAG,
    summary="Check every promise of a sale now",
    status=200,
    answer=AuditView,
)
async def check(request: Req, sale_id: FromPath[int]) -> AuditView:
    """All of it. A difference between two stores counts only if it is still there three seconds
    later, so this may take a few seconds. Of a large sale it takes a minute: after ten seconds
    `run` says that it goes on, and GET tells its end. Who asks meanwhile gets the same audit."""
    context = context_of(request)
    await context.sale_watch.verdict(sale_id)
    await context.sale_watch.check(sale_id, WAIT_S)
    return await _audit(context, sale_id)


async def _audit(context: ApiContext, sale_id: int) -> AuditView:
    run = await context.sale_watch.audit_run(
        sale_id
    )  # first: who sees none sees what the last one said
    return AuditView(last_verdict(await context.sale_watch.verdict(sale_id)), run)


@operation(
    "GET",
    "/admin/sales/{sale_id:int}/report",
    who=Who.ADMIN,
    tag=TAG,
    summary="How a sale went",
    answer=Report,
)
async def report(request: Req, sale_id: FromPath[int]) -> Report:
    """Units by what became of them, times, money, and what the audit last said. Of a sale that
    still runs: so far."""
    context = context_of(request)
    sale = await context.manage.get(sale_id)
    terms = await context.parts.ledger.sales.terms(sale_id)
    if terms is None:
        raise Problem("not_found")
    books = await context.sale_watch.books(sale_id)
    now = context.parts.clock.now_ms()
    return Report(
        sale=admin_sale(sale, now),
        server_time_ms=now,
        ledger=_ledger(terms),
        books=books,
        milestones=await context.sale_watch.milestones(sale_id),
        audit=last_verdict(await context.sale_watch.verdict(sale_id)),
    )


ROUTES = [stats, audit, check, report]
