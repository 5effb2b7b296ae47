"""Bad days: a fault of one sale beside healthy ones, stores that hold garbage, a late admin."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from miaosha.adapters.payments.sandbox import SandboxPayments
from miaosha.adapters.sql.tables import ledger
from miaosha.domain.errors import Problem
from miaosha.domain.freezes import MANUAL
from miaosha.domain.reservation import GRACE_MS
from miaosha.domain.sale import Sale
from miaosha.ports.broker import Reminder
from miaosha.ports.holds import Winner
from miaosha.ports.payments import Charge, ChargeState
from miaosha.ports.store import SaleBoard
from miaosha.usecases.checkout import NeedsAction, Paid
from miaosha.usecases.control import WHOLE_S
from miaosha.usecases.manage import Manage
from tests.usecases.test_histories import acknowledge_all, clean
from tests.usecases.world import GOOD, HOME, REDIRECT, RETURN_URL, Died, Fate, Servers, World


async def sold(world: World, *, pay_within_s: int) -> tuple[int, int]:
    """A sale of one unit and the buyer who holds it."""
    sale = await world.sale(stock=1, pay_within_s=pay_within_s)
    await world.press(sale.id, users := await world.users(1))
    await acknowledge_all(world, sale.id)
    return sale.id, users[0]


async def miscount(world: World, sale_id: int) -> None:
    """Units given out that the ledger does not count: SQL refuses to take one back or sell it."""
    statement = update(ledger).where(ledger.c.sale_id == sale_id).values(granted=0)
    await world.servers.ledger._db.write(lambda connection: connection.execute(statement))


async def board(world: World) -> Mapping[int, Sale]:
    found: SaleBoard | None = await world.servers.store.read_sales()
    assert found is not None
    return found.sales


class SilentTrail:
    async def append(self, *said: Any) -> None: ...

    async def entries(self, cursor: int | None, limit: int, *, subject: Any = None) -> Any: ...


async def test_a_sale_paused_beyond_its_end_is_resumed_and_settles(world: World) -> None:
    sale = await world.sale(stock=1)
    servers = world.servers
    batch = await world.press(sale.id, await world.users(1))
    manage = Manage(servers.catalogue, SilentTrail(), world.control, servers.clock)
    await manage.pause("cli", sale.id)
    servers.clock.advance(1)
    await manage.close("cli", sale.id)
    await world.settlement.advance(await servers.ledger.sales.terms(sale.id))
    assert (await servers.ledger.sales.terms(sale.id)).phase == "paused", (
        "a batch waits for its outcome"
    )

    await manage.resume("cli", sale.id)
    await acknowledge_all(world, sale.id)

    assert await world.state(sale.id, batch.user_ids[0]) == "held"
    await world.pay(sale.id, batch.user_ids[0])
    await world.settlement.advance(await servers.ledger.sales.terms(sale.id))
    assert (await servers.ledger.sales.terms(sale.id)).phase == "settled"
    await clean(world, sale.id)


async def test_two_rebuilds_asked_for_in_one_process_take_turns(world: World) -> None:
    sale = await world.sale(stock=1)
    before = await world.servers.ledger.sales.terms(sale.id)

    done = await asyncio.gather(
        world.control.rebuild(sale.id),
        world.control.rebuild(sale.id),
        world.control.rebuild(sale.id),
    )

    assert sorted(done) == [False, False, True]
    after = await world.servers.ledger.sales.terms(sale.id)
    assert (after.epoch, after.frozen) == (before.epoch + 1, None)
    await clean(world, sale.id)


async def test_a_board_of_another_version_is_written_anew(world: World) -> None:
    sale = await world.sale(stock=1)
    other = await world.sale(stock=1)
    await world.servers.store._client.hset("sales", str(sale.id), '{"id": 1, "title": "old"}')
    await world.servers.store._client.hset("sales", "rubbish", b"\xff{")
    known = await world.servers.catalogue.sale(other.id)
    assert await board(world) == {other.id: known}
    world.servers.clock.advance(round(WHOLE_S * 1000))

    await world.control.refresh_board()

    assert set(await board(world)) == {sale.id, other.id}
    assert await world.servers.store._client.hget("sales", "rubbish") is None


async def test_terms_from_before_a_rebuild_cause_no_second_one(world: World) -> None:
    sale = await world.sale(stock=1)
    old = await world.servers.ledger.sales.terms(sale.id)
    await world.control.rebuild(sale.id)
    rebuilt = await world.servers.ledger.sales.terms(sale.id)

    assert not await world.settlement.heal(old), "its terms are of no use"

    assert await world.servers.ledger.sales.terms(sale.id) == rebuilt
    assert await world.settlement.heal(rebuilt)


async def test_a_reading_from_amid_a_rebuild_causes_no_second_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQL was slow to answer whoever read Redis while another rebuilt the sale."""
    sale = await world.sale(stock=1)
    ledger, store = world.servers.ledger, world.servers.store
    assert await ledger.sales.freeze(sale.id, 1, "drill")
    amid = await ledger.sales.terms(sale.id)
    assert await world.control.rebuild(sale.id)
    rebuilt = await ledger.sales.terms(sale.id)

    async def nothing(sale_id: int) -> None: ...

    monkeypatch.setattr(store, "reading", nothing)
    assert not await world.settlement.heal(amid)
    assert await ledger.sales.terms(sale.id) == rebuilt


@pytest.mark.parametrize("prefix", [MANUAL, "hold: "], ids=["manual", "as at first"])
async def test_a_freeze_for_a_person_is_not_rebuilt_by_a_scheduler_with_old_terms(
    world: World, prefix: str
) -> None:
    sale = await world.sale(stock=1)
    old = await world.servers.ledger.sales.terms(sale.id)
    await world.servers.ledger.sales.freeze(sale.id, old.epoch, f"{prefix}I1")

    await world.servers.store._client.flushall()
    assert not await world.settlement.heal(old)

    assert (await world.servers.ledger.sales.terms(sale.id)).frozen == f"{prefix}I1"


async def test_a_death_amid_forgetting_a_sale_leaves_no_log_behind(world: World) -> None:
    for at in (1, 2):
        sale = await world.sale(stock=1)
        terms = await world.servers.ledger.sales.terms(sale.id)
        await world.control.close(sale.id)
        world.servers.clock.advance(1)
        assert await world.servers.ledger.sales.settle(sale.id, "{}", world.servers.clock.now_ms())
        await world.control.refresh_board()
        mortal = World(world.servers, Fate(at, after=True))
        with pytest.raises(Died):
            await mortal.settlement.forget(sale.id, terms.epoch)

        await world.settlement.forget_settled()

        assert await world.servers.store.reading(sale.id) is None
        assert (await world.servers.broker.pressure(sale.id)).log_bytes == 0


async def test_a_settled_sale_that_a_copy_brings_back_amid_a_rebuild_is_dropped(
    world: World,
) -> None:
    sale = await world.sale(stock=1)
    terms = await world.servers.ledger.sales.terms(sale.id)
    await world.control.close(sale.id)
    world.servers.clock.advance(1)
    assert await world.servers.ledger.sales.settle(sale.id, "{}", world.servers.clock.now_ms())
    await world.settlement.forget(sale.id, terms.epoch)
    assert await world.servers.store.begin_rebuild(sale.id, terms.epoch, "one that died")

    await world.settlement.forget_settled()

    assert await world.servers.store.reading(sale.id) is None


async def test_a_sale_whose_stock_was_raised_just_now_is_not_closed_as_sold_out(
    world: World,
) -> None:
    sale = await world.sale(stock=1)
    await world.press(sale.id, users := await world.users(1))
    await acknowledge_all(world, sale.id)
    await world.pay(sale.id, users[0])
    sold_out = await world.servers.ledger.sales.terms(sale.id)
    await world.control.stock(sale.id, 2)

    await world.settlement.advance(sold_out)
    assert (await world.servers.ledger.sales.terms(sale.id)).closes_at_ms == sale.closes_at_ms

    await world.press(sale.id, users := await world.users(1))
    await acknowledge_all(world, sale.id)
    await world.pay(sale.id, users[0])
    await world.settlement.advance(await world.servers.ledger.sales.terms(sale.id))
    closes_at_ms = (await world.servers.ledger.sales.terms(sale.id)).closes_at_ms
    assert closes_at_ms == world.servers.clock.now_ms()
    assert (await world.servers.store.reading(sale.id)).closes_at_ms == closes_at_ms
    await clean(world, sale.id)


async def test_a_miscounted_sale_keeps_no_other_sales_units(world: World) -> None:
    broken, broken_user = await sold(world, pay_within_s=59)
    sound, user = await sold(world, pay_within_s=60)
    await miscount(world, broken)
    world.servers.clock.advance(60_000 + GRACE_MS)

    with pytest.raises(IntegrityError):
        await world.release.sweep()

    assert await world.state(broken, broken_user) == "held"
    assert await world.state(sound, user) == "expired"


async def test_a_reminder_of_a_miscounted_sale_does_not_come_again_for_ever(world: World) -> None:
    broken, broken_user = await sold(world, pay_within_s=60)
    sound, user = await sold(world, pay_within_s=60)
    rids = [
        (await world.servers.ledger.holds.live(sale_id, buyer)).rid
        for sale_id, buyer in ((broken, broken_user), (sound, user))
    ]
    await miscount(world, broken)
    world.servers.clock.advance(60_000 + GRACE_MS)

    await world.release.remind([Reminder(broken, rids[0]), Reminder(sound, rids[1])])

    assert await world.state(sound, user) == "expired"


async def test_a_payment_that_cannot_be_settled_pins_nobody_elses_hold(world: World) -> None:
    broken, broken_user = await sold(world, pay_within_s=60)
    await world.pay(broken, broken_user, REDIRECT)
    world.servers.clock.advance(1)
    sound, user = await sold(world, pay_within_s=60)
    await world.pay(sound, user, REDIRECT)
    await miscount(world, broken)
    world.servers.clock.advance(300_000)

    assert await world.checkout.settle_stale(world.servers.clock.now_ms()) == 1

    assert await world.state(broken, broken_user) == "paying"
    assert await world.state(sound, user) == "expired"


async def test_who_paid_as_the_process_died_has_the_order_by_asking_again(world: World) -> None:
    sale_id, user = await sold(world, pay_within_s=60)
    token = await world.token(sale_id, user)
    mortal = World(world.servers, Fate(at=2, after=True))
    with pytest.raises(Died):
        await mortal.checkout.pay(sale_id, user, token, GOOD, HOME, RETURN_URL)
    assert mortal.fate is not None and mortal.fate.where == "after SandboxPayments.charge"
    assert await world.state(sale_id, user) == "paying"

    again = await world.checkout.pay(sale_id, user, token, GOOD, HOME, RETURN_URL)

    assert isinstance(again, Paid) and again.repeated
    assert await world.state(sale_id, user) == "paid"
    await clean(world, sale_id)


async def test_asking_again_during_a_payment_neither_ends_nor_repeats_it(world: World) -> None:
    sale_id, user = await sold(world, pay_within_s=60)
    token = await world.token(sale_id, user)
    for card in (REDIRECT, GOOD):
        paying = world.checkout.pay(sale_id, user, token, card, HOME, RETURN_URL)
        if card is REDIRECT:
            assert isinstance(await paying, NeedsAction)
            continue
        with pytest.raises(Problem) as busy:
            await paying
        assert busy.value.code == "payment_in_progress"
    assert (await world.servers.ledger.holds.live(sale_id, user)).attempt == 1
    assert await world.state(sale_id, user) == "paying"


async def test_terms_from_before_a_pause_or_a_close_do_not_undo_it(world: World) -> None:
    sale = await world.sale(stock=1)
    open_terms = await world.servers.ledger.sales.terms(sale.id)
    await world.control.pause(sale.id)
    await world.control.catch_up(open_terms)
    assert (await world.servers.store.reading(sale.id)).phase == "paused"

    await world.control.resume(sale.id)
    await world.control.close(sale.id)
    await world.control.catch_up(open_terms)
    now_ms = world.servers.clock.now_ms()
    assert (await world.servers.store.reading(sale.id)).closes_at_ms == now_ms


async def test_who_got_more_time_by_a_rebuild_is_told_with_a_token_that_lasts_as_long(
    world: World,
) -> None:
    sale_id, user = await sold(world, pay_within_s=30)
    world.servers.clock.advance(10_000)
    world.servers.bus.messages.clear()
    await world.servers.store._client.flushall()
    await world.settlement.heal(await world.servers.ledger.sales.terms(sale_id))
    world.servers.clock.advance(40_000)

    (told,) = world.servers.bus.results(user)
    assert told.state == "held" and told.checkout_token is not None
    paid = await world.checkout.pay(sale_id, user, told.checkout_token, GOOD, HOME, RETURN_URL)
    assert isinstance(paid, Paid)
    await clean(world, sale_id)


class Forgetful:
    """A provider that says a payment is void, and takes the money all the same."""

    def __init__(self, payments: SandboxPayments) -> None:
        self._payments = payments

    def __getattr__(self, name: str) -> Any:
        return getattr(self._payments, name)

    async def void(self, key: str) -> Charge:
        return Charge(ChargeState.VOIDED)


@pytest.mark.parametrize("dies", [False, True])
async def test_money_without_a_unit_is_given_back_and_told(servers: Servers, dies: bool) -> None:
    payments = Forgetful(servers.payments)
    world = World(replace(servers, payments=payments))
    sale_id, user = await sold(world, pay_within_s=60)
    asked = await world.pay(sale_id, user, REDIRECT)
    rid = (await servers.ledger.holds.live(sale_id, user)).rid
    servers.clock.advance(300_000)
    await world.checkout.settle_stale(servers.clock.now_ms())
    assert await world.state(sale_id, user) == "expired"
    await servers.payments.answer(asked.redirect_url.rpartition("/")[2], approve=True)

    if dies:
        with pytest.raises(Died):
            await World(world.servers, Fate(4, after=True)).checkout.complete(f"{rid}:1")
    await world.checkout.complete(f"{rid}:1")
    await world.checkout.complete(f"{rid}:1")

    assert (await servers.payments.lookup(f"{rid}:1")).state == "refunded"
    assert await servers.ledger.orders.by_rid(rid, user) is None
    mails = await servers.ledger.outbox.due(servers.clock.now_ms(), 10)
    assert [mail.event for mail in mails] == ["won", "expired", "refunded"]
    await clean(world, sale_id)


async def test_a_redelivered_batch_gives_held_no_version_of_paying(world: World) -> None:
    """A lookup reads Redis, which knows no payment: one version would say held and paying."""
    sale = await world.sale(stock=1)
    [user] = await world.users(1)
    batch = await world.press(sale.id, [user])
    ledger, store = world.servers.ledger, world.servers.store
    now_ms = world.servers.clock.now_ms()
    await store.decide(sale.id, 1, batch)
    winner = Winner(batch.rid(0), user, 1, 1, promoted=False)
    await ledger.holds.grant(sale.id, 1, [winner], now_ms)  # its consumer dies here
    begun = await ledger.attempts.begin(batch.rid(0), user, HOME, now_ms)
    await world.allocator.handle([batch])
    view = await store.place(sale.id, user)
    assert not view.ungranted
    assert view.place.state == "held" and view.place.version < begun.hold.version


async def test_a_buyer_is_told_frozen_while_redis_is_another_than_the_sale_was_written_to(
    world: World,
) -> None:
    """Set back, it may know nothing of what was decided: the buyer would be told `queued`."""
    sale = await world.sale(stock=1)
    [user] = await world.users(1)
    assert await world.state(sale.id, user) == "none"
    await world.servers.store._client.hset(f"{{sale:{sale.id}}}:meta", "run_id", "0" * 40)
    with pytest.raises(Problem) as told:
        await world.state(sale.id, user)
    assert told.value.code == "frozen"
