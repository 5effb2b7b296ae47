"""RebuildRows read a sale in pages, and go on whoever waits for them, or dies over them."""

import asyncio
import contextlib
from typing import Any

import pytest

from miaosha.adapters.sql import holds
from miaosha.domain.errors import Fault
from miaosha.domain.freezes import MANUAL
from miaosha.usecases import control, merging
from miaosha.usecases.rebuild_lease import LEASE_S
from tests.usecases.test_histories import acknowledge_all, clean
from tests.usecases.world import Died, Fate, Servers, World

PAGE = 3  # rows; small enough for one buyer's to fill more than one


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (merging, control):
        monkeypatch.setattr(module, "PAGE", PAGE)
    monkeypatch.setattr(holds, "_PAGE", holds._PAGE.limit(PAGE))


async def declined(world: World, sale_id: int, user: int, times: int) -> None:
    """The buyer takes a unit and gives it back, so many times."""
    for _ in range(times):
        await world.press(sale_id, [user])
        await acknowledge_all(world, sale_id)
        await world.release.give_up(sale_id, user)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("lost", [False, True], ids=["redis is there", "redis was lost"])
@pytest.mark.parametrize("rows", [1, 2, 4, 8])
async def test_a_buyer_whose_rows_span_pages_keeps_one_place(
    world: World, rows: int, lost: bool
) -> None:
    sale = await world.sale(stock=5)
    users = await world.users(5)
    await declined(world, sale.id, users[1], rows)
    await world.press(sale.id, users)
    await acknowledge_all(world, sale.id)
    await world.pay(sale.id, users[3])
    await world.release.give_up(sale.id, users[4])
    before = [await world.state(sale.id, user) for user in users]
    assert before == ["held", "held", "held", "paid", "declined"]
    if lost:
        await world.servers.store._client.flushall()

    assert await world.control.rebuild(sale.id)

    assert [await world.state(sale.id, user) for user in users] == before
    reading = await world.servers.store.reading(sale.id)
    assert (reading.free, reading.held, reading.paid) == (1, 3, 1)
    await clean(world, sale.id)


@pytest.mark.usefixtures("small_pages")
async def test_what_a_buyer_asked_for_after_the_last_row_is_decided_by_the_replay(
    world: World,
) -> None:
    """And what the log holds of before is not decided again, however often it was pressed."""
    sale = await world.sale(stock=1)
    early, late = await world.users(2)
    await declined(world, sale.id, early, PAGE + 1)
    await world.press(sale.id, [early])  # accepted, and not decided yet
    await world.press(sale.id, [late])
    await world.servers.store._client.flushall()

    assert await world.control.rebuild(sale.id)
    await acknowledge_all(world, sale.id)
    await world.duties(sale.id)

    assert await world.state(sale.id, early) == "held"
    assert await world.state(sale.id, late) == "standby"
    await clean(world, sale.id)


class Gate:
    """The store, whose rebuild waits at its first scan until the gate is opened."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.open, self.reached = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def scan_places(self, *args: Any) -> Any:
        self.reached.set()
        await self.open.wait()
        return await self._store.scan_places(*args)


@pytest.fixture
def gate(world: World) -> Gate:
    gate = Gate(world.rebuilder._store)
    world.rebuilder._store = gate
    return gate


async def frozen(world: World, sale_id: int) -> str | None:
    reason: str | None = (await world.servers.ledger.sales.terms(sale_id)).frozen
    return reason


async def test_a_rebuild_that_nobody_waits_for_goes_on(world: World, gate: Gate) -> None:
    gate.open.set()
    sale = await world.sale(stock=1)
    gate.open.clear()
    gate.reached.clear()
    assert await world.control.rebuild_within(sale.id, 0.01) is None
    await asyncio.wait_for(gate.reached.wait(), 10)
    assert await frozen(world, sale.id) == "asked by an admin"
    assert await world.control.rebuild_within(sale.id, None) is False, "one is under way"
    gate.open.set()
    await asyncio.wait_for(asyncio.gather(*world.control._going_on), 10)
    assert await frozen(world, sale.id) is None
    await clean(world, sale.id)


async def test_who_waits_to_the_end_takes_the_rebuild_along(world: World, gate: Gate) -> None:
    """A command that is cut off, say; the scheduler finishes what it began."""
    gate.open.set()
    sale = await world.sale(stock=1)
    gate.open.clear()
    gate.reached.clear()
    asked = asyncio.create_task(world.control.rebuild_within(sale.id, None))
    await gate.reached.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    gate.open.set()
    await finished_by_the_scheduler(world.servers, sale.id)


async def test_a_process_that_ends_leaves_its_rebuilds_to_the_scheduler(
    world: World, gate: Gate
) -> None:
    gate.open.set()
    sale = await world.sale(stock=1)
    gate.open.clear()
    assert await world.control.rebuild_within(sale.id, 0.01) is None
    await world.control.close_down()
    await world.control.close_down()
    await finished_by_the_scheduler(world.servers, sale.id)


async def finished_by_the_scheduler(servers: Servers, sale_id: int) -> None:
    world = World(servers)
    for _ in range(4):
        await world.duties(sale_id)
        servers.clock.advance(round(LEASE_S * 1_000))  # that of one who died ends
    assert await frozen(world, sale_id) is None
    await clean(world, sale_id)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_an_admins_rebuild_lifts_a_freeze_for_a_person_wherever_its_process_dies(
    servers: Servers, after: bool
) -> None:
    sale_id, at, where = 0, 0, "begin"
    while where:
        at += 1
        healthy = World(servers)
        if not sale_id:
            sale_id = (await healthy.sale(stock=1)).id
        terms = await servers.ledger.sales.terms(sale_id)
        await servers.ledger.sales.freeze(sale_id, terms.epoch, f"{MANUAL}I2")
        fate = Fate(at, after)
        with contextlib.suppress(Died, Fault):
            await World(servers, fate).control.rebuild(sale_id)
        where = fate.where
        while await frozen(healthy, sale_id) == f"{MANUAL}I2":  # not begun: the admin asks again
            servers.clock.advance(round(LEASE_S * 1_000))
            await healthy.control.rebuild(sale_id)
        await finished_by_the_scheduler(servers, sale_id)
    assert at > 10
