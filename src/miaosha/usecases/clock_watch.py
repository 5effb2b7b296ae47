"""Clock watch: a store's clock that was set stops the sales until it can be believed.

Set forward, it would end every hold at once; set back and put right, it would hold time still. So
while it differs from our steady clocks every live sale is frozen, and afterwards rebuilt. The
rebuild counts the sale's time anew, and gives every hold at least a minute.
"""

from typing import Final

import structlog

from miaosha.domain.freezes import CLOCK
from miaosha.ports.clock import StepClock
from miaosha.ports.leases import LeaseRow
from miaosha.ports.sale_terms import SaleTerms
from miaosha.usecases.control import Control

STEADY_S: Final = 5.0  # until every role has seen what the leader's clock has seen
LEADERLESS_MAX_MS: Final = 60_000  # longer without a leader may have been a step that nobody saw

log = structlog.get_logger()


class ClockWatch:
    """Args:
    lease_ms: how long a leader's lease lasts without a sign of life.
    step_max_ms: what two clocks may differ by without one having been set.
    """

    def __init__(
        self, sales: SaleTerms, control: Control, clock: StepClock, lease_ms: int, step_max_ms: int
    ) -> None:
        self._sales = sales
        self._control = control
        self._clock = clock
        self._lease_ms = lease_ms
        self._step_max_ms = step_max_ms
        self._stepped_at = float("-inf")  # monotonic seconds: when it last differed

    async def look(self) -> None:
        """Freeze what is live while the store's clock is not believed."""
        step_ms = self._clock.step_ms()
        if step_ms:
            self._stepped_at = self._clock.monotonic()
            await self._freeze(f"the store's clock was set by {step_ms / 1000:+,.0f} s")

    def knows_the_time(self) -> bool:
        """Whether the store has told it since this process began."""
        return self._clock.synced()

    def steady(self) -> bool:
        """Whether sales that wait for the clock may go on."""
        since_s = self._clock.monotonic() - self._stepped_at
        return not self._clock.step_ms() and since_s >= STEADY_S

    def ran_ahead(self, ahead_ms: int) -> bool:
        """Whether a sale's own time saw its server's clock set, and put right again. That time
        never runs back, and is this far ahead of the clock."""
        return self.steady() and ahead_ms > self._step_max_ms

    async def take_over(self, before: LeaseRow | None) -> None:
        """A new leader calls this with the lease as the last leader left it. Was the clock set
        meanwhile? Where that cannot be told, holds get a minute rather than an end."""
        if before is None or not before.until_ms:
            return
        gap_ms = self._clock.now_ms() - before.until_ms
        back = gap_ms + self._lease_ms < -self._step_max_ms
        if back or gap_ms > LEADERLESS_MAX_MS:
            await self._freeze(f"nobody led for {gap_ms / 1000:,.0f} s of the store's clock")

    async def _freeze(self, why: str) -> None:
        frozen = 0
        for terms in await self._sales.live():
            if terms.epoch and terms.frozen is None:
                frozen += await self._sales.freeze(terms.sale_id, terms.epoch, CLOCK + why)
        if frozen:
            log.error("sales_frozen", why=why, sales=frozen)
            await self._control.refresh_board()
