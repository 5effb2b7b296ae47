"""A rebuild of a sale's state: begin → merge → finish, chunked, exclusive, by rid."""

from pathlib import Path
from typing import Any

import pytest

from miaosha.adapters.redis.broker import RedisBroker, requests_of
from miaosha.adapters.redis.connect import connect
from miaosha.adapters.redis.scripts import sale_keys
from miaosha.adapters.redis.store import RedisStore
from miaosha.domain.allocation import Decision, Place, Refusal, merge
from miaosha.domain.reservation import State
from miaosha.ports.rebuilding import RebuildMeta
from miaosha.ports.store import Ending, StockStore
from miaosha.supervisor.servers.valkey import start_valkey
from tests.contract.sales import BY, FAR_MS, arm, batch, press, promoted
from tests.contract.store_rigs import StoreRig

META = RebuildMeta(stock=5, held=0, paid=0, seq=0, closes_at_ms=FAR_MS, standby_limit=100)


async def scan(store: StockStore, sale_id: int) -> dict[int, Place]:
    places: dict[int, Place] = {}
    cursor, chunk = await store.scan_places(sale_id, 0)
    while True:
        places.update(chunk)
        if not cursor:
            return places
        cursor, chunk = await store.scan_places(sale_id, cursor)


async def test_arming_a_sale(store: StockStore, sale_id: int) -> None:
    assert await store.begin_rebuild(sale_id, 1, BY)
    reading = await store.reading(sale_id)
    assert reading is not None and (reading.epoch, reading.phase) == (0, "frozen")
    assert await store.finish_rebuild(sale_id, 1, BY, META)
    reading = await store.reading(sale_id)
    assert reading is not None
    assert (reading.epoch, reading.phase, reading.free, reading.genuine) == (1, "frozen", 5, True)
    assert await store.set_phase(sale_id, 1, "open", FAR_MS, rebuilder=BY) is None
    assert (await press(store, sale_id, "b", 11)).letters == "h"


async def test_only_over_a_lower_epoch(store: StockStore, rig: StoreRig, sale_id: int) -> None:
    await arm(store, sale_id, 1, epoch=5)
    before = await rig.kept(sale_id)
    for epoch in (1, 4, 5):
        assert not await store.begin_rebuild(sale_id, epoch, "lease-2")
        assert not await store.finish_rebuild(sale_id, epoch, "lease-2", META)
    assert await rig.kept(sale_id) == before
    assert await store.begin_rebuild(sale_id, 6, "lease-2")


async def test_an_unfinished_rebuild_gives_way_to_a_higher_one_only(
    store: StockStore, sale_id: int
) -> None:
    await arm(store, sale_id, 1)
    place = {11: Place(State.STANDBY, "b.0", 1, 1)}
    assert await store.begin_rebuild(sale_id, 3, "one")
    assert await store.begin_rebuild(sale_id, 3, "one"), "its own repeat"
    assert not await store.begin_rebuild(sale_id, 3, "two")
    assert not await store.begin_rebuild(sale_id, 2, "two")
    assert not await store.merge_places(sale_id, 3, "two", place)
    assert await store.begin_rebuild(sale_id, 4, "two")
    assert not await store.merge_places(sale_id, 3, "one", place)
    assert not await store.finish_rebuild(sale_id, 3, "one", META)
    assert await store.merge_places(sale_id, 4, "two", place)
    assert await store.finish_rebuild(sale_id, 4, "two", META)
    assert await store.finish_rebuild(sale_id, 4, "two", META), "its own repeat"
    assert not await store.finish_rebuild(sale_id, 4, "one", META)
    assert not await store.merge_places(sale_id, 4, "two", place), "it is over"


async def test_everybody_else_is_refused_in_between(store: StockStore, sale_id: int) -> None:
    await arm(store, sale_id, 1)
    await store.begin_rebuild(sale_id, 2, BY)
    for epoch in (0, 1, 2):
        answer = await store.decide(sale_id, epoch, batch(sale_id, "b", 11), rebuilder=BY)
        assert answer is Refusal.EPOCH
        assert await store.drop(sale_id, 1) is Refusal.EPOCH
    assert await store.ungranted(sale_id, older_than_ms=0, limit=9) == (0, [])


async def test_merging_keeps_the_line_in_order(store: StockStore, sale_id: int) -> None:
    """Holds that SQL never saw go back to the head of standby with their own rid and rank."""
    await arm(store, sale_id, 2)
    await press(store, sale_id, "b", 11, 12, 13, 14)
    await store.settle(sale_id, 1, [Ending(11, "b.0", State.PAID, 3)])
    await store.begin_rebuild(sale_id, 2, BY)
    before = await scan(store, sale_id)
    changed = {u: p for u, p in ((u, merge(p, [])) for u, p in before.items()) if p}
    assert await store.merge_places(sale_id, 2, BY, changed)
    meta = RebuildMeta(2, 0, 1, 1, FAR_MS, 100)
    assert await store.finish_rebuild(sale_id, 2, BY, meta)
    assert [(h.user_id, h.rid) for h in await store.heads(sale_id, 9)] == [
        (12, "b.1"),
        (13, "b.2"),
        (14, "b.3"),
    ]
    reading = await store.reading(sale_id)
    assert reading is not None and (reading.seq, reading.free, reading.ungranted) == (4, 1, 0)
    replayed = await store.decide(sale_id, 2, batch(sale_id, "b", 11, 12, 13, 14), rebuilder=BY)
    assert isinstance(replayed, Decision) and not replayed.fresh
    assert promoted(await store.promote(sale_id, 2, rebuilder=BY)) == [12]


async def test_after_a_total_loss_the_log_decides(
    store: StockStore, rig: StoreRig, sale_id: int
) -> None:
    await arm(store, sale_id, 2)
    await rig.lose(sale_id)
    assert await store.reading(sale_id) is None
    await store.begin_rebuild(sale_id, 2, BY)
    held = Place(State.HELD, "b.1", 7, 3, 9000)
    await store.merge_places(sale_id, 2, BY, {12: held})
    await store.finish_rebuild(sale_id, 2, BY, RebuildMeta(2, 1, 0, 7, FAR_MS, 100))
    log = batch(sale_id, "b", 11, 12, 13)
    decision = await store.decide(sale_id, 2, log, rebuilder=BY, answered=[1])
    assert isinstance(decision, Decision) and decision.letters == "hrs"
    assert decision.places[1] == held
    assert [p.rank for p in decision.places if p] == [8, 7, 9], "ranks never fall"


async def test_places_come_and_go_in_chunks(store: StockStore, sale_id: int) -> None:
    await arm(store, sale_id, 0, standby_limit=5000)
    for k in range(3):
        await press(store, sale_id, f"b{k}", *range(k * 512 + 1, k * 512 + 513))
    places = await scan(store, sale_id)
    assert len(places) == 1536
    await store.begin_rebuild(sale_id, 2, BY)
    users = sorted(places)
    for start in range(0, len(users), 512):
        chunk = {
            u: places[u] if u % 2 else places[u]._replace(state=State.LEFT)
            for u in users[start : start + 512]
        }
        assert await store.merge_places(sale_id, 2, BY, chunk)
    with pytest.raises(AssertionError):
        await store.merge_places(sale_id, 2, BY, dict(list(places.items())[:513]))
    assert await store.finish_rebuild(sale_id, 2, BY, META)
    reading = await store.reading(sale_id)
    assert reading is not None and reading.standby == 768
    assert [h.user_id for h in await store.heads(sale_id, 3)] == [1, 3, 5]


async def test_a_rank_on_standby_raises_seq(store: StockStore, sale_id: int) -> None:
    await store.begin_rebuild(sale_id, 1, BY)
    await store.merge_places(sale_id, 1, BY, {11: Place(State.STANDBY, "b.0", 40, 1)})
    await store.finish_rebuild(sale_id, 1, BY, META)
    reading = await store.reading(sale_id)
    assert reading is not None and reading.seq == 40


async def test_places_and_records_are_told_by_name(store: StockStore, sale_id: int) -> None:
    await arm(store, sale_id, 1)
    await press(store, sale_id, "a", 11, 12)
    await press(store, sale_id, "marker")
    known = await scan(store, sale_id)
    assert await store.places_of(sale_id, [12, 13, 11]) == known
    assert await store.places_of(sale_id, []) == {}
    assert await store.recorded(sale_id, ["a", "b", "marker"]) == {"a", "marker"}
    assert await store.recorded(sale_id, []) == set()


async def test_what_a_large_sale_leaves_is_freed_beside_the_others(
    run_dir: Path, sale_id: int
) -> None:
    """In the server's background: not while everybody else waits."""
    server = await start_valkey(run_dir, "apart")
    client: Any = connect(server.url)
    store, broker = RedisStore(client), RedisBroker(server.url)
    await arm(store, sale_id, 1)
    users = sale_keys(sale_id)[1]
    await client.hset(users, mapping={str(n): f"left|b.{n}|{n}|1|0" for n in range(20_000)})
    await broker.open(sale_id)
    pipe = client.pipeline(transaction=False)
    for _ in range(5_000):
        pipe.xadd(requests_of(sale_id).key, {"b": b"x" * 200})
    await pipe.execute()

    async def freed() -> int:
        memory = await client.info("memory")
        return int(memory["lazyfree_pending_objects"] + memory["lazyfreed_objects"])

    before = await freed()
    assert await store.drop(sale_id, 1) is None
    assert await freed() > before
    before = await freed()
    await broker.drop(sale_id)
    assert await freed() > before
    await broker.close()
    await client.aclose()
    await server.stop()
