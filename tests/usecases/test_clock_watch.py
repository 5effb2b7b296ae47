"""The store's clock is set, there and back, both ways: no hold ends by it, nothing stands still."""

from collections.abc import AsyncIterator

import pytest

from miaosha.domain.errors import DependencyDown
from miaosha.domain.freezes import CLOCK
from miaosha.domain.reservation import GRACE_MS, HoldState
from miaosha.ports.broker import Reminder
from miaosha.ports.leases import LeaseRow
from miaosha.ports.sale_terms import Terms
from miaosha.usecases.checkout import NeedsAction
from miaosha.usecases.clock_watch import LEADERLESS_MAX_MS, STEADY_S
from miaosha.usecases.merging import EXTRA_MS
from tests.kit.waits import until
from tests.usecases.test_histories import acknowledge_all, clean
from tests.usecases.world import LEASE_MS, REDIRECT, World

HOUR_MS = 3_600_000
PAY_WITHIN_S = 600


class Held:
    """A sale of two units; one of its buyers holds, another stands by."""

    def __init__(self, world: World, sale_id: int, users: list[int], rid: str) -> None:
        self.world = world
        self.sale_id = sale_id
        self.users = users
        self.rid = rid

    async def terms(self) -> Terms:
        terms: Terms | None = await self.world.servers.ledger.sales.terms(self.sale_id)
        assert terms is not None
        return terms

    async def heal(self) -> bool:
        return await self.world.settlement.heal(await self.terms())

    async def pay_left_ms(self) -> int:
        hold = await self.world.servers.ledger.holds.live(self.sale_id, self.users[0])
        assert hold is not None and hold.state is HoldState.HELD, "the hold has ended"
        return int(hold.pay_by_ms - self.world.servers.clock.now_ms())


@pytest.fixture
async def held(world: World) -> AsyncIterator[Held]:
    sale = await world.sale(stock=1, pay_within_s=PAY_WITHIN_S)
    batch = await world.press(sale.id, users := await world.users(2))
    await acknowledge_all(world, sale.id)
    yield Held(world, sale.id, users, batch.rid(0))
    await clean(world, sale.id)


@pytest.mark.parametrize("step_ms", [HOUR_MS, -HOUR_MS])
async def test_there_and_back(world: World, held: Held, step_ms: int) -> None:
    clock = world.servers.clock
    clock.step(step_ms)
    await world.watch.look()
    frozen = (await held.terms()).frozen
    assert frozen is not None and frozen.startswith(CLOCK) and "3,600" in frozen
    assert await world.release.sweep() == 0
    assert not await held.heal(), "not before the clock is believed"
    clock.step(0)
    await world.watch.look()
    assert not await held.heal(), "nor before every role has seen it"
    clock.advance(round(STEADY_S * 1_000))
    assert not await held.heal(), "it is rebuilt"
    assert await held.heal()
    assert (await held.terms()).frozen is None
    assert await held.pay_left_ms() >= EXTRA_MS


@pytest.mark.parametrize("step_ms", [HOUR_MS, -HOUR_MS])
async def test_a_step_that_is_believed(world: World, held: Held, step_ms: int) -> None:
    """Forward it leaves every hold a minute; back it leaves none longer than it was given."""
    clock = world.servers.clock
    clock.step(step_ms)
    await world.watch.look()
    clock.advance(30_000)
    await world.watch.look()
    clock.believe()
    await world.watch.look()
    clock.advance(round(STEADY_S * 1_000))
    await until(held.heal)
    left_ms = await held.pay_left_ms()
    assert EXTRA_MS <= left_ms <= (PAY_WITHIN_S + 120) * 1_000
    clock.advance(left_ms + GRACE_MS)
    assert await world.release.sweep() == 1, "and then it ends"


async def test_a_small_difference_is_no_step(world: World, held: Held) -> None:
    await world.watch.look()
    assert (await held.terms()).frozen is None and await held.heal()


async def test_a_sale_whose_time_ran_ahead_unseen_is_rebuilt(world: World, held: Held) -> None:
    """A clock may be set and put right between two looks; a script in between has seen it."""
    store, clock = world.servers.store, world.servers.clock
    ahead_ms = clock.now_ms() + HOUR_MS
    await store._client.hset(f"{{sale:{held.sale_id}}}:meta", "clock_ms", str(ahead_ms))
    assert not await held.heal()
    assert (await store.reading(held.sale_id)).ahead_ms == 0
    assert await held.heal()


@pytest.mark.parametrize(
    ("gap_ms", "freezes"),
    [
        (0, False),
        (-LEASE_MS, False),
        (LEADERLESS_MAX_MS, False),
        (LEADERLESS_MAX_MS + 1, True),
        (HOUR_MS, True),
        (-HOUR_MS, True),
    ],
)
async def test_a_leader_that_comes_after_a_step_ends_no_hold(
    world: World, held: Held, gap_ms: int, freezes: bool
) -> None:
    """The last one died, and the clock was set before anybody led again."""
    clock = world.servers.clock
    left = LeaseRow("scheduler-died", 7, clock.now_ms() - gap_ms)
    await world.watch.take_over(left)
    assert ((await held.terms()).frozen is not None) is freezes
    if gap_ms > 0:
        clock.step(gap_ms)
        clock.believe()
    if freezes:
        assert await world.release.sweep() == 0
        assert not await held.heal()
        assert await held.heal(), "the clock is steady: it goes on at once"
        assert await held.pay_left_ms() >= EXTRA_MS


async def test_the_first_leader_of_all_freezes_nothing(world: World, held: Held) -> None:
    await world.watch.take_over(None)
    await world.watch.take_over(LeaseRow("", 0, 0))
    assert (await held.terms()).frozen is None


async def test_nobody_rebuilds_by_a_clock_that_may_be_wrong(world: World) -> None:
    """An admin asks a process that heard of a wrong clock first, and of the right one just now."""
    sale = await world.sale(stock=1)
    await world.press(sale.id, await world.users(1))
    clock = world.servers.clock
    before = await world.servers.ledger.sales.terms(sale.id)
    clock.step(-7_200_000)
    with pytest.raises(DependencyDown, match="clock"):
        await world.control.rebuild(sale.id)
    clock.step(0)
    clock.forget()
    with pytest.raises(DependencyDown, match="clock"):
        await world.control.rebuild(sale.id)
    clock.hear()
    assert await world.servers.ledger.sales.terms(sale.id) == before
    assert await world.control.rebuild(sale.id)


async def test_nothing_is_swept_by_a_clock_that_may_be_wrong(world: World, held: Held) -> None:
    """A leader sees the step, and has not frozen its sales yet."""
    clock = world.servers.clock
    ahead_ms = PAY_WITHIN_S * 1_000 + 2 * GRACE_MS
    clock.advance(ahead_ms)
    clock.step(-ahead_ms)
    assert await world.release.sweep() == 0
    await world.release.remind([Reminder(held.sale_id, held.rid)])
    assert await world.state(held.sale_id, held.users[0]) == "held"
    clock.step(0)
    assert await world.release.sweep() == 1


async def test_a_payment_that_failed_ends_no_hold_by_a_clock_that_may_be_wrong(
    world: World, held: Held
) -> None:
    """Of a process that heard of a wrong clock first, and of the right one just now."""
    clock = world.servers.clock
    assert isinstance(await world.pay(held.sale_id, held.users[0], REDIRECT), NeedsAction)
    ahead_ms = PAY_WITHIN_S * 1_000 + 2 * GRACE_MS
    clock.advance(ahead_ms)
    clock.step(-ahead_ms)
    assert await world.checkout.settle_stale(clock.now_ms()) == 1
    assert await world.state(held.sale_id, held.users[0]) == "held"
    clock.step(0)
    assert await world.release.sweep() == 1, "by a clock that is right it ends"
