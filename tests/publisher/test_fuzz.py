"""Random clients: every request gets exactly one answer, in order; no bytes do harm."""

import random
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miaosha.domain.errors import DependencyDown
from miaosha.publisher.shared import ROUND_TICKS
from tests.kit.waits import until
from tests.publisher.world import GET_HEALTH, Wire, World, request, world

UNKNOWN = b"GET /nowhere HTTP/1.1\r\nHost: shop\r\n\r\n"
KINDS = {
    "press": lambda user: request(user=user),
    "wrong": lambda user: request(user=user, body=b'{"answer":"A"}'),
    "nobody": lambda user: request(user=None),
    "health": lambda user: GET_HEALTH,
    "unknown": lambda user: UNKNOWN,
}
EXPECTED = {"wrong": 403, "nobody": 401, "health": 200, "unknown": 404}
quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@dataclass
class Plan:
    """What one client sends, and in which pieces."""

    requests: list[tuple[str, int]]
    cuts: list[int]

    @property
    def pieces(self) -> list[bytes]:
        raw = b"".join(KINDS[kind](user) for kind, user in self.requests)
        cuts = sorted(cut % (len(raw) + 1) for cut in self.cuts)
        return [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]


plans = st.builds(
    Plan,
    st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.integers(1, 8)), max_size=60),
    st.lists(st.integers(0, 1 << 30), max_size=30),
)


async def _confirm_in_any_order(made: World, chance: random.Random) -> None:
    """End the publishes that wait, some of them badly."""
    waiting = made.broker._waiting
    chance.shuffle(waiting)
    for _ in range(chance.randint(0, len(waiting))):
        made.broker.confirm(DependencyDown("away") if chance.random() < 0.2 else None)


@quick
@given(
    clients=st.lists(plans, min_size=1, max_size=4),
    batch=st.integers(1, 5),
    inflight=st.integers(1, 4),
    seed=st.integers(0, 1 << 30),
)
async def test_one_answer_each_in_order(
    clients: list[Plan], batch: int, inflight: int, seed: int
) -> None:
    made = await world(
        batch_users_max=batch, publish_inflight_max=inflight, wrong_answers_per_s=1_000
    )
    made.broker.hold = True
    chance = random.Random(seed)
    wires = [made.wire() for _ in clients]
    left = [list(plan.pieces) for plan in clients]
    while any(left):
        number = chance.choice([n for n, pieces in enumerate(left) if pieces])
        wires[number].send(left[number].pop(0))
        if chance.random() < 0.3:
            await until(lambda: True)
            await _confirm_in_any_order(made, chance)
    wanted = [len(plan.requests) for plan in clients]

    def all_answered() -> bool:
        while made.broker._waiting:
            made.broker.confirm()
        return [len(wire.answers) for wire in wires] == wanted

    await until(all_answered)
    await made.batcher.drain()
    assert made.batcher.waiting == 0
    for plan, wire in zip(clients, wires, strict=True):
        _check(made, plan, wire)


def _check(made: World, plan: Plan, wire: Wire) -> None:
    """Each answer is the one to the request at its place."""
    users = {
        f"{batch.batch_id}.{index}": user
        for batch in made.broker.batches
        for index, user in enumerate(batch.user_ids)
    }
    for (kind, user), answer in zip(plan.requests, wire.answers, strict=True):
        if kind == "press":
            assert answer.status in (202, 503)
            if answer.status == 202:
                assert users[answer.json["request_id"]] == user
        else:
            assert answer.status == EXPECTED[kind]
    assert not wire.ended and wire.reading


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Requests with some bytes changed, dropped, doubled or put in."""
    raw = bytearray(
        b"".join(draw(st.lists(st.sampled_from([request(), GET_HEALTH, UNKNOWN]), max_size=4)))
    )
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, len(raw) - 1)))
        what = draw(st.sampled_from(["change", "drop", "double", "insert"]))
        if what == "insert" or not raw:
            raw[at:at] = draw(st.binary(max_size=20))
        elif what == "change":
            raw[at] = draw(st.integers(0, 255))
        elif what == "drop":
            del raw[at : at + draw(st.integers(1, 40))]
        else:
            raw[at:at] = raw[at : at + 40]
    return bytes(raw)


FRAMING = {200, 202, 400, 401, 403, 404, 405, 408, 411, 413, 415, 417, 431}


@quick
@given(raw=st.one_of(st.binary(max_size=400), broken()), size=st.integers(1, 200))
async def test_no_bytes_do_harm(raw: bytes, size: int) -> None:
    """Whatever comes is answered with a known status; what is never finished ends in time; and
    the pieces it comes in make no difference."""
    seen = []
    for pieces in ([raw], [raw[at : at + size] for at in range(0, len(raw), size)]):
        made = await world()
        wire = made.wire()
        for piece in pieces:
            wire.send(piece)
        await made.batcher.drain()
        statuses = _statuses(wire.written)
        assert set(statuses) <= FRAMING
        made.ticks(made.shared.request_ticks + 2 * ROUND_TICKS)
        made.ticks(made.shared.idle_ticks + 2 * ROUND_TICKS)
        assert wire.ended
        assert made.counters["refused_internal"] == 0
        seen.append(statuses)
    assert seen[0] == seen[1]


def _statuses(written: bytes) -> list[int]:
    """As `parse`, for answers to HEAD too, which have no body."""
    return [int(part[:3]) for part in written.split(b"HTTP/1.1 ")[1:]]
