"""Bad days: a fault of one sale beside healthy ones, stores that hold garbage, a late admin."""

import asyncio
from typing import Any

import pytest

from miaosha.usecases.manage import Manage
from miaosha.usecases.settlement import HOLD
from tests.usecases.test_histories import acknowledge_all, clean
from tests.usecases.world import Died, Fate, World


class SilentTrail:
    async def append(self, *said: Any) -> None: ...

    async def entries(self, cursor: int | None, limit: int) -> Any: ...


async def test_a_sale_paused_beyond_its_end_is_resumed_and_settles(world: World) -> None:
    sale = await world.sale(stock=1)
    servers = world.servers
    batch = await world.press(sale.id, await world.users(1))
    manage = Manage(servers.catalogue, SilentTrail(), world.control, servers.clock)
    await manage.pause("cli", sale.id)
    servers.clock.advance(1)
    await manage.close("cli", sale.id)
    await world.settlement.advance(await servers.ledger.terms(sale.id))
    assert (await servers.ledger.terms(sale.id)).phase == "paused", "a batch waits for its outcome"

    await manage.resume("cli", sale.id)
    await acknowledge_all(world, sale.id)

    assert await world.state(sale.id, batch.user_ids[0]) == "held"
    await world.pay(sale.id, batch.user_ids[0])
    await world.settlement.advance(await servers.ledger.terms(sale.id))
    assert (await servers.ledger.terms(sale.id)).phase == "settled"
    await clean(world, sale.id)


async def test_two_rebuilds_asked_for_in_one_process_take_turns(world: World) -> None:
    sale = await world.sale(stock=1)
    before = await world.servers.ledger.terms(sale.id)

    done = await asyncio.gather(
        world.control.rebuild(sale.id),
        world.control.rebuild(sale.id),
        world.control.rebuild(sale.id),
    )

    assert sorted(done) == [False, False, True]
    after = await world.servers.ledger.terms(sale.id)
    assert (after.epoch, after.frozen) == (before.epoch + 1, None)
    await clean(world, sale.id)


async def test_a_board_of_another_version_is_written_anew(world: World) -> None:
    sale = await world.sale(stock=1)
    other = await world.sale(stock=1)
    await world.servers.store._client.hset("sales", str(sale.id), '{"id": 1, "title": "old"}')
    await world.servers.store._client.hset("sales", "rubbish", b"\xff{")
    assert await world.servers.store.read_sales() == {
        other.id: await world.servers.catalogue.sale(other.id)
    }

    await world.control.refresh_board()

    assert set(await world.servers.store.read_sales()) == {sale.id, other.id}
    assert await world.servers.store._client.hget("sales", "rubbish") is None


async def test_terms_from_before_a_rebuild_cause_no_second_one(world: World) -> None:
    sale = await world.sale(stock=1)
    old = await world.servers.ledger.terms(sale.id)
    await world.control.rebuild(sale.id)
    rebuilt = await world.servers.ledger.terms(sale.id)

    assert not await world.settlement.heal(old), "its terms are of no use"

    assert await world.servers.ledger.terms(sale.id) == rebuilt
    assert await world.settlement.heal(rebuilt)


async def test_a_hold_for_a_person_is_not_rebuilt_by_a_scheduler_with_old_terms(
    world: World,
) -> None:
    sale = await world.sale(stock=1)
    old = await world.servers.ledger.terms(sale.id)
    await world.servers.ledger.freeze(sale.id, old.epoch, f"{HOLD}I1")

    await world.servers.store._client.flushall()
    assert not await world.settlement.heal(old)

    assert (await world.servers.ledger.terms(sale.id)).frozen == f"{HOLD}I1"


async def test_a_death_amid_forgetting_a_sale_leaves_no_log_behind(world: World) -> None:
    for at in (1, 2):
        sale = await world.sale(stock=1)
        terms = await world.servers.ledger.terms(sale.id)
        await world.control.close(sale.id)
        world.servers.clock.advance(1)
        assert await world.servers.ledger.settle_sale(sale.id, "{}", world.servers.clock.now_ms())
        await world.control.refresh_board()
        mortal = World(world.servers, Fate(at, after=True))
        with pytest.raises(Died):
            await mortal.settlement.forget(sale.id, terms.epoch)

        await world.settlement.forget_settled()

        assert await world.servers.store.reading(sale.id) is None
        assert (await world.servers.broker.pressure(sale.id)).log_bytes == 0


async def test_a_sale_whose_stock_was_raised_just_now_is_not_closed_as_sold_out(
    world: World,
) -> None:
    sale = await world.sale(stock=1)
    await world.press(sale.id, users := await world.users(1))
    await acknowledge_all(world, sale.id)
    await world.pay(sale.id, users[0])
    sold_out = await world.servers.ledger.terms(sale.id)
    await world.control.stock(sale.id, 2)

    await world.settlement.advance(sold_out)
    assert (await world.servers.ledger.terms(sale.id)).closes_at_ms == sale.closes_at_ms

    await world.press(sale.id, users := await world.users(1))
    await acknowledge_all(world, sale.id)
    await world.pay(sale.id, users[0])
    await world.settlement.advance(await world.servers.ledger.terms(sale.id))
    closes_at_ms = (await world.servers.ledger.terms(sale.id)).closes_at_ms
    assert closes_at_ms == world.servers.clock.now_ms()
    assert (await world.servers.store.reading(sale.id)).closes_at_ms == closes_at_ms
    await clean(world, sale.id)
