"""Who may not write: another epoch, another server, a frozen sale. A refusal leaves no trace."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from miaosha.domain.allocation import Decision, Refusal
from miaosha.domain.reservation import State
from miaosha.ports.rebuilding import RebuildMeta
from miaosha.ports.store import Ending, GrantedHold, StockStore
from tests.contract.sales import BY, FAR_MS, arm, batch, press
from tests.contract.store_rigs import StoreRig

Call = Callable[[StockStore, int, int], Awaitable[Any]]

PAID, EXPIRED = State.PAID, State.EXPIRED
CALLS: dict[str, Call] = {
    "decide": lambda s, sale, e: s.decide(sale, e, batch(sale, "n", 21)),
    "repeat": lambda s, sale, e: s.decide(sale, e, batch(sale, "b", 11, 12, 13)),
    "granted": lambda s, sale, e: s.granted(sale, e, [GrantedHold(11, "b.0", 1, 1)]),
    "release": lambda s, sale, e: s.release(sale, e, [Ending(11, "b.0", EXPIRED, 2)]),
    "settle": lambda s, sale, e: s.settle(sale, e, [Ending(12, "b.1", PAID, 2)]),
    "promote": lambda s, sale, e: s.promote(sale, e),
    "leave": lambda s, sale, e: s.leave(sale, e, 13),
    "resize": lambda s, sale, e: s.resize(sale, e, 9),
    "phase": lambda s, sale, e: s.set_phase(sale, e, "paused", 5),
}
# told by SQL about holds that live on: a frozen sale takes them
NOT_FROZEN = {"granted", "release", "settle"}


async def busy_sale(store: StockStore, sale_id: int) -> None:
    """Two holds, one on standby, one sold out, under epoch 1."""
    await arm(store, sale_id, 2, standby_limit=1)
    await press(store, sale_id, "b", 11, 12, 13, 14)


@pytest.mark.parametrize("name", CALLS)
async def test_another_epoch(store: StockStore, rig: StoreRig, sale_id: int, name: str) -> None:
    await busy_sale(store, sale_id)
    before = await rig.kept(sale_id)
    for epoch in (0, 2):
        assert await CALLS[name](store, sale_id, epoch) is Refusal.EPOCH
    assert await rig.kept(sale_id) == before


@pytest.mark.parametrize("name", CALLS)
async def test_nothing_known(store: StockStore, rig: StoreRig, sale_id: int, name: str) -> None:
    for epoch in (0, 1):
        assert await CALLS[name](store, sale_id, epoch) is Refusal.EPOCH
    assert await rig.kept(sale_id) == ({}, {}, {}, set(), {})


@pytest.mark.parametrize("name", CALLS)
async def test_a_lost_epoch(store: StockStore, rig: StoreRig, sale_id: int, name: str) -> None:
    await busy_sale(store, sale_id)
    await rig.lose_epoch(sale_id)
    before = await rig.kept(sale_id)
    assert await CALLS[name](store, sale_id, 1) is Refusal.EPOCH
    assert await store.ungranted(sale_id, older_than_ms=0, limit=9) == (0, [])
    reading = await store.reading(sale_id)
    assert reading is not None and reading.epoch == 0
    assert await rig.kept(sale_id) == before


@pytest.mark.parametrize("name", CALLS)
async def test_another_server(store: StockStore, rig: StoreRig, sale_id: int, name: str) -> None:
    await busy_sale(store, sale_id)
    await rig.disown(sale_id)
    before = await rig.kept(sale_id)
    assert await CALLS[name](store, sale_id, 1) is Refusal.RUN_ID
    assert await CALLS[name](store, sale_id, 2) is Refusal.EPOCH, "the epoch comes first"
    assert await store.ungranted(sale_id, older_than_ms=0, limit=9) == (0, [])
    reading = await store.reading(sale_id)
    assert reading is not None and not reading.genuine
    assert await rig.kept(sale_id) == before
    assert await store.place(sale_id, 11) is not None, "reads go on"


@pytest.mark.parametrize("name", CALLS)
async def test_a_frozen_sale(store: StockStore, rig: StoreRig, sale_id: int, name: str) -> None:
    await busy_sale(store, sale_id)
    await rig.freeze(sale_id)
    before = await rig.kept(sale_id)
    answer = await CALLS[name](store, sale_id, 1)
    if name in NOT_FROZEN:
        assert not isinstance(answer, Refusal)
        assert await rig.kept(sale_id) != before
    else:
        assert answer is Refusal.FROZEN
        assert await rig.kept(sale_id) == before


@pytest.mark.parametrize("name", CALLS)
async def test_every_script_may_run_twice(
    store: StockStore, rig: StoreRig, sale_id: int, name: str
) -> None:
    await busy_sale(store, sale_id)
    await CALLS[name](store, sale_id, 1)
    once = await rig.kept(sale_id)
    await CALLS[name](store, sale_id, 1)
    twice = await rig.kept(sale_id)
    for state in (once, twice):
        state.meta.pop("clock_ms")
    assert twice == once


async def test_a_rebuild_passes_the_freeze_under_its_own_name_only(
    store: StockStore, sale_id: int
) -> None:
    await store.begin_rebuild(sale_id, 1, BY)
    await store.finish_rebuild(sale_id, 1, BY, RebuildMeta(1, 0, 0, 0, FAR_MS, 5))
    mine, theirs = batch(sale_id, "b", 11), batch(sale_id, "c", 12)
    assert await store.decide(sale_id, 1, theirs, rebuilder="lease-2") is Refusal.FROZEN
    assert await store.promote(sale_id, 1, rebuilder="lease-2") is Refusal.FROZEN
    assert await store.set_phase(sale_id, 1, "open", 1, rebuilder="lease-2") is Refusal.FROZEN
    assert isinstance(await store.decide(sale_id, 1, mine, rebuilder=BY), Decision)
    assert await store.promote(sale_id, 1, rebuilder=BY) == []
    assert await store.set_phase(sale_id, 1, "paused", FAR_MS, rebuilder=BY) is None
    assert await store.decide(sale_id, 1, theirs, rebuilder=BY) is Refusal.PAUSED


@pytest.mark.parametrize("name", CALLS)
async def test_who_notes_the_time(
    store: StockStore, rig: StoreRig, sale_id: int, name: str
) -> None:
    """Whoever changes something; of repeats only those that write all the same."""
    await busy_sale(store, sale_id)
    noted = []
    for _ in range(2):
        await rig.set_clock(sale_id, 1)
        await CALLS[name](store, sale_id, 1)
        noted.append((await rig.kept(sale_id)).number("clock_ms") > 1)
    assert noted == [name not in {"repeat", "promote"}, name in {"resize", "phase"}]
