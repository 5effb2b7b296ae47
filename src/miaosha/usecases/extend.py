"""A buyer asks for more time to pay: once per hold, by EXTRA_S seconds."""

import contextlib
from typing import Final

from miaosha.domain.errors import DependencyDown, Problem
from miaosha.domain.reservation import GRACE_MS, HoldState
from miaosha.ports.broker import Broker, Reminder
from miaosha.ports.ledger import Hold, Ledger
from miaosha.ports.outside import Clock

EXTRA_S: Final = 120


class Extension:
    def __init__(self, ledger: Ledger, broker: Broker, clock: Clock) -> None:
        self._ledger = ledger
        self._broker = broker
        self._clock = clock

    async def extend(self, sale_id: int, user_id: int) -> Hold:
        """The hold with its later pay_by. The old reminder finds nothing due; a new one is set.

        Raises:
            Problem: not_found (no hold), payment_in_progress, conflict (paid, extended before).
        """
        hold = await self._ledger.live_hold(sale_id, user_id)
        if hold is None:
            raise Problem("not_found", "There is no reservation to extend.")
        if hold.state is HoldState.PAYING:
            raise Problem("payment_in_progress")
        if hold.state is HoldState.PAID:
            raise Problem("conflict", "This unit is paid.")
        now = self._clock.now_ms()
        longer = await self._ledger.extend(hold.rid, user_id, EXTRA_S, now)
        if longer is None:
            raise Problem("conflict", "A reservation is extended only once.")
        after_s = max(0, longer.pay_by_ms + GRACE_MS - now) / 1000
        with contextlib.suppress(DependencyDown):  # the sweep finds it
            await self._broker.remind([Reminder(sale_id, hold.rid)], after_s)
        return longer
