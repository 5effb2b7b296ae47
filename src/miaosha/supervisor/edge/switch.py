"""Edge switch: keeps a file for every sale that is over, in a directory that nginx looks into.

nginx then answers a press for that sale as a publisher would, and no role hears of it. A file takes
no reload; a reload would end or double workers that hold sockets. The board of sales says what is
over. The directory begins empty, whatever it held.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final, Protocol

import structlog

from miaosha.domain.errors import DependencyDown
from miaosha.domain.sale import Phase, Sale
from miaosha.ports.clock import Clock
from miaosha.ports.store import SaleBoard
from miaosha.settings import Settings
from miaosha.supervisor.watches import Alarm, beside

LOOK_S: Final = 1.0
OVER_MAX: Final = 1_000  # sales switched off at once, those that closed last
# A sale is over for the edge this long after it closed: by then no clock and no reader of the
# board is left that thinks otherwise.
MARGIN_MS: Final = 2_000
_NUMBER: Final = re.compile(r"[0-9]{1,19}")

log = structlog.get_logger()


class Boards(Protocol):
    """What the switch needs of the store. Raises DependencyDown."""

    async def read_sales(self, seen: SaleBoard | None) -> SaleBoard | None: ...


def over(sales: Mapping[int, Sale], now_ms: int) -> set[int]:
    """The sales whose presses every publisher answers with `closed` (at `now_ms`, Unix ms of the
    store). One that is paused or frozen is left to the publishers: there is more to say of it."""
    before_ms = now_ms - MARGIN_MS
    ended = [
        sale
        for sale in sales.values()
        if sale.closes_at_ms <= before_ms
        and sale.phase is not Phase.PAUSED
        and sale.phase_at(before_ms) in (Phase.CLOSED, Phase.SETTLED)
    ]
    ended.sort(key=lambda sale: (sale.closes_at_ms, sale.id))
    return {sale.id for sale in ended[-OVER_MAX:]}


class EdgeSwitch:
    """Keeps `directory`, which it owns, in step with the board."""

    def __init__(self, directory: Path, store: Boards, clock: Clock) -> None:
        self._directory = directory
        self._store = store
        self._clock = clock
        self._board: SaleBoard | None = None

    def clear(self) -> None:
        """Nothing is over. Makes the directory. Raises OSError where it cannot."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._set(set())

    async def run(self) -> None:
        """Follow the board until cancelled. While the store is away everything stays as it is:
        what was over stays over."""
        while True:
            try:
                await self.turn()
            except DependencyDown:
                pass  # its roles tell of it
            except Exception:  # a disk that is full, a store that forbids: it must go on afterwards
                log.exception("edge_switch_failed")
            await asyncio.sleep(LOOK_S)

    async def turn(self) -> None:
        """Look once. With no board nothing is over. Raises DependencyDown."""
        now_ms = self._clock.now_ms()  # before the board, which is then not older
        self._board = await self._store.read_sales(self._board)
        self._set(over(self._board.sales if self._board else {}, now_ms))

    def _set(self, wanted: set[int]) -> None:
        there = {
            int(path.name) for path in self._directory.iterdir() if _NUMBER.fullmatch(path.name)
        }
        for sale_id in there - wanted:
            (self._directory / str(sale_id)).unlink(missing_ok=True)
        for sale_id in wanted - there:
            (self._directory / str(sale_id)).touch()


@contextlib.asynccontextmanager
async def switching(
    settings: Settings, directory: Path, alarm: Alarm | None = None
) -> AsyncIterator[EdgeSwitch]:
    """A switch that follows the board at `redis_url`; its directory is made, and empty. `alarm`
    rings if it breaks."""
    from miaosha.adapters.clock import StoreClock
    from miaosha.adapters.redis.connect import connect
    from miaosha.adapters.redis.store import RedisStore

    client = connect(settings.redis_url)
    store = RedisStore(client)
    clock = StoreClock(
        store.now_ms,
        step_max_ms=settings.clock_step_max_ms,
        believe_s=settings.clock_believe_s,
    )
    switch = EdgeSwitch(directory, store, clock)
    await clock.start()
    try:
        await asyncio.to_thread(switch.clear)
        async with beside(switch.run(), "edge's switch", alarm):
            yield switch
    finally:
        await clock.stop()
        await client.aclose()
