"""Extension: a buyer asks for more time to pay (WCAG 2.2.1): one tap, once per hold.

SQL decides it in one compare-and-set, together with its entry in the trail; then owners, reminder
and Redis are told. A repeat returns the same deadline and tells them again, which mends what a
crash left untold. The old reminder comes early and finds nothing due.
"""

import structlog

from miaosha.domain.errors import DependencyDown, Problem
from miaosha.domain.reservation import GRACE_MS, HoldState, State
from miaosha.domain.sale import Phase
from miaosha.ports.clock import Clock
from miaosha.ports.holds import Hold, Holds
from miaosha.ports.sale_terms import SaleTerms
from miaosha.usecases.grant import Granter
from miaosha.usecases.retry_unknown import retry_unknown

log = structlog.get_logger()


class Extension:
    """Args: extend_by_s: seconds a hold's pay_by moves, once."""

    def __init__(
        self, sales: SaleTerms, holds: Holds, granter: Granter, clock: Clock, extend_by_s: int
    ) -> None:
        self._sales = sales
        self._holds = holds
        self._granter = granter
        self._clock = clock
        self._extend_by_s = extend_by_s

    async def extend(self, sale_id: int, user_id: int, pay_by_ms: int | None = None) -> Hold:
        """The hold with its later pay_by; a repeat returns the same.

        Args:
            pay_by_ms: the deadline the buyer wants moved. If that is the moved one, this is no
                repeat but a second extension, which is refused. None: not said.

        Raises:
            Problem: not_found (no hold), hold_expired, payment_in_progress, conflict (paid),
                already_extended, frozen.
        """
        terms = await self._sales.terms(sale_id)
        if terms is None or terms.phase is Phase.DRAFT:
            raise Problem("not_found")
        hold = await self._holds.live(sale_id, user_id)
        if hold is None:
            raise await self._no_hold(sale_id, user_id)
        self._judge(hold)
        if terms.frozen is not None:
            raise Problem("frozen", retry_after_s=2)
        if hold.extended and pay_by_ms == hold.pay_by_ms:
            raise Problem("already_extended")
        now_ms = self._clock.now_ms()
        epoch, extra_s = terms.epoch, self._extend_by_s
        asked = await retry_unknown(
            lambda: self._holds.extend(hold.rid, user_id, epoch, extra_s, now_ms)
        )
        longer = asked.hold or hold
        self._judge(longer)
        if not longer.extended:  # the epoch moved in between: a freeze or a rebuild
            raise Problem("frozen", retry_after_s=1)
        if asked.fresh:
            log.info("hold_extended", sale_id=sale_id, rid=hold.rid, pay_by_ms=longer.pay_by_ms)
        await self._tell(terms.epoch, longer)
        return longer

    async def _no_hold(self, sale_id: int, user_id: int) -> Problem:
        newest = await self._holds.newest(sale_id, user_id)
        if newest is not None and newest.reason == State.EXPIRED:
            return Problem("hold_expired")
        return Problem("not_found", "There is no reservation to extend.")

    def _judge(self, hold: Hold) -> None:
        """Raises for a row whose deadline cannot be moved (any more)."""
        match hold.state:
            case HoldState.PAYING:
                raise Problem("payment_in_progress")
            case HoldState.PAID:
                raise Problem("conflict", "This unit is paid.")
            case HoldState.RELEASED:
                raise Problem("hold_expired")
        if hold.pay_by_ms <= self._clock.now_ms() - GRACE_MS:
            raise Problem("hold_expired")

    async def _tell(self, epoch: int, hold: Hold) -> None:
        """SQL has it, so it holds: Redis keeps the deadline for display only."""
        try:
            await self._granter.tell(hold.sale_id, epoch, [hold])
        except DependencyDown as error:
            log.warning("extension_untold", rid=hold.rid, error=str(error))
