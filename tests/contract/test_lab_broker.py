"""The laboratory's broker when its link fails, its server restarts, or a process of it dies."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

import pytest

from miaosha.domain.errors import DependencyDown, Fault, OutcomeUnknown
from miaosha.domain.messages import Batch
from miaosha.ports.broker import Reminder
from tests.contract.brokers import SALE
from tests.contract.test_broker import Seen, batch, empty, refuses_every_call, running
from tests.kit.waits import until
from tests.lab.broker import LabBroker, LabQueueReader
from tests.lab.broker_server import BrokerServer, Kind

T = TypeVar("T")


class FailingLink:
    """Each call named in `before` fails once without effect, each in `after` once with it; `down`
    fails all; a call of a `dead` process does not return."""

    def __init__(self) -> None:
        self.before: list[str] = []
        self.after: list[str] = []
        self.down = False
        self.dead = False

    async def __call__(
        self, call: str, act: Callable[[], T], *, lost: type[Fault] = DependencyDown
    ) -> T:
        await asyncio.sleep(0)
        if self.dead:
            await asyncio.Event().wait()
        if self.down or call in self.before:
            self.before = [one for one in self.before if one != call]
            raise DependencyDown(f"{call}: not reached")
        found = act()
        if call in self.after:
            self.after.remove(call)
            raise lost(f"{call}: answer lost")
        return found


@pytest.fixture(params=["streams", "single"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return "streams" if request.param == "streams" else "single"


@pytest.fixture
def server(kind: Kind) -> BrokerServer:
    return BrokerServer(kind, counted_s=0.1)


@pytest.fixture
def link() -> FailingLink:
    return FailingLink()


def client(server: BrokerServer, link: FailingLink, reclaim_after_ms: int = 300) -> LabBroker:
    return LabBroker(
        server, link, prefetch=4, reclaim_after_ms=reclaim_after_ms, settle_s=0.0, backlog_max=10
    )


@pytest.fixture
async def broker(server: BrokerServer, link: FailingLink) -> AsyncIterator[LabBroker]:
    broker = client(server, link)
    await broker.open(SALE)
    yield broker
    await broker.close()


class Stuck:
    """A handler that never returns."""

    def __init__(self) -> None:
        self.has: list[Batch] = []

    async def __call__(self, batches: Sequence[Batch]) -> None:
        self.has += batches
        await asyncio.Event().wait()


async def test_absent_server_is_down(broker: LabBroker, link: FailingLink) -> None:
    link.down = True
    await refuses_every_call(broker)


async def test_lost_confirm_is_unknown_and_the_batch_is_there(
    broker: LabBroker, link: FailingLink, kind: Kind
) -> None:
    link.after.append("broker.publish")
    with pytest.raises(OutcomeUnknown):
        await broker.publish(one := batch(1))
    seen = Seen()
    async with running(broker.consume(SALE, "c1", seen)):
        times = 2 if kind == "single" else 1  # where it is sent again until its fate is known
        await until(lambda: seen.batches == [one] * times)


@pytest.mark.parametrize(
    "call",
    ["fetch", "fetch_own", "fetch_abandoned", "acknowledge", "subscribe", "unsubscribe", "answer"],
)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_no_failed_call_of_a_consumer_loses_a_batch(
    broker: LabBroker,
    link: FailingLink,
    call: str,
    when: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.lab.broker_barriers.LOST_S", 0.4)
    sent = [batch(n) for n in range(10)]
    for one in sent:
        await broker.publish(one)
    getattr(link, when).append(f"broker.{call}")
    seen = Seen()
    async with running(broker.consume(SALE, "c1", seen)):
        await until(lambda: {b.batch_id for b in seen.batches} == {b.batch_id for b in sent})
        await empty(broker)
    firsts = list(dict.fromkeys(b.batch_id for b in seen.batches))
    assert firsts == [b.batch_id for b in sent]


async def test_restart_loses_nothing(
    broker: LabBroker, server: BrokerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.lab.broker_single.YOUNG_S", 0.0)
    seen = Seen()
    sent = [batch(n) for n in range(20)]
    async with running(broker.consume(SALE, "c1", seen)):
        for n, one in enumerate(sent):
            await broker.publish(one)
            if n % 5 == 0:
                server.restart()
        await until(lambda: {b.batch_id for b in seen.batches} == {b.batch_id for b in sent})
        await empty(broker)


async def test_restart_may_forget_a_queue_just_made(
    broker: LabBroker, server: BrokerServer, kind: Kind
) -> None:
    server.restart()
    if kind == "streams":
        await broker.publish(batch(1))
    else:
        with pytest.raises(DependencyDown, match="no queue"):
            await broker.publish(batch(1))


async def test_a_dead_process_keeps_nothing(
    broker: LabBroker, server: BrokerServer, kind: Kind
) -> None:
    mortal = FailingLink()
    dying = client(server, mortal)
    stuck, seen = Stuck(), Seen()
    await broker.publish(one := batch(1))
    async with running(dying.consume(SALE, "dying", stuck)):
        await until(lambda: stuck.has)
        mortal.dead = True
        async with running(broker.consume(SALE, "c2", seen)):
            if kind == "single":  # whose connection has to end first
                with pytest.raises(AssertionError):
                    await until(lambda: seen.batches, 0.5)
                server.disconnect(dying)
            await until(lambda: seen.batches == [one])
            await empty(broker)
        mortal.dead = False


async def test_a_reader_that_could_not_say_so_keeps_its_place_until_that_is_noticed(
    link: FailingLink,
) -> None:
    server = BrokerServer("single", lingers_s=lambda: 60.0)
    one, seen = client(server, link), Seen()
    await one.open(SALE)
    async with running(one.consume(SALE, "c1", seen)):
        await empty(one)
        link.before += ["broker.fetch", "broker.unsubscribe"]
        await one.publish(first := batch(1))
        await until(lambda: not link.before)
        await one.publish(second := batch(2))
        with pytest.raises(AssertionError):
            await until(lambda: seen.batches, 0.3)
        server.end_forsaken()
        await until(lambda: seen.batches == [first, second])


async def test_a_consumer_that_ends_leaves_its_batches_to_the_next_at_once(
    server: BrokerServer, link: FailingLink
) -> None:
    broker = client(server, link, reclaim_after_ms=120_000)
    await broker.open(SALE)
    await broker.publish(one := batch(1))
    stuck, seen = Stuck(), Seen()
    async with running(broker.consume(SALE, "c1", stuck)):
        await until(lambda: stuck.has)
    async with running(broker.consume(SALE, "c2", seen)):
        await until(lambda: one in seen.batches, 5)
        await empty(broker)


async def test_what_is_in_hand_comes_to_another_when_made_to(
    broker: LabBroker, server: BrokerServer
) -> None:
    stuck, seen = Stuck(), Seen()
    await broker.publish(one := batch(1))
    async with running(broker.consume(SALE, "c1", stuck)):
        await until(lambda: stuck.has)
        async with running(broker.consume(SALE, "c2", seen)):
            await asyncio.sleep(0.1)
            server.redeliver(SALE)
            await until(lambda: one in seen.batches)


async def test_a_batch_stands_in_the_log_twice(broker: LabBroker, server: BrokerServer) -> None:
    assert not server.duplicate(SALE)
    await broker.publish(one := batch(1))
    assert server.duplicate(SALE)
    await broker.publish(marker := batch())
    assert [b async for b in broker.replay(SALE, marker.batch_id)] == [one, one]


async def test_a_torn_batch_is_in_the_log_alone(link: FailingLink) -> None:
    server = BrokerServer("single")
    broker = client(server, link)
    await broker.open(SALE)
    server.tear(SALE)
    with pytest.raises(OutcomeUnknown):
        await broker.publish(batch(1))
    assert (await broker.pressure(SALE)).backlog == 0
    await broker.close()


async def test_reminders_come_early_late_and_twice(broker: LabBroker, server: BrokerServer) -> None:
    got: list[Reminder] = []

    async def handler(reminders: Sequence[Reminder]) -> None:
        got.extend(reminders)

    one, two = Reminder(SALE, "a.1"), Reminder(SALE, "b.2")
    async with running(broker.reminders(handler)):
        await broker.remind([one], 600.0)
        for _ in range(15):  # each of the waits it is made of
            server.hasten_reminders()
            await asyncio.sleep(0.02)
        await until(lambda: got == [one])
        await asyncio.sleep(0.02)
        server.repeat_reminders()
        await until(lambda: got.count(one) >= 2)
        await broker.remind([two], 0.1)
        server.delay_reminders(400)
        with pytest.raises(AssertionError):
            await until(lambda: two in got, 0.4)
        await until(lambda: two in got)


async def logged(server: BrokerServer, newest: int | None = None) -> list[tuple[str, bool]]:
    log = await LabQueueReader(server, FailingLink()).open(SALE)
    assert log is not None
    return [(one.batch_id, one.open) async for page in log.pages(newest) for one in page]


async def test_an_audit_reads_the_log(broker: LabBroker, server: BrokerServer) -> None:
    assert await LabQueueReader(server, FailingLink()).open(12345) is None
    sent = [batch(n) for n in range(3)]
    for one in sent:
        await broker.publish(one)
    assert await logged(server) == [(b.batch_id, True) for b in sent]
    async with running(broker.consume(SALE, "c1", Seen())):
        await empty(broker)
        assert await logged(server) == [(b.batch_id, False) for b in sent]
    await asyncio.sleep(0.15)  # until the log is counted
    assert (sent[-1].batch_id, False) in await logged(server, newest=3)
