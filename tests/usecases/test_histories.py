"""Histories of one sale, told as a shop would tell them. Each ends with the audit."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from miaosha.domain.errors import Problem
from miaosha.domain.reservation import GRACE_MS, MAX_ATTEMPTS
from miaosha.usecases.checkout import NeedsAction, Paid
from tests.usecases.world import GOOD, HOME, LOST, REDIRECT, REFUSED, RETURN_URL, World


async def clean(world: World, sale_id: int) -> None:
    verdict = await world.servers.auditor.audit(sale_id)
    assert verdict.clean, verdict.findings


async def sold_to(world: World, stock: int, presses: int) -> tuple[int, list[int]]:
    """A sale of `stock` units, pressed by `presses` buyers in one batch, decided."""
    sale = await world.sale(stock=stock, standby=3)
    users = await world.users(presses)
    await world.allocator.handle([await world.press(sale.id, users)])
    return sale.id, users


async def test_units_go_to_the_first_then_standby_then_nobody(world: World) -> None:
    sale_id, users = await sold_to(world, stock=2, presses=7)

    states = [await world.state(sale_id, user) for user in users]

    assert states == ["held", "held", "standby", "standby", "standby", "none", "none"]
    assert [r.state for r in world.servers.bus.results(users[6])] == ["sold_out"]
    held = world.servers.bus.results(users[0])[-1]
    assert held.checkout_token and held.pay_by_ms
    await clean(world, sale_id)


async def test_a_redelivered_batch_gets_the_same_answers(world: World) -> None:
    sale = await world.sale(stock=1, standby=1)
    users = await world.users(3)
    batch = await world.press(sale.id, users)
    await world.allocator.handle([batch])
    before = [await world.query.mine(sale.id, u, batch.rid(i)) for i, u in enumerate(users)]

    await world.allocator.handle([batch, batch])

    after = [await world.query.mine(sale.id, u, batch.rid(i)) for i, u in enumerate(users)]
    assert [m.state for m in after] == [m.state for m in before] == ["held", "standby", "sold_out"]
    assert [m.request_id for m in after] == [m.request_id for m in before]
    await clean(world, sale.id)


class Meanwhile:
    """The store, where something happens right after the first look at a place."""

    def __init__(self, store: Any, happens: Callable[[], Awaitable[object]]) -> None:
        self._store = store
        self._happens: Callable[[], Awaitable[object]] | None = happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def place(self, *args: Any) -> Any:
        seen = await self._store.place(*args)
        happens, self._happens = self._happens, None
        if happens is not None:
            await happens()
        return seen


@pytest.mark.parametrize(("taken", "state"), [(False, "held"), (True, "standby")])
async def test_who_asks_while_a_batch_is_decided_hears_what_became_of_it(
    world: World, taken: bool, state: str
) -> None:
    sale = await world.sale(stock=1, standby=1)
    first, second = await world.users(2)
    if taken:
        await world.allocator.handle([await world.press(sale.id, [first])])
    batch = await world.press(sale.id, [second])
    store: Any = Meanwhile(world.query._store, lambda: world.allocator.handle([batch]))
    world.query._store = store

    assert await world.state(sale.id, second, batch.rid(0)) == state
    await clean(world, sale.id)


async def test_a_second_press_answers_the_place_there_is(world: World) -> None:
    sale_id, users = await sold_to(world, stock=1, presses=2)
    again = await world.press(sale_id, users)
    await world.allocator.handle([again])

    mine = await world.query.mine(sale_id, users[0], again.rid(0))

    assert mine.state == "held" and mine.request_id != again.rid(0)
    await clean(world, sale_id)


async def test_an_unpaid_unit_goes_to_the_head_of_standby(world: World) -> None:
    sale_id, users = await sold_to(world, stock=1, presses=3)
    world.servers.clock.advance(60_000 + GRACE_MS)

    assert await world.release.sweep() == 1

    assert [await world.state(sale_id, u) for u in users] == ["expired", "held", "standby"]
    assert world.servers.bus.results(users[1])[-1].checkout_token
    assert (await world.query.mine(sale_id, users[2], None)).position == 1
    await clean(world, sale_id)


async def test_a_hold_is_not_released_within_its_grace(world: World) -> None:
    sale_id, users = await sold_to(world, stock=1, presses=1)
    world.servers.clock.advance(60_000 + GRACE_MS - 1)

    assert await world.release.sweep() == 0
    assert isinstance(await world.pay(sale_id, users[0]), Paid)
    await clean(world, sale_id)


async def test_whoever_expired_may_press_again_at_the_end_of_the_line(world: World) -> None:
    sale_id, users = await sold_to(world, stock=1, presses=2)
    world.servers.clock.advance(60_000 + GRACE_MS)
    await world.release.sweep()
    again = await world.press(sale_id, users[:1])

    assert await world.state(sale_id, users[0], again.rid(0)) == "queued"
    await world.allocator.handle([again])

    assert [await world.state(sale_id, u) for u in users] == ["standby", "held"]
    await clean(world, sale_id)


async def test_paying_twice_makes_one_order(world: World) -> None:
    sale_id, users = await sold_to(world, stock=1, presses=1)
    token = await world.token(sale_id, users[0])
    first = await world.pay(sale_id, users[0])

    second = await world.checkout.pay(sale_id, users[0], token, GOOD, HOME, RETURN_URL)

    assert isinstance(second, Paid)
    assert (first.order.id, first.repeated) == (second.order.id, False)
    assert second.repeated
    await clean(world, sale_id)


async def test_a_hundred_parallel_checkouts_make_one_order_and_one_charge(world: World) -> None:
    sale_id, users = await sold_to(world, stock=1, presses=1)
    buyer, token = users[0], await world.token(sale_id, users[0])
    pay = world.checkout.pay
    answers = await asyncio.gather(
        *(pay(sale_id, buyer, token, GOOD, HOME, RETURN_URL) for _ in range(100)),
        return_exceptions=True,
    )

    paid = [a for a in answers if isinstance(a, Paid)]
    refused = [a.code for a in answers if isinstance(a, Problem)]
    assert len(paid) >= 1 and len({p.order.id for p in paid}) == 1
    assert len([p for p in paid if not p.repeated]) == 1
    assert set(refused) <= {"payment_in_progress"} and len(paid) + len(refused) == 100
    terms = await world.servers.ledger.sales.terms(sale_id)
    assert (terms.granted, terms.sold) == (1, 1)
    await clean(world, sale_id)


async def test_a_refused_card_keeps_the_hold_and_the_fifth_ends_it(world: World) -> None:
    sale_id, users = await sold_to(world, stock=1, presses=2)
    for attempt in range(MAX_ATTEMPTS):
        assert await world.state(sale_id, users[0]) == "held", attempt
        with pytest.raises(Problem) as refused:
            await world.pay(sale_id, users[0], REFUSED)
        assert refused.value.code == "payment_refused"

    assert [await world.state(sale_id, u) for u in users] == ["expired", "held"]
    await clean(world, sale_id)


async def test_a_charge_whose_answer_is_lost_is_looked_up(world: World) -> None:
    sale_id, users = await sold_to(world, stock=1, presses=1)

    assert isinstance(await world.pay(sale_id, users[0], LOST), Paid)
    assert await world.state(sale_id, users[0]) == "paid"
    await clean(world, sale_id)


async def test_a_redirect_pins_the_hold_until_it_is_decided(world: World) -> None:
    sale_id, users = await sold_to(world, stock=1, presses=2)
    assert isinstance(await world.pay(sale_id, users[0], REDIRECT), NeedsAction)
    world.servers.clock.advance(60_000 + GRACE_MS)

    assert await world.release.sweep() == 0
    with pytest.raises(Problem) as busy:
        await world.release.give_up(sale_id, users[0])
    assert busy.value.code == "payment_in_progress"

    world.servers.clock.advance(300_000)
    assert await world.checkout.settle_stale(world.servers.clock.now_ms()) == 1
    assert [await world.state(sale_id, u) for u in users] == ["expired", "held"]
    await clean(world, sale_id)


async def test_giving_up_a_hold_passes_it_on(world: World) -> None:
    sale_id, users = await sold_to(world, stock=1, presses=3)
    await world.release.give_up(sale_id, users[1])  # leaves standby
    await world.release.give_up(sale_id, users[0])  # declines the hold

    assert [await world.state(sale_id, u) for u in users] == ["declined", "left", "held"]
    await world.release.give_up(sale_id, users[0])  # a repeat is harmless
    await clean(world, sale_id)


async def test_a_hold_sql_does_not_know_yet_is_granted_then_declined(world: World) -> None:
    sale = await world.sale(stock=1)
    users = await world.users(2)
    batch = await world.press(sale.id, users)
    terms = await world.servers.ledger.sales.terms(sale.id)
    await world.servers.store.decide(sale.id, terms.epoch, batch)
    assert await world.state(sale.id, users[0]) == "queued"

    await world.release.give_up(sale.id, users[0])

    assert [await world.state(sale.id, u) for u in users] == ["declined", "held"]
    await world.allocator.handle([batch])
    assert [await world.state(sale.id, u) for u in users] == ["declined", "held"]
    await clean(world, sale.id)


async def test_a_paused_sale_waits_and_decides_after(world: World) -> None:
    sale = await world.sale(stock=1)
    users = await world.users(2)
    await world.control.pause(sale.id)
    batch = await world.press(sale.id, users)
    deciding = asyncio.create_task(world.allocator.handle([batch]))
    async with asyncio.timeout(10):
        while world.counters["waits"] < 2:  # noqa: ASYNC110 (a condition with a deadline)
            await asyncio.sleep(0.01)
    assert await world.state(sale.id, users[0], batch.rid(0)) == "queued"

    await world.control.resume(sale.id)
    await asyncio.wait_for(deciding, 10)

    assert [await world.state(sale.id, u) for u in users] == ["held", "standby"]
    await clean(world, sale.id)


async def test_after_closing_units_still_reach_standby_and_the_sale_settles(world: World) -> None:
    sale_id, users = await sold_to(world, stock=1, presses=3)
    await world.control.close(sale_id)
    late = await world.press(sale_id, await world.users(1))
    await world.allocator.handle([late])
    assert await world.state(sale_id, late.user_ids[0], late.rid(0)) == "closed"

    world.servers.clock.advance(60_000 + GRACE_MS)
    await world.release.sweep()
    assert await world.state(sale_id, users[1]) == "held"
    await world.pay(sale_id, users[1])

    assert await world.state(sale_id, users[2]) == "closed"
    await acknowledge_all(world, sale_id)
    terms = await world.servers.ledger.sales.terms(sale_id)
    await world.settlement.advance(terms)

    terms = await world.servers.ledger.sales.terms(sale_id)
    assert terms.phase == "settled"
    assert await world.servers.store.reading(sale_id) is None
    assert [await world.state(sale_id, u) for u in users] == ["expired", "paid", "closed"]
    await clean(world, sale_id)


async def test_more_stock_reaches_standby_and_less_never_takes_a_granted_unit(
    world: World,
) -> None:
    sale_id, users = await sold_to(world, stock=1, presses=3)
    await world.control.stock(sale_id, 2)
    assert [await world.state(sale_id, u) for u in users] == ["held", "held", "standby"]

    with pytest.raises(Problem) as less:
        await world.control.stock(sale_id, 1)
    assert less.value.code == "conflict"
    await world.release.give_up(sale_id, users[2])
    await world.release.give_up(sale_id, users[1])
    await world.control.stock(sale_id, 1)

    reading = await world.servers.store.reading(sale_id)
    assert (reading.stock, reading.free, reading.held) == (1, 0, 1)
    await clean(world, sale_id)


async def acknowledge_all(world: World, sale_id: int) -> None:
    """Consume the log as a consumer would, until its backlog is gone."""
    consuming = asyncio.create_task(
        world.servers.broker.consume(sale_id, "tests", world.allocator.handle)
    )
    async with asyncio.timeout(20):
        while (await world.servers.broker.pressure(sale_id)).backlog:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    consuming.cancel()
    await asyncio.wait([consuming])
