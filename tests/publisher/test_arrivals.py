"""More arrivals than a turn of the loop takes: who is read when, and that nothing is lost."""

import asyncio

from tests.kit.waits import until
from tests.publisher.world import GET_HEALTH, World, request, world

UNKNOWN = b"GET /nowhere HTTP/1.1\r\nHost: shop\r\n\r\n"


async def turn() -> None:
    await asyncio.sleep(0)


async def filled(**settings: int) -> World:
    """A world whose turn takes two arrivals and has taken them."""
    made = await world(slice_size=2, **settings)
    for _ in range(2):
        wire = made.wire()
        wire.send(GET_HEALTH)
        assert wire.statuses == [200]
    return made


async def test_arrivals_are_handled_a_slice_at_a_time_in_their_order() -> None:
    made = await filled()
    wires = [made.wire() for _ in range(5)]
    for wire in wires:
        wire.send(GET_HEALTH)
    assert len(made.shared.arrivals) == 5
    seen = []
    while len(made.shared.arrivals):
        await turn()
        seen.append([len(wire.statuses) for wire in wires])
    assert seen == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]


async def test_a_defect_at_one_connection_leaves_the_others_their_turn() -> None:
    """Or nobody would be read ever again."""

    class Faulty:
        def go_on(self) -> None:
            raise RuntimeError("a defect")

    said: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: said.append(str(context["exception"]))
    )
    made = await filled()
    assert not made.shared.arrivals.enter(Faulty())
    wires = [made.wire() for _ in range(5)]
    for wire in wires:
        wire.send(GET_HEALTH)
    await until(lambda: all(wire.statuses == [200] for wire in wires))
    assert said == ["a defect"]


async def test_other_work_of_the_loop_comes_in_between() -> None:
    made = await filled()
    wires = [made.wire() for _ in range(4)]
    for wire in wires:
        wire.send(GET_HEALTH)
    seen: list[int] = []
    asyncio.get_running_loop().call_soon(
        lambda: seen.append(sum(len(wire.statuses) for wire in wires))
    )
    await until(lambda: not len(made.shared.arrivals))
    assert seen == [2]


async def test_who_has_waited_goes_before_who_just_came() -> None:
    made = await filled()
    first, second, newcomer = made.wire(), made.wire(), made.wire()
    first.send(GET_HEALTH)
    second.send(GET_HEALTH)
    await turn()
    newcomer.send(GET_HEALTH)
    assert (first.statuses, second.statuses, newcomer.statuses) == ([200], [200], [])
    await turn()
    assert newcomer.statuses == [200]


async def test_what_a_connection_says_while_it_waits_keeps_its_order() -> None:
    made = await filled()
    wire = made.wire()
    whole = GET_HEALTH + UNKNOWN + GET_HEALTH
    for at in range(0, len(whole), 7):
        wire.send(whole[at : at + 7])
    assert len(made.shared.arrivals) == 1
    await turn()
    assert wire.statuses == [200, 404, 200]


async def test_a_client_that_says_its_last_while_it_waits_is_answered() -> None:
    made = await filled()
    made.broker.hold = True
    wire = made.wire()
    wire.send(request(user=1))
    assert wire.connection.eof_received() is True
    made.broker.let_go()
    await made.batcher.drain()
    await turn()
    assert wire.statuses == [202] and wire.ended


async def test_a_client_that_left_while_it_waited_is_forgotten() -> None:
    made = await filled()
    wire = made.wire()
    wire.send(request(user=1))
    wire.lose()
    await until(lambda: not len(made.shared.arrivals))
    assert made.batcher.waiting == 0 and not made.broker.batches


async def test_a_client_that_says_too_much_while_it_waits_is_not_read() -> None:
    made = await filled()
    wire = made.wire()
    many = (16_384 // len(GET_HEALTH)) + 1
    wire.send(GET_HEALTH * many)
    assert not wire.reading
    await until(lambda: len(wire.statuses) == many)
    assert wire.reading


async def test_the_wheel_does_not_end_who_waits_for_a_turn() -> None:
    made = await filled(idle_timeout_ms=1)
    wire = made.wire()
    wire.send(GET_HEALTH)
    made.ticks(made.shared.idle_ticks + 20)
    assert not wire.closed
    await turn()
    assert wire.statuses == [200]


async def test_in_a_flood_who_waits_to_be_read_counts_as_a_crowd() -> None:
    """Two batches of two may be on the way. After a flood, presses are refused while five wait to
    be read, although nobody waits for the broker; the last four are taken again."""
    made = await world(slice_size=1, batch_users_max=2, publish_inflight_max=2, publish_late_ms=250)
    made.broker.hold = True
    for user in range(5):
        made.wire().send(request(user=user + 1))
        await turn()
        await turn()
    made.clock.advance(251)
    made.wire().send(request(user=6))  # finds the crowd late
    made.broker.let_go()
    await made.batcher.drain()
    wires = [made.wire() for _ in range(8)]
    for user, wire in enumerate(wires):
        wire.send(request(user=user + 10))
    await until(lambda: not len(made.shared.arrivals))
    await made.batcher.drain()
    assert [wire.statuses for wire in wires] == [[202], [503], [503], *[[202]] * 5]
