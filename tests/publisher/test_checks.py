"""The checks of a press, each alone and in their order."""

import itertools
from typing import Any

import pytest

from miaosha.domain.sale import Phase, Question
from tests.kit.waits import until
from tests.publisher.world import (
    CHOICES,
    NOW_MS,
    QUESTION_KEY,
    SOLD_OUT,
    Answer,
    World,
    reading,
    request,
    sale,
    world,
)


async def press(made: World, **changes: Any) -> Answer:
    """One press on a connection of its own."""
    wire = made.wire()
    wire.send(request(**changes))
    if not made.broker.hold:
        await made.batcher.drain()
    (answer,) = wire.answers
    wire.lose()
    return answer


async def test_accepted() -> None:
    made = await world()
    answer = await press(made, user=5)
    (batch,) = made.broker.batches
    assert answer.status == 202
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {"request_id": f"{batch.batch_id}.0", "state": "queued"}
    assert (batch.sale_id, batch.user_ids, batch.accepted_at_ms) == (7, [5], NOW_MS)


async def test_a_problem_is_problem_json() -> None:
    made = await world()
    answer = await press(made, user=None)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json == {
        "type": "about:blank",
        "title": "A valid access token is required",
        "status": 401,
        "code": "unauthorized",
        "detail": "A valid access token is required",
    }


@pytest.mark.parametrize(
    "authorization",
    ["Bearer", "Bearer ", "Basic user-1", "user-1", "Bearer user-x", "Bearer user-1 user-2", ""],
)
async def test_unauthorized(authorization: str) -> None:
    made = await world()
    answer = await press(made, user=None, headers=(f"Authorization: {authorization}",))
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert made.broker.batches == []


PHASES: dict[str, tuple[dict[str, Any], int, str]] = {
    "scheduled": ({"opens_at_ms": NOW_MS + 1}, 409, "not_open"),
    "opens now": ({"opens_at_ms": NOW_MS}, 202, ""),
    "last ms": ({"closes_at_ms": NOW_MS + 1}, 202, ""),
    "closes now": ({"closes_at_ms": NOW_MS}, 409, "closed"),
    "paused": ({"phase": Phase.PAUSED}, 409, "paused"),
    "paused and past the end": ({"phase": Phase.PAUSED, "closes_at_ms": NOW_MS}, 409, "closed"),
    "frozen": ({"frozen": "audit"}, 503, "frozen"),
    "frozen and paused": ({"frozen": "audit", "phase": Phase.PAUSED}, 503, "frozen"),
    "frozen and past the end": ({"frozen": "audit", "closes_at_ms": NOW_MS}, 503, "frozen"),
    "settled": ({"phase": Phase.SETTLED}, 409, "closed"),
    "draft": ({"phase": Phase.DRAFT}, 404, "not_found"),
}


@pytest.mark.parametrize("name", PHASES)
async def test_phases(name: str) -> None:
    changes, status, code = PHASES[name]
    made = await world()
    made.store.sales = {7: sale(**changes)}
    await made.look()
    answer = await press(made)
    assert answer.status == status
    assert answer.json.get("code", "") == code
    if status == 503:
        assert answer.headers["retry-after"] == "2"


BODIES: dict[bytes, tuple[int, str, str]] = {
    b'{"answer":"B"}': (202, "", ""),
    b' { "answer" : "\\u0042" } ': (202, "", ""),
    b'{"answer":"A"}': (403, "wrong_answer", ""),
    b'{"answer":""}': (403, "wrong_answer", ""),
    b'{"answer":"b"}': (403, "wrong_answer", ""),
    b"{}": (400, "bad_request", "answer"),
    b'{"answer":"B","user_id":3}': (400, "bad_request", "user_id"),
    b'{"answer":"B","a\\"`\\u0007":3}': (400, "bad_request", 'a"`\x07'),
    b'{"answer":1}': (400, "bad_request", "answer"),
    b'{"answer":null}': (400, "bad_request", "answer"),
    b'"B"': (400, "bad_request", ""),
    b"[]": (400, "bad_request", ""),
    b"": (400, "bad_request", ""),
    b'{"answer":"B"': (400, "bad_request", ""),
    b'{"answer":"\xff"}': (400, "bad_request", ""),
    b"\x00": (400, "bad_request", ""),
    b"[" * 500: (400, "bad_request", ""),
}


@pytest.mark.parametrize("body", BODIES)
async def test_bodies(body: bytes) -> None:
    status, code, field = BODIES[body]
    made = await world()
    answer = await press(made, body=body)
    assert answer.status == status
    assert answer.json.get("code", "") == code
    assert answer.json.get("field", "") == field


async def test_a_long_field_is_not_repeated_in_full() -> None:
    made = await world()
    answer = await press(made, body=b'{"%s":1}' % (b"x" * 3000))
    assert answer.json["field"] == "x" * 64


async def test_each_buyer_has_a_question() -> None:
    questions = [Question(1, "?", CHOICES, "A"), Question(2, "?", CHOICES, "B")]
    made = await world()
    made.store.sales = {7: sale(questions=questions)}
    await made.look()
    for user in range(1, 20):
        right = sale(questions=questions).question_for(QUESTION_KEY, user).answer
        for key in "AB":
            answer = await press(made, user=user, body=b'{"answer":"%s"}' % key.encode())
            assert answer.status == (202 if key == right else 403)


async def test_presses_are_limited_per_user() -> None:
    made = await world(press_rate_per_s=5, press_burst=10)
    statuses = [(await press(made)).status for _ in range(12)]
    assert statuses == [202] * 10 + [429] * 2
    assert (await press(made, user=2)).status == 202
    made.clock.advance(200)
    assert [(await press(made)).status for _ in range(2)] == [202, 429]
    answer = await press(made)
    assert answer.code == "rate_limited" and answer.headers["retry-after"] == "1"


async def test_wrong_answers_are_limited_per_user() -> None:
    """Whoever guesses too fast gets no answer at all for a while, not even for the right one."""
    made = await world(wrong_answers_per_s=5)
    wrong = b'{"answer":"A"}'
    assert [(await press(made, body=wrong)).status for _ in range(6)] == [403] * 5 + [429]
    assert (await press(made)).status == 429
    assert (await press(made, user=2)).status == 202
    made.clock.advance(200)
    assert (await press(made)).status == 202


@pytest.mark.parametrize("step_ms", [-1_800_000, 1_800_000])
async def test_a_clock_that_is_set_changes_no_rate(step_ms: int) -> None:
    """Neither are presses lent by a clock that jumps, nor does one that is set back take them away
    until it has caught up; and a repeat is answered as long as it says, not half an hour longer."""
    made = await world(press_rate_per_s=5, press_burst=10, wrong_answers_per_s=5)
    made.store.sales = {7: sale(opens_at_ms=NOW_MS - 10**8, closes_at_ms=NOW_MS + 10**8)}
    await made.look()
    wrong = b'{"answer":"A"}'
    assert [(await press(made)).status for _ in range(11)] == [202] * 10 + [429]
    assert [(await press(made, user=2, body=wrong)).status for _ in range(6)] == [403] * 5 + [429]
    batches = len(made.broker.batches)
    made.clock.step(step_ms)
    made.clock.believe()
    await made.look()
    assert (await press(made)).status == 429
    assert (await press(made, user=2, body=wrong)).status == 429
    made.clock.advance(1_500)
    await made.look()
    assert (await press(made)).status == 202
    assert len(made.broker.batches) == batches + 1, "the repeat's time is over"
    assert (await press(made, user=2, body=wrong)).status == 403


async def test_sold_out() -> None:
    made = await world()
    made.store.counts = {7: SOLD_OUT}
    await made.look()
    answer = await press(made)
    assert (answer.status, answer.code) == (410, "sold_out")
    assert made.broker.batches == []


@pytest.mark.parametrize("free, standby", [(1, 1000), (0, 999)])
async def test_not_sold_out(free: int, standby: int) -> None:
    made = await world()
    made.store.counts = {7: reading(free=free, standby=standby)}
    await made.look()
    assert (await press(made)).status == 202


async def test_a_full_queue_is_overload() -> None:
    made = await world()
    made.broker.is_full = True
    await made.look()
    answer = await press(made)
    assert (answer.status, answer.code) == (503, "overloaded")
    assert answer.headers["retry-after"] == "1"
    made.broker.is_full = False
    await made.look()
    assert (await press(made)).status == 202


async def test_what_waits_here_is_limited() -> None:
    made = await world(publish_waiting_max=3)
    made.broker.hold = True
    wires = [made.wire() for _ in range(5)]
    for user, wire in enumerate(wires):
        wire.send(request(user=user + 1))
    assert [wire.statuses for wire in wires] == [[], [], [], [503], [503]]
    again = made.wire()
    again.send(request(user=1))  # would wait too
    assert again.statuses == [503]


async def test_a_crowd_that_waits_too_long_is_not_added_to() -> None:
    """Two batches of two may be on the way: a fifth press still waits, and once the first has
    waited too long, nobody is even looked at. The confirms end it."""
    made = await world(batch_users_max=2, publish_inflight_max=2, publish_late_ms=250)
    made.broker.hold = True
    wires = [made.wire() for _ in range(5)]
    for user, wire in enumerate(wires):
        wire.send(request(user=user + 1))
    made.clock.advance(250)
    wires.append(made.wire())
    wires[-1].send(request(user=6))
    assert wires[-1].statuses == []  # not a moment longer than allowed
    made.clock.advance(1)
    late = made.wire()
    late.send(request(user=None))
    assert late.statuses == [503]
    assert made.counters["refused_overloaded"] == 1
    for _ in range(3):
        await until(lambda: bool(made.broker._waiting))
        made.broker.confirm()
    await made.batcher.drain()
    assert [wire.statuses for wire in wires] == [[202]] * 6
    made.broker.hold = False
    assert (await press(made, user=8)).status == 202


async def test_after_a_flood_nobody_queues_behind_a_crowd_for_a_second() -> None:
    made = await world(batch_users_max=2, publish_inflight_max=2, publish_late_ms=250)
    made.broker.hold = True
    for user in range(5):
        made.wire().send(request(user=user + 1))
    made.clock.advance(251)
    made.wire().send(request(user=6))
    made.broker.let_go()
    await made.batcher.drain()
    made.broker.hold = True
    wires = [made.wire() for _ in range(6)]
    for user, wire in enumerate(wires):
        wire.send(request(user=user + 10))
    assert [wire.statuses for wire in wires] == [[]] * 5 + [[503]]  # as many as may be on the way
    made.broker.let_go()
    await made.batcher.drain()
    made.broker.hold = True
    made.clock.advance(1_001)
    burst = [made.wire() for _ in range(9)]
    for user, wire in enumerate(burst):
        wire.send(request(user=user + 20))
    assert [wire.statuses for wire in burst] == [[]] * 9  # a burst may queue again
    made.broker.let_go()
    await made.batcher.drain()


async def test_few_who_wait_long_are_no_crowd() -> None:
    made = await world(batch_users_max=2, publish_inflight_max=2, publish_late_ms=250)
    made.broker.hold = True
    wires = [made.wire() for _ in range(4)]
    for user, wire in enumerate(wires[:3]):
        wire.send(request(user=user + 1))
    made.clock.advance(4_000)
    wires[3].send(request(user=4))
    assert wires[3].statuses == []


# Everything that can be wrong with a press, in the order in which it must be noticed.
FAULTS: list[tuple[str, int]] = [
    ("expect", 417),
    ("type", 415),
    ("token", 401),
    ("sale", 404),
    ("frozen", 503),
    ("rate", 429),
    ("body", 400),
    ("answer", 403),
    ("sold", 410),
    ("full", 503),
]


async def _faulty(faults: set[str]) -> int:
    made = await world(press_rate_per_s=1, press_burst=1)
    if "rate" in faults:
        await press(made)
    made.store.sales = {7: sale(frozen="audit" if "frozen" in faults else None)}
    made.store.counts = {7: SOLD_OUT if "sold" in faults else reading()}
    made.broker.is_full = "full" in faults
    made.clock.advance(10)
    await made.look()
    body = b"{" if "body" in faults else b'{"answer":"A"}'
    answer = await press(
        made,
        path=f"/api/v1/sales/{8 if 'sale' in faults else 7}/purchases",
        user=None if "token" in faults else 1,
        kind="text/plain" if "type" in faults else "application/json",
        headers=("Expect: 100-continue",) if "expect" in faults else (),
        body=body if faults & {"body", "answer"} else b'{"answer":"B"}',
    )
    return answer.status


@pytest.mark.parametrize("first, second", [*itertools.combinations(range(len(FAULTS)), 2)])
async def test_order(first: int, second: int) -> None:
    """Of two faults, the earlier one of the list is told."""
    (name, status), (other, _) = FAULTS[first], FAULTS[second]
    assert await _faulty({name, other}) == status


@pytest.mark.parametrize("number", range(len(FAULTS)))
async def test_order_of_all(number: int) -> None:
    assert await _faulty({name for name, _ in FAULTS[number:]}) == FAULTS[number][1]


async def test_a_repeat_comes_before_sold_out_and_overload() -> None:
    made = await world()
    first = await press(made)
    made.store.counts = {7: SOLD_OUT}
    made.broker.is_full = True
    await made.look()
    assert (await press(made)).body == first.body
    assert (await press(made, user=2)).status == 410
    assert (await press(made, body=b'{"answer":"A"}')).status == 403


async def test_closed_comes_before_the_repeat() -> None:
    made = await world()
    await press(made)
    made.store.sales = {7: sale(closes_at_ms=NOW_MS)}
    await made.look()
    assert (await press(made)).code == "closed"


async def test_counters() -> None:
    made = await world()
    await press(made)
    await press(made)
    await press(made, user=None)
    made.store.counts = {7: SOLD_OUT}
    await made.look()
    await press(made, user=3)
    wanted = {"requests": 4, "accepted": 1, "repeated": 1, "batches": 1}
    wanted |= {"refused_unauthorized": 1, "refused_sold_out": 1}
    assert {name: made.counters[name] for name in wanted} == wanted
