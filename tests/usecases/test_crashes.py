"""A process may die between any two lines. Each act below is run with its death before and after
every single call it makes to a port; then a new process does what the platform does anyway
(redelivery, the scheduler's duties), and the sale must be as if nothing had happened. So too if
only that one call fails, and the process lives on.
"""

import contextlib
from collections.abc import Awaitable, Callable

import pytest

from miaosha.domain.errors import Fault, Problem
from miaosha.domain.messages import Batch
from miaosha.domain.reservation import GRACE_MS
from miaosha.usecases.checkout import Paid
from tests.usecases.conftest import Urls, fresh_servers
from tests.usecases.test_histories import acknowledge_all
from tests.usecases.world import (
    GOOD,
    HOME,
    REFUSED,
    RETURN_URL,
    Died,
    Fate,
    Servers,
    World,
)

Act = Callable[[World, int, list[int], Batch], Awaitable[None]]
STEPS_MAX = 200


async def decide(world: World, _: int, __: list[int], batch: Batch) -> None:
    await world.allocator.handle([batch])


async def expire(world: World, sale_id: int, users: list[int], batch: Batch) -> None:
    world.servers.clock.advance(60_000 + GRACE_MS)
    await world.release.sweep()


async def decline(world: World, sale_id: int, users: list[int], batch: Batch) -> None:
    await world.release.give_up(sale_id, users[0])


async def extend(world: World, sale_id: int, users: list[int], batch: Batch) -> None:
    await world.extension.extend(sale_id, users[0])


async def pay(world: World, sale_id: int, users: list[int], batch: Batch) -> None:
    await world.pay(sale_id, users[0])


async def pay_refused(world: World, sale_id: int, users: list[int], batch: Batch) -> None:
    with pytest.raises((Problem, Fault)):
        await world.pay(sale_id, users[0], REFUSED)


async def rebuild(world: World, sale_id: int, users: list[int], batch: Batch) -> None:
    await world.rebuilder.rebuild(sale_id, "drill")


async def more_stock(world: World, sale_id: int, users: list[int], batch: Batch) -> None:
    await world.control.stock(sale_id, 3)


async def close_and_settle(world: World, sale_id: int, users: list[int], batch: Batch) -> None:
    await world.control.close(sale_id)
    world.servers.clock.advance(60_000 + GRACE_MS)
    for _ in range(3):
        await world.release.sweep()
        world.servers.clock.advance(60_000 + GRACE_MS)
    terms = await world.servers.ledger.sales.terms(sale_id)
    await world.settlement.advance(terms)


async def recover(servers: Servers, sale_id: int, batch: Batch) -> World:
    """What goes on after a death: the batch comes again, the scheduler does its rounds."""
    world = World(servers)
    servers.clock.advance(31_000)  # a dead rebuilder's lease ends
    for _ in range(3):
        await world.duties(sale_id)
        terms = await servers.ledger.sales.terms(sale_id)
        await world.settlement.advance(terms)
        if terms.phase != "settled" and terms.frozen is None:
            await world.allocator.handle([batch])
    await world.settlement.forget_settled()
    return world


ACTS: dict[str, tuple[Act, bool]] = {
    # act: what it is, whether the batch was decided before it
    "decide": (decide, False),
    "expire": (expire, True),
    "decline": (decline, True),
    "decline before the grant": (decline, False),
    "extend": (extend, True),
    "pay": (pay, True),
    "pay refused": (pay_refused, True),
    "rebuild": (rebuild, True),
    "rebuild with a backlog": (rebuild, False),
    "more stock": (more_stock, True),
    "close and settle": (close_and_settle, True),
}


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_dying_anywhere_changes_nothing(urls: Urls, name: str, after: bool) -> None:
    act, decided = ACTS[name]
    for at in range(1, STEPS_MAX):
        fate = Fate(at, after)
        async with fresh_servers(urls) as servers:
            died = await one_life(servers, act, decided, fate)
        if not died:
            assert at > 2, "the act made no call worth dying at"
            return
    raise AssertionError("the act never ended")


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("after", [False, True], ids=["away", "answer lost"])
async def test_a_call_that_fails_changes_nothing(urls: Urls, name: str, after: bool) -> None:
    act, decided = ACTS[name]
    for at in range(1, STEPS_MAX):
        fate = Fate(at, after, survived=True)
        async with fresh_servers(urls) as servers:
            if not await one_life(servers, act, decided, fate):
                return
    raise AssertionError("the act never ended")


async def one_life(servers: Servers, act: Act, decided: bool, fate: Fate) -> bool:
    world = World(servers)
    sale = await world.sale(stock=2, standby=2)
    users = await world.users(5)
    batch = await world.press(sale.id, users)
    if decided:
        await acknowledge_all(world, sale.id)
    elif act is decline:
        terms = await servers.ledger.sales.terms(sale.id)
        await servers.store.decide(sale.id, terms.epoch, batch)
    with contextlib.suppress(Died, Fault, Problem):
        await act(World(servers, fate), sale.id, users, batch)
    world = await recover(servers, sale.id, batch)
    await whole(world, sale.id, users, batch, fate.where)
    return bool(fate.where)


async def whole(world: World, sale_id: int, users: list[int], batch: Batch, where: str) -> None:
    """Nothing lost, nothing doubled: everybody has an outcome, every unit is somewhere, I1-I10."""
    terms = await world.servers.ledger.sales.terms(sale_id)
    assert terms.frozen is None, (where, terms.frozen)
    if terms.phase != "settled":
        await acknowledge_all(world, sale_id)
        for index, user in enumerate(users):
            state = await world.state(sale_id, user, batch.rid(index))
            assert state not in ("queued", "none", "paying"), (where, index, state)
        reading = await world.servers.store.reading(sale_id)
        assert (reading.free, reading.ungranted) == (reading.stock - terms.granted, 0), where
        assert terms.granted == min(terms.stock, reading.held + reading.paid), where
    assert not await world.servers.ledger.holds.unsynced(10), where
    verdict = await world.servers.auditor.audit(sale_id)
    assert verdict.clean, (where, verdict.findings)


async def test_a_payment_whose_beginning_is_not_known_is_looked_up(servers: Servers) -> None:
    world = World(servers)
    sale = await world.sale(stock=1)
    await world.press(sale.id, users := await world.users(1))
    await acknowledge_all(world, sale.id)
    token = await world.token(sale.id, users[0])

    fate = Fate(1, after=True, survived=True)
    paid = await World(servers, fate).checkout.pay(sale.id, users[0], token, GOOD, HOME, RETURN_URL)

    assert fate.where == "after SqlAttempts.begin"
    assert isinstance(paid, Paid) and not paid.repeated
    assert await world.state(sale.id, users[0]) == "paid"
