"""Announcement: tells buyers by push. A push is a hint: losing one loses nothing.

`mine` is the truth, so a bus that is away never stops the work that was announced.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

import structlog

from miaosha.domain.errors import DependencyDown
from miaosha.domain.messages import Positions, Result, Results, SaleChanged, Standby
from miaosha.domain.reservation import State, place_of
from miaosha.domain.sale import SaleView
from miaosha.ports.bus import Bus
from miaosha.ports.holds import Hold
from miaosha.ports.tokens import Tokens

RESULTS_PER_MESSAGE = 1_000

log = structlog.get_logger()


class Announcer:
    """Builds results (with the checkout token of a live hold) and puts them on the bus."""

    def __init__(self, bus: Bus, tokens: Tokens) -> None:
        self._bus = bus
        self._tokens = tokens

    def result(self, hold: Hold) -> Result:
        """What the owner of this row is told."""
        state = place_of(hold.state, hold.reason)
        live = state in (State.HELD, State.PAYING)
        token = None
        if state is State.HELD:
            token = self._tokens.checkout(hold.rid, hold.sale_id, hold.user_id, hold.pay_by_ms)
        return Result(
            sale_id=hold.sale_id,
            user_id=hold.user_id,
            request_id=hold.rid,
            state=state,
            version=hold.version,
            pay_by_ms=hold.pay_by_ms if live else None,
            checkout_token=token,
            extended=hold.extended,
        )

    async def holds(self, holds: Iterable[Hold]) -> None:
        """Tell each owner the state of the row as SQL committed it. Every move of a hold comes by
        here, so this is where its rid is in the log."""
        results = [self.result(hold) for hold in holds]
        for result in results:
            log.debug(
                "hold",
                sale_id=result.sale_id,
                rid=result.request_id,
                state=result.state,
                version=result.version,
            )
        await self.results(results)

    async def results(self, results: Sequence[Result]) -> None:
        rest = iter(results)
        while chunk := list(islice(rest, RESULTS_PER_MESSAGE)):
            await self._send(Results(chunk))

    async def positions(self, positions: list[Standby]) -> None:
        if positions:
            await self._send(Positions(positions))

    async def sale(self, view: SaleView) -> None:
        await self._send(SaleChanged(view))

    async def _send(self, message: Results | Positions | SaleChanged) -> None:
        try:
            await self._bus.publish(message)
        except DependencyDown as error:
            log.warning("push_lost", kind=type(message).__name__, error=str(error))
