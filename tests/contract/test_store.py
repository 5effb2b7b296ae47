"""The port StockStore on a node, a cluster and in the laboratory, one body: what each call does."""

from miaosha.adapters.redis.connect import Client
from miaosha.adapters.redis.scripts import PIPELINE_MAX, sale_keys
from miaosha.adapters.redis.store import RedisStore
from miaosha.domain.allocation import PROMOTE_MAX, Decision, Place, Promoted, Refusal
from miaosha.domain.reservation import State
from miaosha.ports.rebuilding import RebuildMeta
from miaosha.ports.store import Ending, GrantedHold, Head, StockStore, Ungranted
from tests.contract.sales import BY, FAR_MS, arm, batch, press, promoted
from tests.contract.store_rigs import StoreRig

EXPIRED, DECLINED, PAID = State.EXPIRED, State.DECLINED, State.PAID


async def test_units_then_standby_then_sold_out(store: StockStore, sale_id: int) -> None:
    await arm(store, sale_id, 2, standby_limit=1)
    decision = await press(store, sale_id, "b", 11, 12, 13, 14, 11)
    assert (decision.letters, decision.fresh) == ("hhsor", True)
    states = [place.state if place else None for place in decision.places]
    assert states == [State.HELD, State.HELD, State.STANDBY, None, State.HELD]
    assert [p.rank for p in decision.places if p] == [1, 2, 3, 1]
    assert decision.places[4] == decision.places[0]
    reading = await store.reading(sale_id)
    assert reading is not None and reading.sold_out and reading.genuine
    assert (reading.free, reading.held, reading.standby, reading.refused) == (0, 2, 1, 1)
    assert (reading.seq, reading.ungranted, reading.batches) == (3, 2, 1)


async def test_a_redelivered_batch_gets_its_recorded_letters(
    store: StockStore, sale_id: int
) -> None:
    await arm(store, sale_id, 1, standby_limit=0)
    first = await press(store, sale_id, "b", 11, 12)
    await store.release(sale_id, 1, [Ending(11, "b.0", DECLINED, 2)])
    again = await press(store, sale_id, "b", 11, 12)
    assert (again.letters, again.fresh) == (first.letters, False) == ("ho", False)
    assert again.places[0] is not None and again.places[0].state is State.DECLINED
    assert again.places[1] is None, "a unit is free now, but this request was answered"


async def test_a_marker_batch_decides_nothing_and_is_recorded(
    store: StockStore, sale_id: int
) -> None:
    await arm(store, sale_id, 1)
    assert await press(store, sale_id, "marker") == Decision("", [], True)
    assert await press(store, sale_id, "marker") == Decision("", [], False)


async def test_the_largest_batch_and_promotions_in_steps(store: StockStore, sale_id: int) -> None:
    await arm(store, sale_id, 0)
    decision = await press(store, sale_id, "b", *range(1, 513))
    assert decision.letters == "s" * 512
    assert [p.rank for p in decision.places if p] == list(range(1, 513))
    assert promoted(await store.resize(sale_id, 1, 400)) == list(range(1, PROMOTE_MAX + 1))
    newcomer = await press(store, sale_id, "c", 999)
    assert newcomer.letters == "s", "units are free, but others stand by"
    assert promoted(await store.promote(sale_id, 1)) == list(range(PROMOTE_MAX + 1, 401))
    assert promoted(await store.promote(sale_id, 1)) == []


async def test_closing_is_to_the_millisecond(store: StockStore, sale_id: int) -> None:
    await arm(store, sale_id, 5, closes_at_ms=2000)
    late = await store.decide(sale_id, 1, batch(sale_id, "late", 11, at_ms=2000))
    just = await store.decide(sale_id, 1, batch(sale_id, "just", 11, at_ms=1999))
    late_again = await store.decide(sale_id, 1, batch(sale_id, "later", 11, at_ms=2001))
    assert isinstance(late, Decision) and late == Decision("c", [None], True)
    assert isinstance(just, Decision) and just.letters == "h"
    assert isinstance(late_again, Decision) and late_again.letters == "r"


async def test_whoever_has_ended_is_a_newcomer_with_a_rising_version(
    store: StockStore, sale_id: int
) -> None:
    await arm(store, sale_id, 1)
    await press(store, sale_id, "b", 11, 12)
    await store.release(sale_id, 1, [Ending(11, "b.0", EXPIRED, 2)])
    place = (await press(store, sale_id, "c", 11)).places[0]
    assert place is not None
    assert (place.state, place.rid, place.rank, place.version) == (State.STANDBY, "c.0", 3, 3)


async def test_answered_requests_only_answer(store: StockStore, sale_id: int) -> None:
    await arm(store, sale_id, 5)
    decision = await store.decide(sale_id, 1, batch(sale_id, "b", 11, 12, 13), answered=[0, 2])
    assert isinstance(decision, Decision)
    assert decision.letters == "rhr" and decision.places[0] is None is decision.places[2]


async def test_many_batches_in_order(store: StockStore, sale_id: int) -> None:
    await arm(store, sale_id, 3)
    batches = [batch(sale_id, f"b{i}", 100 + i) for i in range(PIPELINE_MAX + 2)]
    decisions = await store.decide_many(sale_id, 1, batches)
    letters = [d.letters for d in decisions if isinstance(d, Decision)]
    assert "".join(letters) == "hhh" + "s" * (PIPELINE_MAX - 1)
    ranks = [d.places[0].rank for d in decisions if isinstance(d, Decision) and d.places[0]]
    assert ranks == list(range(1, PIPELINE_MAX + 3))
    assert await store.decide_many(sale_id, 2, batches[:2]) == [Refusal.EPOCH] * 2
    assert await store.decide_many(sale_id, 1, []) == []


async def test_granted_takes_a_hold_off_the_list_and_copies_pay_by(
    store: StockStore, sale_id: int
) -> None:
    await arm(store, sale_id, 1)
    await press(store, sale_id, "b", 11)
    view = await store.place(sale_id, 11)
    assert view is not None and view.ungranted
    assert await store.granted(sale_id, 1, [GrantedHold(11, "b.0", 5000, 1)]) is None
    view = await store.place(sale_id, 11)
    assert view is not None and not view.ungranted
    assert (view.place.pay_by_ms, view.place.version) == (5000, 1)
    await store.granted(sale_id, 1, [GrantedHold(11, "b.0", 4000, 1), GrantedHold(12, "x.0", 1, 1)])
    assert await store.place(sale_id, 11) == view, "a late repeat changes nothing"
    await store.granted(sale_id, 1, [GrantedHold(11, "b.0", 9000, 7)])
    view = await store.place(sale_id, 11)
    assert view is not None and (view.place.pay_by_ms, view.place.version) == (9000, 7)


async def test_release_hands_the_unit_on_in_the_same_step(store: StockStore, sale_id: int) -> None:
    await arm(store, sale_id, 2)
    await press(store, sale_id, "b", 11, 12, 13)
    endings = [Ending(11, "b.0", EXPIRED, 2), Ending(12, "b.1", DECLINED, 2)]
    assert await store.release(sale_id, 1, endings) == [Promoted(13, "b.2", 3, 2)]
    assert await store.release(sale_id, 1, endings) == [], "twice is once"
    reading = await store.reading(sale_id)
    assert reading is not None and (reading.free, reading.held, reading.standby) == (1, 1, 0)
    epoch, holds = await store.ungranted(sale_id, older_than_ms=0, limit=10)
    assert (epoch, holds) == (1, [Ungranted("b.2", 13, 3, 2, True)])


async def test_an_ending_of_another_rid_or_state_does_nothing(
    store: StockStore, rig: StoreRig, sale_id: int
) -> None:
    await arm(store, sale_id, 1)
    await press(store, sale_id, "b", 11, 12)
    before = await rig.kept(sale_id)
    foreign = [Ending(11, "other.0", EXPIRED, 9), Ending(12, "b.1", EXPIRED, 9)]
    assert await store.release(sale_id, 1, [*foreign, Ending(99, "b.0", EXPIRED, 9)]) == []
    paid = [ending._replace(state=PAID) for ending in foreign]
    assert await store.settle(sale_id, 1, [*paid, Ending(99, "b.0", PAID, 9)]) is None
    assert await rig.kept(sale_id) == before


async def test_settle_ends_a_hold_for_good(store: StockStore, sale_id: int) -> None:
    await arm(store, sale_id, 1)
    await press(store, sale_id, "b", 11)
    for _ in range(2):
        assert await store.settle(sale_id, 1, [Ending(11, "b.0", PAID, 4)]) is None
    assert await store.release(sale_id, 1, [Ending(11, "b.0", EXPIRED, 5)]) == []
    view = await store.place(sale_id, 11)
    assert view is not None and (view.place.state, view.place.version) == (State.PAID, 4)
    reading = await store.reading(sale_id)
    assert reading is not None
    assert (reading.free, reading.held, reading.paid, reading.ungranted) == (0, 0, 1, 0)


async def test_leave(store: StockStore, rig: StoreRig, sale_id: int) -> None:
    await arm(store, sale_id, 1)
    await press(store, sale_id, "b", 11, 12, 13)
    for _ in range(2):
        left = await store.leave(sale_id, 1, 12)
        assert left is not None and not isinstance(left, Refusal) and left.state is State.LEFT
    held = await store.leave(sale_id, 1, 11)
    assert held is not None and not isinstance(held, Refusal) and held.state is State.HELD
    assert await store.leave(sale_id, 1, 99) is None
    assert [head.user_id for head in await store.heads(sale_id, 10)] == [13]
    await press(store, sale_id, "c", 12)
    late = await rig.leave(sale_id, 1, 12, "b.1")
    assert isinstance(late, Place)
    assert (late.state, late.rid) == (State.STANDBY, "c.0"), (
        "a late repeat does not end the newer place"
    )


async def test_reads(store: StockStore, sale_id: int) -> None:
    assert await store.reading(sale_id) is None
    assert await store.place(sale_id, 11) is None
    assert await store.heads(sale_id, 5) == []
    assert await store.ungranted(sale_id, older_than_ms=0, limit=5) == (0, [])
    await arm(store, sale_id, 1)
    await press(store, sale_id, "b", 11, 12, 13)
    view = await store.place(sale_id, 13)
    assert view is not None and (view.position, view.ungranted) == (2, False)
    assert await store.heads(sale_id, 1) == [Head(12, "b.1", 1, 1)]
    letters = [await store.letter(sale_id, "b", i) for i in (0, 1, 3, -1)]
    assert [*letters, await store.letter(sale_id, "z", 0)] == ["h", "s", None, None, None]
    assert await store.ungranted(sale_id, older_than_ms=60_000, limit=5) == (1, [])


async def test_ungranted_is_oldest_first_and_bounded(store: StockStore, sale_id: int) -> None:
    await arm(store, sale_id, 5)
    await press(store, sale_id, "b", 14, 13)
    await press(store, sale_id, "c", 12, 11)
    _, holds = await store.ungranted(sale_id, older_than_ms=0, limit=3)
    assert len(holds) == 3 and {h.user_id for h in holds} > {13, 14}


async def test_paused_waits_but_repeats_and_moves_on(store: StockStore, sale_id: int) -> None:
    await arm(store, sale_id, 1)
    first = await press(store, sale_id, "b", 11, 12)
    assert await store.set_phase(sale_id, 1, "paused", FAR_MS) is None
    assert await store.decide(sale_id, 1, batch(sale_id, "c", 13)) is Refusal.PAUSED
    assert (await press(store, sale_id, "b", 11, 12)).letters == first.letters
    assert promoted(await store.release(sale_id, 1, [Ending(11, "b.0", EXPIRED, 2)])) == [12]
    assert await store.set_phase(sale_id, 1, "open", FAR_MS) is None
    assert (await press(store, sale_id, "c", 13)).letters == "s"


async def test_resize_never_lowers(store: StockStore, sale_id: int) -> None:
    await arm(store, sale_id, 1)
    await press(store, sale_id, "b", 11, 12, 13)
    assert promoted(await store.resize(sale_id, 1, 2)) == [12]
    assert promoted(await store.resize(sale_id, 1, 2)) == []
    assert promoted(await store.resize(sale_id, 1, 1)) == []
    reading = await store.reading(sale_id)
    assert reading is not None and (reading.stock, reading.free, reading.held) == (2, 0, 2)


async def test_drop_leaves_nothing(store: StockStore, rig: StoreRig, sale_id: int) -> None:
    await arm(store, sale_id, 1, epoch=3)
    await store.decide(sale_id, 3, batch(sale_id, "b", 11, 12))
    assert await store.drop(sale_id, 2) is Refusal.EPOCH
    assert await store.reading(sale_id) is not None
    for _ in range(2):
        assert await store.drop(sale_id, 3) is None
    assert await rig.kept(sale_id) == ({}, {}, {}, set(), {})


async def test_time_never_runs_backwards(store: StockStore, rig: StoreRig, sale_id: int) -> None:
    await arm(store, sale_id, 2)
    future = await store.now_ms() + 3_600_000
    await rig.set_clock(sale_id, future)
    reading = await store.reading(sale_id)
    assert reading is not None and reading.now_ms == future
    await press(store, sale_id, "b", 11)
    assert await rig.since_ms(sale_id, "b.0", 11) == future
    assert (await rig.kept(sale_id)).number("clock_ms") == future


async def test_a_rebuild_counts_time_anew(store: StockStore, rig: StoreRig, sale_id: int) -> None:
    """A clock that was an hour ahead and put right holds time still until then."""
    await arm(store, sale_id, 2)
    await rig.set_clock(sale_id, await store.now_ms() + 3_600_000)
    await arm(store, sale_id, 2, epoch=2)
    reading = await store.reading(sale_id)
    assert reading is not None and abs(reading.now_ms - await store.now_ms()) < 60_000
    await store.decide(sale_id, 2, batch(sale_id, "b", 11))
    _, left = await store.ungranted(sale_id, older_than_ms=0, limit=9)
    assert [hold.rid for hold in left] == ["b.0"]


async def test_one_sale_that_cannot_be_read_is_left_out(
    redis_store: RedisStore, store_client: Client, sale_id: int
) -> None:
    store = redis_store
    first = sale_id * 1_000
    ids, broken, unknown = [first, first + 1], first + 2, first + 3
    for stock, id_ in enumerate([*ids, broken], 3):
        await arm(store, id_, stock)
    await store_client.delete(meta := sale_keys(broken)[0])
    await store_client.set(meta, "no hash")

    readings = await store.readings([*ids, broken, unknown])

    assert set(readings) == {*ids, unknown}
    assert [reading.stock for reading in readings.values() if reading] == [3, 4]
    assert readings[unknown] is None
    assert await store.readings([]) == {}
    places = await store.places([*ids, unknown], 7)
    assert places == dict.fromkeys([*ids, unknown])


async def test_many_sales_are_read_at_once(store: StockStore, sale_id: int) -> None:
    first = sale_id * 1_000
    await arm(store, first, 3)
    await arm(store, first + 1, 4)
    await press(store, first + 1, "b", 7)
    readings = await store.readings([first, first + 1, first + 2])
    assert [reading and reading.stock for reading in readings.values()] == [3, 4, None]
    views = await store.places([first, first + 1, first + 2], 7)
    assert [view and view.place.rid for view in views.values()] == [None, "b.0", None]


async def test_a_grant_of_another_buyer_leaves_a_hold_ungranted(
    store: StockStore, sale_id: int
) -> None:
    await arm(store, sale_id, 1)
    await press(store, sale_id, "b", 11)
    assert await store.granted(sale_id, 1, [GrantedHold(12, "b.0", 5000, 1)]) is None
    _, holds = await store.ungranted(sale_id, older_than_ms=0, limit=9)
    assert [hold.user_id for hold in holds] == [11]


async def test_equal_ranks_stand_in_the_order_of_their_text(
    store: StockStore, sale_id: int
) -> None:
    await store.begin_rebuild(sale_id, 1, BY)
    places = {user: Place(State.STANDBY, f"b.{user}", 4, 1) for user in (9, 10)}
    await store.merge_places(sale_id, 1, BY, places)
    assert await store.finish_rebuild(sale_id, 1, BY, RebuildMeta(1, 0, 0, 4, FAR_MS, 9))
    assert [head.user_id for head in await store.heads(sale_id, 9)] == [10, 9]
    assert promoted(await store.promote(sale_id, 1, rebuilder=BY)) == [10]


async def test_more_held_than_stock_hands_no_unit_on(store: StockStore, sale_id: int) -> None:
    await store.begin_rebuild(sale_id, 1, BY)
    held = {user: Place(State.HELD, f"b.{user}", user, 1) for user in (1, 2)}
    await store.merge_places(sale_id, 1, BY, held | {3: Place(State.STANDBY, "b.3", 3, 1)})
    assert await store.finish_rebuild(sale_id, 1, BY, RebuildMeta(1, 2, 0, 3, FAR_MS, 9))
    assert await store.release(sale_id, 1, [Ending(1, "b.1", EXPIRED, 2)]) == []
    assert await store.release(sale_id, 1, [Ending(2, "b.2", EXPIRED, 2)]) == [
        Promoted(3, "b.3", 3, 2)
    ]
