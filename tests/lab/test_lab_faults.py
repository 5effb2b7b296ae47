"""The link of the laboratory: a client gives up when the product's own does."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from types import SimpleNamespace
from typing import Any, Final

import pytest

from miaosha.adapters.clock import StoreClock
from miaosha.adapters.rabbitmq.link import COMMAND_TIMEOUT_S as RABBIT_S
from miaosha.adapters.redis.connect import COMMAND_TIMEOUT_S as REDIS_S
from miaosha.adapters.redis.connect import RETRIES
from miaosha.adapters.sql.database import WRITE_TIMEOUT_S
from miaosha.domain.errors import DependencyDown, Fault, OutcomeUnknown
from miaosha.domain.messages import BusMessage, BusPing, encode_bus
from tests.lab.broker_server import Kind
from tests.lab.dice import Dice, Row
from tests.lab.entropy import drawn_from
from tests.lab.faults import SLOWEST_S, TWICE_S, Mishap, ProcessLink, Reach, Weather
from tests.lab.loop import LIFE, Life, VirtualLoop
from tests.lab.patience import Patience
from tests.lab.provider import BusServer, LabBus

CONFIRM_S: Final = 2.0
SLOWEST: Final = 999  # of the dice


class LinkRig:
    """A link of one process, all of whose calls meet `mishap`, by a virtual clock."""

    def __init__(
        self, mishap: Mishap | None, *, kind: Kind = "single", told: tuple[int, ...] = ()
    ) -> None:
        self.loop = VirtualLoop()
        self.reach = Reach()
        self.done: list[float] = []
        self.sent_stuck: list[tuple[float, str]] = []
        kinds = [] if mishap is None else [mishap]
        self._weather = Weather(1.0, kinds, 0.001)
        self._kind = kind
        self._told = told

    def run(self, work: Callable[[ProcessLink], Coroutine[Any, Any, Any]]) -> Any:
        async def whole() -> Any:
            rows = Row("moments", ()), Row("faults", [1] * 9), Row("durations", self._told)
            process: Any = SimpleNamespace(name="api-0")
            patience = Patience(self._kind, CONFIRM_S)
            link = ProcessLink(
                process, self._weather, self.reach, patience, rows, lambda *_: None, self.stuck
            )
            return await work(link)

        try:
            return self.loop.run_until_complete(whole())
        finally:
            self.loop.abandon()

    async def sleep(self, seconds: float) -> None:
        over = self.loop.create_future()
        self.loop.call_later(seconds, over.set_result, None)
        await over

    def stuck(self, process: Any, call: str) -> None:
        self.sent_stuck.append((self.loop.time(), call))

    def act(self) -> str:
        self.done.append(self.loop.time())
        return "done"


@pytest.mark.parametrize(
    ("call", "lost", "kind", "patience_s"),
    [
        ("store.decide", DependencyDown, "single", REDIS_S),
        ("broker.publish", OutcomeUnknown, "streams", CONFIRM_S),
        ("broker.publish", OutcomeUnknown, "single", CONFIRM_S),
        ("broker.fetch", DependencyDown, "single", RABBIT_S),
        ("sql.SqlHolds.grant", OutcomeUnknown, "single", WRITE_TIMEOUT_S),
    ],
)
@pytest.mark.parametrize("mishap", [Mishap.SLOW, Mishap.LATE, Mishap.GONE])
def test_a_client_gives_up_when_the_real_one_does(
    call: str, lost: type[Fault], kind: Kind, patience_s: float, mishap: Mishap
) -> None:
    once = (0,) if call.startswith("store") else ()  # where it might try again
    rig = LinkRig(mishap, kind=kind, told=(*once, SLOWEST))

    async def work(link: ProcessLink) -> float:
        began_s = rig.loop.time()
        with pytest.raises(lost):
            await link(call, rig.act, lost=lost)
        gave_up_s = rig.loop.time() - began_s
        assert len(rig.done) == (1 if mishap is Mishap.LATE else 0)
        await rig.sleep(SLOWEST_S)
        return gave_up_s

    began_s = rig.loop.time()
    assert rig.run(work) == pytest.approx(patience_s, abs=0.01)
    assert len(rig.done) == (0 if mishap is Mishap.GONE else 1), "it arrives all the same"
    if mishap is Mishap.SLOW:  # said when it is sent: much may wait for it until it arrives
        [(sent_s, sent)] = rig.sent_stuck
        assert sent == call
        assert sent_s == pytest.approx(began_s, abs=0.01)


@pytest.mark.parametrize(("cut_s", "arrives"), [(REDIS_S - 0.5, True), (REDIS_S + 0.5, False)])
def test_what_is_sent_by_who_is_cut_off_arrives_if_its_caller_still_waits(
    cut_s: float, arrives: bool
) -> None:
    rig = LinkRig(None)

    async def work(link: ProcessLink) -> float:
        began_s = rig.loop.time()
        rig.reach.away["api-0/store"] = began_s + cut_s
        if arrives:
            assert await link("store.decide", rig.act) == "done"
        else:
            with pytest.raises(DependencyDown):
                await link("store.decide", rig.act)
        return rig.loop.time() - began_s

    assert rig.run(work) == pytest.approx(min(cut_s, REDIS_S), abs=0.01)
    assert bool(rig.done) is arrives


def test_a_stuck_call_does_not_arrive_at_a_server_that_is_away_by_then() -> None:
    rig = LinkRig(Mishap.SLOW, told=(0, SLOWEST))

    async def work(link: ProcessLink) -> None:
        with pytest.raises(DependencyDown):
            await link("store.decide", rig.act)
        rig.reach.away["store"] = rig.loop.time() + SLOWEST_S
        await rig.sleep(SLOWEST_S)

    rig.run(work)
    assert rig.done == []


@pytest.mark.parametrize(("cut_s", "hears"), [(2.0, ["a", "b"]), (4.0, ["b"])])
def test_a_listener_that_is_cut_off_hears_late_or_subscribes_anew(
    cut_s: float, hears: list[str]
) -> None:
    """It takes itself for deaf after three seconds."""
    rig, server = LinkRig(None), BusServer()
    heard: list[BusMessage] = []

    async def work(link: ProcessLink) -> None:
        bus = LabBus(server, link, lambda: False, lambda: rig.reach.until("api-0", "store"))

        async def listen() -> None:
            async for message in bus.listen():
                heard.append(message)

        listening = rig.loop.create_task(listen())
        await rig.sleep(0.5)
        rig.reach.away["api-0/store"] = rig.loop.time() + cut_s
        server.publish(encode_bus(BusPing("a", 0)))
        await rig.sleep(cut_s + 1.0)
        server.publish(encode_bus(BusPing("b", 0)))
        await rig.sleep(0.5)
        listening.cancel()

    rig.run(work)
    assert [message.origin for message in heard if isinstance(message, BusPing)] == hears
    assert server.listeners == []


def test_a_call_that_arrives_twice_may_do_so_seconds_later() -> None:
    rig = LinkRig(Mishap.TWICE, told=(SLOWEST,))

    async def work(link: ProcessLink) -> float:
        assert await link("store.decide", rig.act) == "done"
        await rig.sleep(TWICE_S[1])
        first_s, second_s = rig.done
        return second_s - first_s

    assert rig.run(work) == pytest.approx(TWICE_S[1], abs=0.01)


def test_what_came_for_a_process_that_stalled_runs_in_order_and_then_its_timers() -> None:
    loop, life = VirtualLoop(), Life()
    began_s = loop.time()
    ran: list[tuple[str, float]] = []
    inside = Context()
    inside.run(LIFE.set, life)

    def note(what: str) -> None:
        ran.append((what, round(loop.time() - began_s, 3)))

    loop.call_later(2.0, note, "timer 2", context=inside)
    loop.call_later(1.0, note, "timer 1", context=inside)
    loop.call_later(9.0, note, "timer 9", context=inside)
    loop.call_later(3.0, note, "another's", context=Context())
    loop.call_soon(note, "ready", context=inside)
    loop.stall(life, 5.0)
    loop.call_soon(note, "came", context=inside)
    loop.call_later(10.0, loop.stop)
    loop.run_forever()
    loop.abandon()
    waited = ["ready", "came", "timer 1", "timer 2"]
    assert ran == [("another's", 3.0), *((what, 5.0) for what in waited), ("timer 9", 9.0)]


def test_a_process_may_stall_while_its_callbacks_are_due() -> None:
    """In one pass of the loop, which has counted what is ready."""
    loop, life = VirtualLoop(), Life()
    began_s = loop.time()
    ran: list[tuple[str, float]] = []
    inside = Context()
    inside.run(LIFE.set, life)
    loop.call_soon(loop.stall, life, 5.0)
    for what in ("first", "second"):
        loop.call_soon(lambda w: ran.append((w, loop.time() - began_s)), what, context=inside)
    loop.call_later(10.0, loop.stop)
    loop.run_forever()
    loop.abandon()
    assert ran == [("first", 5.0), ("second", 5.0)]


def test_a_stall_may_be_ended_and_a_kill_ends_it_for_ever() -> None:
    loop, one, two = VirtualLoop(), Life(), Life()
    began_s = loop.time()
    ran: list[tuple[int, float]] = []

    def note(number: int) -> None:
        ran.append((number, round(loop.time() - began_s, 3)))

    for number, life in enumerate((one, two), 1):
        inside = Context()
        inside.run(LIFE.set, life)
        loop.call_soon(note, number, context=inside)
        loop.call_later(1.0, note, number, context=inside)
        loop.stall(life, 5.0)
    loop.call_later(2.0, one.resume, context=Context())
    loop.call_later(2.0, loop.kill, two, context=Context())
    loop.call_later(10.0, loop.stop)
    loop.run_forever()
    loop.abandon()
    assert ran == [(1, 2.0), (1, 2.0)]


def test_an_exception_that_nobody_hears_is_told_when_it_is_raised() -> None:
    loop = VirtualLoop()
    began_s = loop.time()
    told: list[tuple[str, float]] = []
    loop.set_exception_handler(
        lambda _, context: told.append((repr(context["exception"]), loop.time() - began_s))
    )

    async def whole() -> None:
        async def fails() -> None:
            await asyncio.sleep(1.0)
            raise ValueError("nobody waits for this")

        kept = [asyncio.create_task(fails())]
        kept.clear()
        await asyncio.sleep(5.0)

    loop.run_until_complete(whole())
    loop.abandon()
    assert told == [("ValueError('nobody waits for this')", 1.0)]


def test_each_machine_has_a_clock_of_its_own() -> None:
    loop, context = VirtualLoop(), Context()
    context.run(LIFE.set, Life(skew_s=-3.0, drift=200e-6))
    with drawn_from(Dice(1), loop):
        right_ms, wrong_ms = StoreClock().now_ms(), context.run(lambda: StoreClock().now_ms())
        steady_s = context.run(StoreClock().monotonic)
    loop.abandon()
    assert wrong_ms - right_ms == pytest.approx(-3_000 + 0.2 * loop.time(), abs=2)
    assert steady_s == pytest.approx((1 + 200e-6) * loop.time())


def test_a_redis_client_may_have_tried_again() -> None:
    rig = LinkRig(Mishap.GONE, told=(RETRIES,))

    async def work(link: ProcessLink) -> float:
        began_s = rig.loop.time()
        with pytest.raises(DependencyDown):
            await link("store.decide", rig.act)
        return rig.loop.time() - began_s

    assert rig.run(work) == pytest.approx((1 + RETRIES) * REDIS_S, abs=0.01)
