"""Bad days: a fault of one sale beside healthy ones, stores that hold garbage, a late admin."""

import asyncio

from tests.usecases.test_histories import clean
from tests.usecases.world import World


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
