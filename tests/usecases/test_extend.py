"""More time to pay: once per hold, decided by SQL, repeated without harm, and told to everybody who
shows or watches the deadline.
"""

import asyncio
import contextlib

import pytest

from miaosha.domain.errors import Fault, Problem
from miaosha.domain.reservation import GRACE_MS
from miaosha.ports.broker import Reminder
from tests.usecases.conftest import Urls, fresh_servers
from tests.usecases.test_crashes import STEPS_MAX
from tests.usecases.test_histories import clean, sold_to
from tests.usecases.world import EXTEND_BY_S, REDIRECT, Died, Fate, World

PAY_WITHIN_MS = 60_000
EXTRA_MS = EXTEND_BY_S * 1000


async def refused(world: World, sale_id: int, user: int, pay_by_ms: int | None = None) -> str:
    with pytest.raises(Problem) as problem:
        await world.extension.extend(sale_id, user, pay_by_ms)
    return problem.value.code


async def test_the_deadline_moves_once_for_everybody_who_shows_it(world: World) -> None:
    sale_id, [user, *_] = await sold_to(world, stock=1, presses=2)
    before = await world.query.mine(sale_id, user, None)

    hold = await world.extension.extend(sale_id, user, before.pay_by_ms)

    after = await world.query.mine(sale_id, user, None)
    assert (before.extended, after.extended) == (False, True)
    assert after.pay_by_ms == hold.pay_by_ms == (before.pay_by_ms or 0) + EXTRA_MS
    assert after.version > before.version
    assert after.checkout_token not in (None, before.checkout_token)
    push = world.servers.bus.results(user)[-1]
    assert (push.pay_by_ms, push.version, push.extended) == (hold.pay_by_ms, after.version, True)
    assert push.checkout_token == after.checkout_token
    view = await world.servers.store.place(sale_id, user)
    assert view.place.pay_by_ms == hold.pay_by_ms
    assert view.place.version == hold.version
    await clean(world, sale_id)


async def test_a_repeat_answers_the_same_and_a_second_extension_is_refused(world: World) -> None:
    sale_id, [user] = await sold_to(world, stock=1, presses=1)
    seen = (await world.query.mine(sale_id, user, None)).pay_by_ms
    first = await world.extension.extend(sale_id, user, seen)

    repeats = [await world.extension.extend(sale_id, user, asked) for asked in (seen, None, 0)]

    assert repeats == [first] * 3
    assert await refused(world, sale_id, user, first.pay_by_ms) == "already_extended"
    assert (await world.query.mine(sale_id, user, None)).version == first.version
    assert len(await world.servers.trail.entries(None, 10)) == 1


async def test_a_hundred_taps_move_it_once(world: World) -> None:
    sale_id, [user] = await sold_to(world, stock=1, presses=1)
    seen = (await world.query.mine(sale_id, user, None)).pay_by_ms or 0
    holds = await asyncio.gather(*(world.extension.extend(sale_id, user) for _ in range(100)))
    assert {hold.pay_by_ms for hold in holds} == {seen + EXTRA_MS}
    assert {hold.version for hold in holds} == {holds[0].version}


async def test_neither_reminder_nor_sweep_takes_a_hold_before_its_new_end(world: World) -> None:
    sale_id, [user, next_user] = await sold_to(world, stock=1, presses=2)
    hold = await world.extension.extend(sale_id, user)
    reminder = Reminder(sale_id, hold.rid)

    world.servers.clock.advance(PAY_WITHIN_MS + GRACE_MS)  # when the first reminder comes
    await world.release.remind([reminder])
    assert await world.release.sweep() == 0
    assert await world.state(sale_id, user) == "held"

    world.servers.clock.advance(EXTRA_MS)
    await world.release.remind([reminder])
    assert await world.state(sale_id, user) == "expired"
    assert await world.state(sale_id, next_user) == "held"
    await clean(world, sale_id)


async def test_who_has_nothing_to_extend_is_told_why(world: World) -> None:
    sale_id, [payer, quitter, waiting] = await sold_to(world, stock=2, presses=3)
    [stranger] = await world.users(1)
    assert await refused(world, sale_id, waiting) == "not_found"
    assert await refused(world, sale_id, stranger) == "not_found"
    assert await refused(world, 99, payer) == "not_found"
    await world.pay(sale_id, payer, REDIRECT)
    assert await refused(world, sale_id, payer) == "payment_in_progress"
    await world.release.give_up(sale_id, quitter)
    assert await refused(world, sale_id, quitter) == "not_found"
    await world.pay(sale_id, waiting)
    assert await refused(world, sale_id, waiting) == "conflict"


async def test_a_deadline_that_has_passed_is_not_moved(world: World) -> None:
    sale_id, [user] = await sold_to(world, stock=1, presses=1)
    world.servers.clock.advance(PAY_WITHIN_MS + GRACE_MS)
    assert await refused(world, sale_id, user) == "hold_expired"
    await world.release.sweep()
    assert await refused(world, sale_id, user) == "hold_expired"


async def test_a_frozen_sale_moves_nothing_and_a_rebuild_keeps_what_was_moved(
    world: World,
) -> None:
    sale_id, [user, other] = await sold_to(world, stock=2, presses=2)
    hold = await world.extension.extend(sale_id, user)
    terms = await world.servers.ledger.sales.terms(sale_id)
    await world.servers.ledger.sales.freeze(sale_id, terms.epoch, "a test")
    assert await refused(world, sale_id, other) == "frozen"

    await world.rebuilder.rebuild(sale_id, "a test")

    after = await world.query.mine(sale_id, user, None)
    assert (after.pay_by_ms, after.extended) == (hold.pay_by_ms, True)
    view = await world.servers.store.place(sale_id, user)
    assert view.place.pay_by_ms == hold.pay_by_ms
    assert (await world.extension.extend(sale_id, other)).extended
    await clean(world, sale_id)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_dying_anywhere_and_asking_again_moves_it_once(urls: Urls, after: bool) -> None:
    for at in range(1, STEPS_MAX):
        fate = Fate(at, after)
        async with fresh_servers(urls) as servers:
            world = World(servers)
            sale_id, [user] = await sold_to(world, stock=1, presses=1)
            seen = (await world.query.mine(sale_id, user, None)).pay_by_ms or 0
            with contextlib.suppress(Died, Fault, Problem):
                await World(servers, fate).extension.extend(sale_id, user, seen)
            hold = await world.extension.extend(sale_id, user, seen)
            assert hold.pay_by_ms == seen + EXTRA_MS, fate.where
            view = await servers.store.place(sale_id, user)
            assert view.place.pay_by_ms == hold.pay_by_ms, fate.where
            await clean(world, sale_id)
        if not fate.where:
            assert at > 4
            return
    raise AssertionError("the act never ended")
