"""Leases by what was seen: no clock that may be set gives one away, or keeps one."""

import asyncio
from typing import Any

import pytest

from miaosha.domain.errors import DependencyDown, OutcomeUnknown
from miaosha.ports.leases import LeaseRow
from miaosha.usecases import rebuild, rebuild_lease
from miaosha.usecases.lease import LeaseCandidate
from tests.usecases.world import World

TTL_S = 10.0


def candidate(world: World) -> LeaseCandidate:
    return LeaseCandidate(world.servers.ledger.leases, world.servers.clock, TTL_S)


@pytest.mark.parametrize("hours", [-1, 0, 1])
async def test_a_lease_ends_when_its_owner_was_silent_for_so_long(world: World, hours: int) -> None:
    """Wherever the store's clock was set meanwhile."""
    clock = world.servers.clock
    owner, waiting = candidate(world), candidate(world)
    assert await owner.take("lead", "one")
    assert not await waiting.take("lead", "two")
    clock.step(hours * 3_600_000)
    clock.believe()
    for _ in range(9):
        clock.advance(1_000)
        assert not await waiting.take("lead", "two")
    assert await owner.take("lead", "one"), "a sign of life"
    for _ in range(10):
        assert not await waiting.take("lead", "two")
        clock.advance(1_000)
    assert await waiting.take("lead", "two")
    assert not await owner.take("lead", "one")


async def test_who_takes_a_lease_hears_who_had_it(world: World) -> None:
    heard: list[LeaseRow | None] = []
    first, second = candidate(world), candidate(world)
    now_ms = world.servers.clock.now_ms()
    assert await first.take("lead", "one", heard.append)
    assert await first.take("lead", "one", heard.append)
    assert heard == [None], "once, and not when it is prolonged"
    await first.free("lead", "one")
    assert await second.take("lead", "two", heard.append)
    assert heard[1] is not None
    assert heard[1].until_ms == now_ms + TTL_S * 1_000


async def test_a_person_waits_for_the_lease_of_a_rebuild_that_died(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild_lease, "LOOK_S", 0.01)
    sale = await world.sale(stock=1)
    ledger, clock = world.servers.ledger, world.servers.clock
    await ledger.leases.take(f"rebuild:{sale.id}", "died", clock.now_ms(), None)
    assert not await world.control.rebuild(sale.id), "the system comes again by itself"

    asked = asyncio.create_task(world.control.rebuild(sale.id, patient=True))
    while not asked.done():
        await asyncio.sleep(0.01)
        clock.advance(1_000)
    assert await asked


async def test_a_person_hears_at_once_of_a_rebuild_that_lives(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild_lease, "LOOK_S", 0.01)
    sale = await world.sale(stock=1)
    ledger, clock = world.servers.ledger, world.servers.clock
    name = f"rebuild:{sale.id}"
    await ledger.leases.take(name, "lives", clock.now_ms(), None)
    asked = asyncio.create_task(world.control.rebuild(sale.id, patient=True))
    while not asked.done():
        await asyncio.sleep(0.01)
        await ledger.leases.take(name, "lives", clock.now_ms(), None)
    assert not await asked


async def test_the_holder_of_a_freed_lease_keeps_nothing(world: World) -> None:
    first, second = candidate(world), candidate(world)
    await first.take("lead", "one")
    await first.free("lead", "one")
    await second.take("lead", "two")
    await first.free("lead", "one")
    assert await second.take("lead", "two")
    assert not await first.take("lead", "one")


async def test_a_lease_that_could_not_be_given_back_holds_up_nobody_of_ones_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = await world.sale(stock=1)
    leases = world.servers.ledger.leases
    drop = leases.drop

    async def away(name: str, owner: str) -> None:
        raise DependencyDown("database: away")

    monkeypatch.setattr(leases, "drop", away)
    assert await world.rebuilder.rebuild(sale.id, "lost"), "the rebuild itself has ended well"
    assert not await World(world.servers).rebuilder.rebuild(sale.id, "lost"), "it may live"
    monkeypatch.setattr(leases, "drop", drop)
    assert await world.rebuilder.rebuild(sale.id, "lost")
    assert await World(world.servers).rebuilder.rebuild(sale.id, "lost")


@pytest.mark.parametrize("asks", ["rebuild", "rebuild_within"])
async def test_a_lease_that_could_not_be_given_back_is_given_back_once_sql_is_there(
    world: World, monkeypatch: pytest.MonkeyPatch, asks: str
) -> None:
    """An admin's process may never rebuild that sale again; the scheduler does, and at once."""
    monkeypatch.setattr(rebuild, "LOOK_S", 0.001)
    sale = await world.sale(stock=1)
    ledger = world.servers.ledger
    drop = ledger.leases.drop
    asked = asyncio.Event()

    async def busy(*_: Any, **__: Any) -> Any:
        raise DependencyDown("database: is locked")

    async def away(name: str, owner: str) -> None:
        asked.set()
        raise DependencyDown("database: is locked")

    with monkeypatch.context() as locked:
        locked.setattr(ledger.rebuilds, "begin", busy)
        locked.setattr(ledger.leases, "drop", away)
        with pytest.raises(DependencyDown):
            await (
                world.control.rebuild(sale.id)  # as at the arming
                if asks == "rebuild"
                else world.control.rebuild_within(sale.id, None)
            )
        assert not await World(world.servers).rebuilder.rebuild(sale.id, "lost"), "it may live"
        asked.clear()
        await asyncio.wait_for(asked.wait(), 10)
    assert ledger.leases.drop == drop
    await asyncio.wait_for(asyncio.gather(*world.rebuilder._giving), 10)
    assert await World(world.servers).rebuilder.rebuild(sale.id, "lost")


async def test_a_lease_whose_taking_was_not_confirmed_holds_up_nobody_of_ones_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = await world.sale(stock=1)
    leases = world.servers.ledger.leases
    take = leases.take

    async def lost(*args: Any) -> Any:
        await take(*args)
        raise OutcomeUnknown("database: no answer to a commit")

    monkeypatch.setattr(leases, "take", lost)
    with pytest.raises(OutcomeUnknown):
        await world.rebuilder.rebuild(sale.id, "lost")
    monkeypatch.setattr(leases, "take", take)
    assert await world.rebuilder.rebuild(sale.id, "lost")
