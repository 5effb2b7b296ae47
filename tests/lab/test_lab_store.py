"""The laboratory's store after its losses answers as a real one does (test_store_faults.py)."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from miaosha.domain.allocation import Decision, Refusal
from miaosha.domain.errors import DependencyDown
from miaosha.domain.place import Place
from miaosha.domain.reservation import State
from miaosha.ports.auditing import PlaceSeen, StandbyBuyer, StoreReader
from miaosha.ports.heartbeats import Heartbeat, Heartbeats
from miaosha.ports.rebuilding import RebuildMeta
from miaosha.ports.store import StockStore
from tests.contract.sales import BY, FAR_MS, arm, batch, press
from tests.contract.test_store_refusals import CALLS
from tests.lab.link import straight
from tests.lab.store import LabStore
from tests.lab.store_readers import LabHeartbeats, LabStoreReader
from tests.lab.store_server import StoreServer

SALE = 7
META = RebuildMeta(1, 1, 0, 2, FAR_MS, 10)
START_MS = 1_700_000_000_000

Loss = Callable[[StoreServer], object]


class ServerClock:
    """Unix ms, set by a test."""

    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> ServerClock:
    return ServerClock()


@pytest.fixture
def server(clock: ServerClock) -> StoreServer:
    return StoreServer(clock)


@pytest.fixture
def store(server: StoreServer) -> StockStore:
    return LabStore(server, straight)


async def busy(store: StockStore) -> None:
    """One hold and two on standby."""
    await arm(store, SALE, 1)
    await press(store, SALE, "b", 11, 12, 13)


KEPT: Mapping[str, Loss] = {
    "restart": StoreServer.restart,
    "set_back": StoreServer.set_back,
    "fail_over": lambda server: server.fail_over(writes=1),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("loss", KEPT)
async def test_after_a_loss_every_script_refuses(
    store: StockStore, server: StoreServer, loss: str, name: str
) -> None:
    await busy(store)
    server.save()
    await press(store, SALE, "late", 14)
    KEPT[loss](server)
    before = server.sales[SALE].copy()
    assert await CALLS[name](store, SALE, 1) is Refusal.RUN_ID
    assert await CALLS[name](store, SALE, 2) is Refusal.EPOCH
    assert await store.ungranted(SALE, older_than_ms=0, limit=9) == (0, [])
    reading = await store.reading(SALE)
    assert reading is not None and not reading.genuine and reading.epoch == 1
    assert await store.place(SALE, 11) is not None, "reads go on"
    assert await store.recorded(SALE, ["late"]) == ({"late"} if loss == "restart" else set())
    assert server.sales[SALE] == before


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("loss", [StoreServer.forget, StoreServer.set_back])
async def test_who_lost_everything_knows_nothing(
    store: StockStore, server: StoreServer, loss: Loss, name: str
) -> None:
    await busy(store)
    await store.write_sales([])
    loss(server)  # set_back: nothing was saved
    assert await CALLS[name](store, SALE, 1) is Refusal.EPOCH
    assert await store.reading(SALE) is None
    assert await store.read_sales() is None
    assert await store.drop(SALE, 1) is None


@pytest.mark.parametrize("loss", KEPT)
async def test_a_rebuild_ends_a_loss(store: StockStore, server: StoreServer, loss: str) -> None:
    await busy(store)
    server.save()
    KEPT[loss](server)
    assert await store.begin_rebuild(SALE, 2, BY)
    assert await store.finish_rebuild(SALE, 2, BY, META)
    assert await store.set_phase(SALE, 2, "open", FAR_MS, rebuilder=BY) is None
    assert isinstance(await store.decide(SALE, 2, batch(SALE, "c", 14)), Decision)


@pytest.mark.parametrize("loss", [StoreServer.restart, StoreServer.fail_over])
async def test_a_loss_amid_a_rebuild_ends_it(
    store: StockStore, server: StoreServer, loss: Loss
) -> None:
    assert await store.begin_rebuild(SALE, 2, BY)
    loss(server)
    assert not await store.merge_places(SALE, 2, BY, {})
    assert not await store.finish_rebuild(SALE, 2, BY, META)
    assert not await store.begin_rebuild(SALE, 2, BY)
    assert await store.begin_rebuild(SALE, 3, BY)
    assert await store.finish_rebuild(SALE, 3, BY, META)


async def test_a_failover_loses_the_last_writes(
    store: StockStore, server: StoreServer, clock: ServerClock
) -> None:
    await busy(store)
    clock.ms += 100
    await press(store, SALE, "c", 14)
    await press(store, SALE, "c", 14)  # a repeat is no write
    clock.ms += 100
    await press(store, SALE, "d", 15)
    assert server.fail_over(writes=1) == 1
    assert set(await store.places_of(SALE, [14, 15])) == {14}
    assert server.fail_over(ms=150) == 1
    assert await store.places_of(SALE, [14, 15]) == {}
    assert server.fail_over() == 0


async def test_what_was_saved_stays_as_it_was(store: StockStore, server: StoreServer) -> None:
    await busy(store)
    server.save()
    for _ in range(2):
        await store.begin_rebuild(SALE, 2, BY)
        await store.merge_places(SALE, 2, BY, {11: Place(State.LEFT, "b.0", 1, 9)})
        server.set_back()
        view = await store.place(SALE, 11)
        assert view is not None and view.place.state is State.HELD


async def test_a_scan_in_pages_misses_nobody(clock: ServerClock) -> None:
    server = StoreServer(clock, scan_page=2)
    store, reader = LabStore(server, straight), LabStoreReader(server, straight)
    await arm(store, SALE, 1)
    await press(store, SALE, "b", *range(1, 8))
    seen, cursor, pages = set(), 0, 0
    while pages == 0 or cursor:
        cursor, chunk = await store.scan_places(SALE, cursor)
        seen |= {user for user, _ in chunk}
        pages += 1
        if pages == 2:
            await press(store, SALE, "c", 99)
    assert seen == {*range(1, 8), 99} and pages == 4
    page = await reader.places(SALE, 0)
    assert page.cursor and [place.user_id for place in page.places] == [1, 2]


async def test_the_age_of_a_hold_is_by_the_sales_own_time(
    store: StockStore, clock: ServerClock
) -> None:
    await arm(store, SALE, 2)
    await press(store, SALE, "b", 11)
    clock.ms += 1_000
    await press(store, SALE, "c", 12)
    _, old = await store.ungranted(SALE, older_than_ms=1_000, limit=9)
    assert [hold.user_id for hold in old] == [11]
    clock.ms -= 60_000
    reading = await store.reading(SALE)
    assert reading is not None
    assert (reading.now_ms, reading.ahead_ms) == (START_MS + 1_000, 60_000)
    assert await store.now_ms() == START_MS - 59_000


async def test_the_auditor_sees_what_is_there(store: StockStore, server: StoreServer) -> None:
    reader: StoreReader = LabStoreReader(server, straight)
    assert await reader.totals(SALE) is None
    await busy(store)
    totals = await reader.totals(SALE)
    assert totals is not None and totals.genuine
    assert totals.counters == (1, 1, 0, 1, 0, 3, 2)
    assert (totals.ungranted, totals.records, totals.places) == (1, 1, 3)
    assert await reader.heads(SALE, 1) == [StandbyBuyer(12, 2, "standby", "b.1", 2)]
    seen = await reader.places_of(SALE, [11, 99])
    assert seen == {11: PlaceSeen(11, "held", "b.0", 1)}
    assert await reader.ungranted(SALE, list(seen.values())) == {"b.0"}
    assert await reader.records(SALE, ["b", "x"]) == {"b": "hss"}
    server.restart()
    totals = await reader.totals(SALE)
    assert totals is not None and totals.genuine is False


async def test_beats_count_for_five_seconds(server: StoreServer, clock: ServerClock) -> None:
    now_s = 0.0
    book: Heartbeats = LabHeartbeats(server, straight, lambda: now_s)
    beat = Heartbeat("publisher", "0", 1, clock.ms, {"refused_sold_out": 3.0})
    await book.beat(beat)
    assert await book.alive() == [beat]
    reader = LabStoreReader(server, straight)
    assert [b.sold_out for b in await reader.publishers()] == [3.0]
    clock.ms, now_s = clock.ms + 5_001, 5.001
    assert await book.alive() == []
    assert await reader.publishers() == []
    clock.ms += 60_000
    assert server.beats() == {}


async def test_each_round_trip_goes_through_the_link(server: StoreServer) -> None:
    trips: list[str] = []

    async def counted(call: str, act: Callable[[], Any], **_: Any) -> Any:
        trips.append(call)
        return act()

    store = LabStore(server, counted)
    await arm(store, SALE, 1)
    await press(store, SALE, "b", 11, 12)
    trips.clear()
    await store.leave(SALE, 1, 12)
    assert trips == ["store.place", "store.leave"]
    trips.clear()
    await store.decide_many(SALE, 1, [batch(SALE, f"m{i}") for i in range(129)])
    assert trips == ["store.decide_many"] * 2
    trips.clear()
    await store.granted(SALE, 1, [])
    assert await store.readings([]) == {}
    assert trips == [], "nothing to ask"


async def test_a_slow_answer_to_readings_is_a_server_away(server: StoreServer) -> None:
    async def never(call: str, act: Callable[[], Any], **_: Any) -> Any:
        raise TimeoutError

    store = LabStore(server, never)
    read: Awaitable[Any] = store.readings([SALE], within_s=1.0)
    with pytest.raises(DependencyDown):
        await read
