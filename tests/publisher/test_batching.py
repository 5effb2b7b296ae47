"""How presses become batches, and who gets which answer when a batch ends."""

import asyncio
from uuid import UUID

import pytest

from miaosha.domain.errors import DependencyDown, OutcomeUnknown, Overloaded
from tests.kit.waits import until
from tests.publisher.world import NOW_MS, SOLD_OUT, Wire, World, request, sale, world


def presses(made: World, *users: int, sale_id: int = 7) -> list[Wire]:
    """Each user presses on a connection of its own."""
    wires = []
    for user in users:
        wires.append(made.wire())
        wires[-1].send(request(user=user, path=f"/api/v1/sales/{sale_id}/purchases"))
    return wires


def statuses(wires: list[Wire]) -> list[list[int]]:
    return [wire.statuses for wire in wires]


async def holding(**settings: int) -> World:
    made = await world(**settings)
    made.broker.hold = True
    return made


async def test_presses_of_one_turn_are_one_batch() -> None:
    made = await world()
    wires = presses(made, *range(1, 101))
    await made.batcher.drain()
    (batch,) = made.broker.batches
    assert batch.user_ids == list(range(1, 101))
    ids = [wire.answers[0].json["request_id"] for wire in wires]
    assert ids == [f"{batch.batch_id}.{index}" for index in range(100)]
    assert UUID(batch.batch_id).version == 7


async def test_nothing_is_answered_before_the_confirm() -> None:
    made = await holding()
    wires = presses(made, 1, 2)
    await until(lambda: len(made.broker.batches) == 1)
    assert statuses(wires) == [[], []]
    made.broker.confirm()
    await made.batcher.drain()
    assert statuses(wires) == [[202], [202]]


async def test_a_confirm_lets_the_next_batch_go() -> None:
    made = await holding()
    presses(made, 1)
    await until(lambda: len(made.broker.batches) == 1)
    presses(made, 2, 3)
    await asyncio.sleep(0)
    presses(made, 4)
    for _ in range(5):
        await asyncio.sleep(0)
    assert made.broker.users == [1]
    made.clock.advance(70)
    made.broker.confirm()
    await until(lambda: len(made.broker.batches) == 2)
    assert made.broker.batches[1].user_ids == [2, 3, 4]
    assert made.broker.batches[1].accepted_at_ms == NOW_MS + 70  # when it was closed
    made.broker.confirm()
    await made.batcher.drain()


async def test_full_batches_do_not_wait() -> None:
    made = await holding(batch_users_max=4, publish_inflight_max=3)
    wires = presses(made, *range(1, 19))
    await until(lambda: len(made.broker.batches) == 3)
    for _ in range(5):
        await asyncio.sleep(0)
    assert [len(batch.user_ids) for batch in made.broker.batches] == [4, 4, 4]
    made.broker.hold = False
    for _ in range(3):
        made.broker.confirm()
    await made.batcher.drain()
    assert [len(batch.user_ids) for batch in made.broker.batches] == [4, 4, 4, 4, 2]
    assert statuses(wires) == [[202]] * 18


async def test_a_busy_sale_leaves_room_for_others() -> None:
    made = await holding(batch_users_max=2, publish_inflight_max=2)
    made.store.sales = {7: sale(), 8: sale(8)}
    await made.look()
    presses(made, *range(1, 21))
    await until(lambda: len(made.broker.batches) == 2)
    other = presses(made, 1, sale_id=8)
    made.broker.confirm()
    made.broker.confirm()
    await until(lambda: len(made.broker.batches) == 4)
    assert 8 in [batch.sale_id for batch in made.broker.batches[2:]]
    made.broker.hold = False
    made.broker.confirm()
    made.broker.confirm()
    await made.batcher.drain()
    assert statuses(other) == [[202]]


async def test_a_waiting_user_is_in_the_batch_once() -> None:
    made = await holding()
    first = presses(made, 1, 2)
    again = presses(made, 2, 2, 1)
    await until(lambda: len(made.broker.batches) == 1)
    under_way = presses(made, 1)
    made.broker.confirm()
    await made.batcher.drain()
    assert made.broker.users == [1, 2]
    bodies = [wire.answers[0].body for wire in [*first, *again, *under_way]]
    assert bodies == [bodies[0], bodies[1], bodies[1], bodies[1], bodies[0], bodies[0]]
    assert bodies[0] != bodies[1]
    assert made.counters["repeated"] == 4
    assert made.batcher.waiting == 0


async def test_an_accepted_user_gets_the_same_answer_for_a_while() -> None:
    made = await world(repeat_window_ms=1500)
    (first,) = presses(made, 1)
    await made.batcher.drain()
    made.clock.advance(1499)
    (again,) = presses(made, 1)
    assert again.written == first.written
    made.clock.advance(1)
    presses(made, 1)
    await made.batcher.drain()
    assert made.broker.users == [1, 1]


async def test_repeats_are_forgotten_in_the_end() -> None:
    made = await world(repeat_window_ms=100)
    presses(made, *range(1, 50))
    await made.batcher.drain()
    queue = made.board.by_path[b"/api/v1/sales/7/purchases"].queue
    assert len(queue.recent) + len(queue.older) == 49
    for _ in range(3):
        made.clock.advance(1_000)
        await made.look()
    assert not queue.recent and not queue.older


async def test_repeats_are_per_sale() -> None:
    made = await world()
    made.store.sales = {7: sale(), 8: sale(8)}
    await made.look()
    presses(made, 1)
    presses(made, 1, sale_id=8)
    await made.batcher.drain()
    assert sorted(batch.sale_id for batch in made.broker.batches) == [7, 8]


ENDINGS = [
    (OutcomeUnknown("lost"), 503, "unavailable", "publish_unknown"),
    (DependencyDown("away"), 503, "unavailable", "publish_failed"),
    (Overloaded("backlog_max"), 503, "overloaded", "publish_failed"),
    (RuntimeError("a defect"), 503, "unavailable", "publish_unknown"),
]


@pytest.mark.parametrize("error, status, code, counter", ENDINGS)
async def test_without_a_confirm_nobody_gets_a_202(
    error: Exception, status: int, code: str, counter: str
) -> None:
    made = await holding()
    wires = presses(made, 1, 2, 2)
    await until(lambda: len(made.broker.batches) == 1)
    later = presses(made, 3)
    made.broker.confirm(error)
    await until(lambda: len(made.broker.batches) == 2)
    for wire in wires:
        (answer,) = wire.answers
        assert (answer.status, answer.code) == (status, code)
        assert answer.headers["retry-after"] == "1"
    assert made.counters[counter] == 1
    assert made.counters[f"refused_{code}"] == 3
    made.broker.confirm()  # the next batch is not hurt
    await made.batcher.drain()
    assert statuses(later) == [[202]]
    made.broker.hold = False
    again = presses(made, 1)  # a refused user is not a repeat
    await made.batcher.drain()
    assert statuses(again) == [[202]]
    assert made.broker.users == [1, 2, 3, 1]


async def test_a_broker_that_never_answers_is_given_up() -> None:
    made = await holding(confirm_timeout_ms=1)
    made.batcher._deadline_s = 0.05
    wires = presses(made, 1)
    await until(lambda: statuses(wires) == [[503]])
    assert made.counters["publish_unknown"] == 1


async def test_the_buyer_may_be_gone() -> None:
    """The purchase goes on, the answer is dropped."""
    made = await holding()
    gone, there = presses(made, 1, 2)
    await until(lambda: len(made.broker.batches) == 1)
    gone.lose()
    made.broker.confirm()
    await made.batcher.drain()
    assert gone.written == b""
    assert there.statuses == [202]
    assert made.broker.users == [1, 2]


async def test_queued_presses_are_decided_by_the_broker_not_by_later_readings() -> None:
    made = await holding()
    wires = presses(made, 1)
    made.store.counts = {7: SOLD_OUT}
    await made.look()
    await until(lambda: len(made.broker.batches) == 1)
    made.broker.confirm()
    await made.batcher.drain()
    assert statuses(wires) == [[202]]


async def test_abandoned_presses_are_told() -> None:
    made = await holding(batch_users_max=2, publish_inflight_max=1)
    wires = presses(made, 1, 2, 3, 4, 5)
    await until(lambda: len(made.broker.batches) == 1)
    await made.batcher.abandon()
    assert statuses(wires) == [[503]] * 5
    assert made.batcher.waiting == 0
    assert made.broker.users == [1, 2]


async def test_presses_whose_batch_was_just_let_go_are_told_too() -> None:
    made = await holding(batch_users_max=2, publish_inflight_max=2)
    wires = presses(made, 1, 2, 3, 4, 5)
    await asyncio.sleep(0)  # two batches may go, and none has taken a step
    await made.batcher.abandon()
    assert statuses(wires) == [[503]] * 5
    assert made.batcher.waiting == 0
    assert made.broker.users == []


async def test_a_sale_that_leaves_the_board_ends_its_batches() -> None:
    made = await holding()
    wires = presses(made, 1)
    await until(lambda: len(made.broker.batches) == 1)
    made.store.sales = {8: sale(8)}
    await made.look()
    made.broker.confirm()
    await made.batcher.drain()
    assert statuses(wires) == [[202]]
    assert statuses(presses(made, 1)) == [[404]]


class Torn(Wire):
    """A connection that fails in whoever writes to it."""

    def write(self, data: bytes) -> None:
        raise RuntimeError("torn")


@pytest.mark.parametrize("error", [None, DependencyDown("away")], ids=["accepted", "refused"])
async def test_one_who_cannot_be_answered_keeps_no_other_of_the_batch_waiting(
    error: Exception | None,
) -> None:
    made = await holding()
    before = presses(made, 1, 2)
    torn = Torn(made.shared)
    torn.send(request(user=3))
    after = presses(made, 4, 5)
    await until(lambda: len(made.broker.batches) == 1)
    shares_torn = Torn(made.shared)
    shares_torn.send(request(user=1))
    shares = presses(made, 2)
    made.broker.confirm(error)
    await made.batcher.drain()
    assert statuses(before + after + shares) == [[503 if error else 202]] * 5
    assert made.batcher.waiting == 0
