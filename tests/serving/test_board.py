"""A process's copy of the board: what it keeps when the store loses it, or says nothing useful."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest

from miaosha.domain.errors import DependencyDown
from miaosha.domain.sale import Phase
from miaosha.ports.heartbeats import Heartbeat, watchers
from miaosha.ports.store import Reading, StockStore
from miaosha.serving.board import MISSING, Board
from tests.kit.clocks import HandClock
from tests.publisher.world import NOW_MS, SOLD_OUT, Store, sale


class Counted(Store):
    """A store that answers with those readings that are there, as one with a dead server does."""

    async def readings(
        self, sale_ids: Sequence[int], within_s: float | None = None
    ) -> dict[int, Reading | None]:
        found = await super().readings(sale_ids, within_s)
        return {id_: reading for id_, reading in found.items() if reading is not None}


async def board_of(store: Store, clock: HandClock | None = None) -> Board:
    board = Board(cast(StockStore, store), clock or HandClock())
    await board.refresh()
    await board.count(board.sales.values())
    return board


def available(board: Board, id_: int = 7) -> bool:
    return board.view(board.sales[id_], 0).available


async def test_a_missing_board_freezes_every_sale_but_those_that_are_over() -> None:
    store = Store()
    store.sales = {7: sale(7), 8: sale(8, frozen="audit"), 9: sale(9, phase=Phase.SETTLED)}
    board = await board_of(store)
    store.sales = None
    await board.refresh()
    assert board.missing
    assert [board.sales[id_].frozen for id_ in (7, 8)] == [MISSING, "audit"]
    phases = [kept.phase_at(NOW_MS) for kept in board.sales.values()]
    assert phases == [Phase.FROZEN, Phase.FROZEN, Phase.SETTLED]
    store.sales = {7: sale(7)}
    await board.refresh()
    assert board.sales == {7: sale(7)}


async def test_a_store_that_is_away_leaves_the_copy_and_its_age() -> None:
    store, clock = Store(), HandClock()
    board = await board_of(store, clock)
    read_at_s = board.read_at_s
    store.sales = store.counts = DependencyDown("away")
    clock.advance(5_000)
    with pytest.raises(DependencyDown):
        await board.refresh()
    assert board.sales == {7: sale()}
    assert board.read_at_s == read_at_s == clock.monotonic() - 5


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, False), ({"genuine": False}, True), ({"epoch": 0}, True), ({"free": 1}, True)],
)
async def test_sold_out_is_what_a_usable_reading_says(
    changes: dict[str, Any], expected: bool
) -> None:
    store = Store()
    store.counts = {7: msgspec.structs.replace(SOLD_OUT, **changes)}
    assert available(await board_of(store)) is expected


async def test_a_server_that_does_not_answer_leaves_the_last_reading() -> None:
    store = Counted()
    store.counts = {7: SOLD_OUT}
    board = await board_of(store)
    store.counts = {}
    await board.count(board.sales.values())
    assert not available(board)


async def test_only_sales_that_run_are_counted() -> None:
    store = Store()
    over, coming = {"closes_at_ms": NOW_MS}, {"opens_at_ms": NOW_MS + 1}
    store.sales = {7: sale(7), 8: sale(8, **over), 9: sale(9, **coming)}
    board = await board_of(store)
    assert store.asked == [7]
    assert [available(board, id_) for id_ in (7, 8, 9)] == [True, False, True]


def test_watchers_are_summed_over_gateways() -> None:
    beats = [
        Heartbeat("gateway", "a.0", 1, 0, {}, {7: 40, 8: 1}),
        Heartbeat("gateway", "b.0", 2, 0, {}, {7: 2}),
        Heartbeat("publisher", "a.0", 3, 0, {}),
    ]
    total = watchers(beats)
    assert (total[7], total[8], total[9]) == (42, 1, 0)
