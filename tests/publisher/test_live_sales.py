"""What a publisher believes: boards, readings and pressure, fresh, old, missing and wrong."""

import asyncio
from collections.abc import Sequence

import pytest

from miaosha.domain.errors import DependencyDown, Overloaded
from miaosha.domain.sale import Phase, Sale
from miaosha.ports.store import Reading
from miaosha.publisher.live_sales import FEW, LiveSale
from miaosha.publisher.sale_queue import SaleQueue
from tests.kit.waits import until
from tests.publisher.world import (
    NOW_MS,
    SOLD_OUT,
    Store,
    World,
    reading,
    request,
    sale,
    world,
)


async def press(made: World, user: int = 1) -> int:
    wire = made.wire()
    wire.send(request(user=user))
    await made.batcher.drain()
    return wire.statuses[0]


async def test_without_a_board_nothing_is_taken() -> None:
    made = World()
    made.store.sales = None
    await made.look()
    assert await press(made) == 503
    with pytest.raises(DependencyDown, match="board: missing"):
        await made.board.ready()
    made.store.sales = {7: sale()}
    await made.look()
    await made.board.ready()
    assert await press(made) == 202


async def test_a_lost_board_freezes_the_last_copy() -> None:
    made = await world()
    made.store.sales = None
    await made.look()
    wire = made.wire()
    wire.send(request())
    assert wire.answers[0].code == "frozen"
    await made.board.ready()  # answering "frozen" is what a ready publisher does then
    made.store.sales = {7: sale()}
    await made.look()
    assert await press(made) == 202


async def test_a_settled_sale_stays_closed_without_a_board() -> None:
    made = await world()
    made.store.sales = {7: sale(phase=Phase.SETTLED)}
    await made.look()
    made.store.sales = None
    await made.look()
    wire = made.wire()
    wire.send(request())
    assert wire.answers[0].code == "closed"


@pytest.mark.parametrize("error", [DependencyDown("away"), Overloaded("a limit")])
async def test_a_store_that_is_away_leaves_everything_standing(error: Exception) -> None:
    """Old readings are not used then: presses are taken and decided later."""
    made = await world()
    made.store.counts = {7: SOLD_OUT}
    await made.look()
    assert await press(made) == 410
    made.store.sales = made.store.counts = error
    made.clock.advance(999)
    await made.look()
    assert await press(made) == 410
    made.clock.advance(1)
    assert await press(made) == 202
    await made.look()
    assert await press(made, 2) == 202
    assert made.board.report()["store"] != "ok"
    assert made.counters["readings_failed"] == 2


async def test_a_reading_counts_from_before_it_was_asked_for() -> None:
    made = await world(reading_max_age_ms=1000)

    class Slow(Store):
        async def readings(
            self, sale_ids: Sequence[int], within_s: float | None = None
        ) -> dict[int, Reading | None]:
            made.clock.advance(800)  # the answer took its time
            return dict.fromkeys(sale_ids, SOLD_OUT)

    made.board._store = Slow()  # type: ignore[assignment]
    await made.look()
    made.clock.advance(199)
    assert await press(made) == 410
    made.clock.advance(1)
    assert await press(made) == 202


def live(terms: Sale | None = None, seen: Reading | None = None) -> LiveSale:
    made = LiveSale(terms or sale(), SaleQueue(7))
    made.read(seen, 10.0)
    made.see(5.0)
    return made


@pytest.mark.parametrize(
    "seen", [None, reading(epoch=0, free=0, standby=1000), reading(genuine=False, phase="frozen")]
)
def test_a_reading_of_a_store_that_lost_the_sale_says_nothing(seen: Reading | None) -> None:
    known = live(seen=seen)
    assert not known.sold_out
    assert known.open_from_ms <= NOW_MS < known.open_until_ms


def test_a_reading_tells_of_a_pause_and_a_freeze() -> None:
    assert live(seen=reading(phase="paused")).refusal(NOW_MS) == "paused"
    assert live(seen=reading(phase="frozen")).refusal(NOW_MS) == "frozen"
    assert live(sale(phase=Phase.PAUSED), reading(phase="open")).refusal(NOW_MS) == "paused"
    assert live(sale(frozen="audit"), reading(phase="paused")).refusal(NOW_MS) == "frozen"
    for phase in ("paused", "frozen"):
        known = live(seen=reading(phase=phase))
        assert not known.open_from_ms <= NOW_MS
        known.see(10.0)  # too old to be used
        assert known.open_from_ms <= NOW_MS


@pytest.mark.parametrize("board_ms, reading_ms", [(50, 90), (90, 50)])
def test_the_earlier_close_counts(board_ms: int, reading_ms: int) -> None:
    known = live(sale(closes_at_ms=NOW_MS + board_ms), reading(closes_at_ms=NOW_MS + reading_ms))
    assert known.open_until_ms == NOW_MS + 50
    assert known.refusal(NOW_MS + 50) == "closed"


@pytest.mark.parametrize("phase", [Phase.SCHEDULED, Phase.PAUSED, Phase.SETTLED])
@pytest.mark.parametrize("frozen", [None, "audit"])
@pytest.mark.parametrize("at", [-1, 0, 9, 10])
def test_without_a_reading_it_is_the_domains_phase(
    phase: Phase, frozen: str | None, at: int
) -> None:
    terms = sale(phase=phase, frozen=frozen, opens_at_ms=NOW_MS, closes_at_ms=NOW_MS + 10)
    now = NOW_MS + at
    known = live(terms)
    open_ = known.open_from_ms <= now < known.open_until_ms
    expected = {
        Phase.SCHEDULED: "not_open",
        Phase.PAUSED: "paused",
        Phase.FROZEN: "frozen",
        Phase.CLOSED: "closed",
        Phase.SETTLED: "closed",
    }
    if terms.phase_at(now) is Phase.OPEN:
        assert open_
    else:
        assert not open_
        assert known.refusal(now) == expected[terms.phase_at(now)]


async def test_only_sales_that_are_open_or_about_to_open_are_read() -> None:
    made = await world()
    made.store.sales = {
        1: sale(1, opens_at_ms=NOW_MS + 3_000),
        2: sale(2, opens_at_ms=NOW_MS + 3_001),
        3: sale(3, closes_at_ms=NOW_MS),
        4: sale(4, phase=Phase.PAUSED),
        5: sale(5, phase=Phase.SETTLED),
        6: sale(6),
    }
    made.store.asked.clear()
    await made.look()
    assert sorted(made.store.asked) == [1, 4, 6]


async def test_of_many_sales_those_nobody_presses_for_are_read_less_often() -> None:
    made = await world()
    many = range(1, 2 * FEW)
    made.store.sales = {id_: sale(id_) for id_ in many}
    made.store.counts = {id_: SOLD_OUT if id_ == 9 else reading() for id_ in many}
    await made.look()
    assert await press(made) == 202
    made.clock.advance(250)
    made.store.asked.clear()
    await made.look()
    assert sorted(made.store.asked) == [7, 9], "pressed for lately; refused by its reading"
    made.clock.advance(750)
    await made.look()
    assert sorted(made.store.asked) == sorted([7, 9, *many])


async def test_an_old_full_is_not_believed_for_ever() -> None:
    made = await world()
    made.broker.is_full = True
    await made.look()
    made.broker.away = DependencyDown("away")
    await made.look()
    assert await press(made) == 503
    assert made.board.report()["broker"] == "DependencyDown"
    made.clock.advance(5_001)
    await made.look()
    assert await press(made) == 202


async def test_readiness_on_the_listener() -> None:
    made = await world()
    wire = made.wire()
    ask = b"GET /readyz HTTP/1.1\r\nHost: shop\r\n\r\n"
    wire.send(ask)
    made.broker.away = DependencyDown("away: secret address")
    await made.look()
    wire.send(ask)
    made.broker.away = None
    await made.look()
    made.clock.advance(5_001)  # nobody refreshes any more
    wire.send(ask)
    ready, away, stale = wire.answers
    ok = {"store": "ok", "broker": "ok", "board": "ok"}
    assert (ready.status, ready.json) == (200, {"status": "ok", "checks": ok})
    assert (away.status, away.json["status"]) == (503, "not_ready")
    assert away.json["checks"] == {**ok, "broker": "DependencyDown"}
    assert (stale.status, stale.json["checks"]["cache"]) == (503, "stale")


async def test_the_board_is_read_again_and_again() -> None:
    made = World()
    made.board._interval_s = 0.001
    made.store.sales = None
    running = asyncio.create_task(made.board.run())
    await until(lambda: made.board._board.missing)
    made.store.sales = {7: sale()}  # a missing board is looked for in the readings' rhythm
    await until(lambda: made.board.known)
    made.store.counts = {7: SOLD_OUT}
    await until(lambda: made.board.by_path[b"/api/v1/sales/7/purchases"].sold_out)
    made.store.counts = ValueError("a defect")
    await until(lambda: made.counters["refresh_errors"] > 1)  # and the loop goes on
    made.store.counts = {7: reading()}
    await until(lambda: not made.board.by_path[b"/api/v1/sales/7/purchases"].sold_out)
    running.cancel()
    await asyncio.wait({running})


async def test_units_that_come_free_are_offered_within_a_second() -> None:
    """I10 at this place: whatever goes wrong with the readings, a sold_out ends."""
    made = await world()
    made.store.counts = {7: SOLD_OUT}
    await made.look()
    made.store.counts = DependencyDown("away")
    refused = 0
    for _ in range(20):
        refused += await press(made, refused + 1) == 410
        made.clock.advance(100)
        await made.look()
    assert refused == 10
