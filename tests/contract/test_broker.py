"""The broker's contract, on a Redis of its own, on a cluster, on RabbitMQ, and in the lab."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from miaosha.domain.errors import DependencyDown, Overloaded, Problem
from miaosha.domain.messages import BATCH_VERSION, Batch, MailJob, encode_batch
from miaosha.ports.broker import Broker, Reminder
from miaosha.supervisor.servers.rabbitmq import RabbitMq
from miaosha.supervisor.servers.valkey import start_valkey
from tests.contract.brokers import RECLAIM_MS, SALE, RabbitRig, RedisRig, Rig
from tests.contract.lab_broker import LabRig
from tests.kit.waits import until


def batch(*users: int, sale_id: int = SALE) -> Batch:
    return Batch(BATCH_VERSION, sale_id, uuid4().hex, 1_000, list(users))


class Seen:
    """A handler that remembers; `failures` groups raise first."""

    def __init__(self, failures: int = 0) -> None:
        self.batches: list[Batch] = []
        self.groups: list[int] = []
        self.failures = failures

    async def __call__(self, batches: Sequence[Batch]) -> None:
        self.groups.append(len(batches))
        if self.failures:
            self.failures -= 1
            raise DependencyDown("store: away")
        self.batches += batches


@asynccontextmanager
async def running(*coroutines: object) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.ensure_future(c) for c in coroutines]  # type: ignore[call-overload]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


KINDS = (
    "single",
    "cluster",
    pytest.param("rabbitmq", marks=pytest.mark.servers),
    "lab-streams",
    "lab-single",
)


@pytest.fixture(params=KINDS)
def shared_url(request: pytest.FixtureRequest) -> str:
    """The tests' RabbitMQ, or their cluster, whose nodes share our keys out; "" for a Redis of
    one's own; `lab:` and a kind for the laboratory's."""
    if request.param.startswith("lab-"):
        return str(request.param).replace("-", ":")
    if request.param == "rabbitmq":
        server: RabbitMq = request.getfixturevalue("rabbitmq")
        return server.url
    url: str = request.getfixturevalue("cluster_url") if request.param == "cluster" else ""
    return url


@pytest.fixture
async def rig(shared_url: str, run_dir: Path) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        rig: RedisRig | RabbitRig | LabRig
        if shared_url.startswith("amqp"):
            rig = RabbitRig(shared_url)
        elif shared_url.startswith("lab:"):
            rig = LabRig("single" if shared_url == "lab:single" else "streams")
        else:
            if not shared_url:
                server = await start_valkey(run_dir, "broker")
                stack.push_async_callback(server.stop)
            rig = RedisRig(shared_url or server.url)
        stack.push_async_callback(rig.close)
        await rig.clean()
        await rig.broker.open(SALE)
        await rig.broker.open(SALE)  # idempotent
        yield rig


@pytest.fixture
def broker(rig: Rig) -> Broker:
    return rig.broker


async def left(count: Callable[[], Awaitable[int]], expected: int) -> None:
    async def reached() -> bool:
        return await count() == expected

    await until(reached, 20)


async def publish_all(broker: Broker, batches: Sequence[Batch]) -> None:
    for start in range(0, len(batches), 16):
        await asyncio.gather(*map(broker.publish, batches[start : start + 16]))


async def backlog(broker: Broker, expected: int) -> None:
    async def reached() -> bool:
        return (await broker.pressure(SALE)).backlog == expected

    await until(reached, 20)


async def empty(broker: Broker) -> None:
    await backlog(broker, 0)


async def refuses_every_call(broker: Broker) -> None:
    """While its server is away, and was so at an earlier call."""
    for call in (
        broker.publish(batch(2)),
        broker.ping(),
        broker.open(SALE),
        broker.drop(SALE),
        broker.pressure(SALE),
        broker.remind([Reminder(SALE, "a.1")], 1),
        broker.send_mail([MailJob(1, "won:a.1")]),
        broker.parked(),
        broker.redrive("1-1"),
    ):
        with pytest.raises(DependencyDown):
            await call
    with pytest.raises(DependencyDown):
        [b async for b in broker.replay(SALE, "x")]


async def test_batches_arrive_in_order_in_groups(broker: Broker) -> None:
    sent = [batch(n, n + 1) for n in range(10)]
    for one in sent:
        await broker.publish(one)
    seen = Seen()
    async with running(broker.consume(SALE, "c1", seen)):
        await until(lambda: len(seen.batches) == 10)
        await empty(broker)
    assert seen.batches == sent
    assert sum(seen.groups) == 10
    assert max(seen.groups) <= 4


async def test_handler_that_raises_gets_the_same_group_again(broker: Broker) -> None:
    sent = [batch(n) for n in range(6)]
    for one in sent:
        await broker.publish(one)
    seen = Seen(failures=2)
    async with running(broker.consume(SALE, "c1", seen)):
        await until(lambda: len(seen.batches) == 6)
        await empty(broker)
    assert seen.batches == sent
    assert seen.groups[0] == seen.groups[1] == seen.groups[2] <= 4


async def test_failing_handler_is_not_called_in_a_tight_loop(broker: Broker) -> None:
    await broker.publish(batch(1))
    seen = Seen(failures=10**9)
    started = asyncio.get_running_loop().time()
    async with running(broker.consume(SALE, "c1", seen)):
        await until(lambda: len(seen.groups) == 4)
    assert asyncio.get_running_loop().time() - started >= 0.05 + 0.1 + 0.2
    assert (await broker.pressure(SALE)).backlog >= 1  # a question may wait with it


async def test_cancelled_consumer_continues_under_its_name(broker: Broker) -> None:
    sent = [batch(n) for n in range(3)]
    for one in sent:
        await broker.publish(one)
    stuck = asyncio.Event()

    async def hang(batches: Sequence[Batch]) -> None:
        stuck.set()
        await asyncio.Event().wait()

    async with running(broker.consume(SALE, "c1", hang)):
        await asyncio.wait_for(stuck.wait(), 30)
    await broker.publish(later := batch(99))
    seen = Seen()
    async with running(broker.consume(SALE, "c1", seen)):
        await until(lambda: len(seen.batches) == 4)
    assert seen.batches == [*sent, later]


async def test_batches_of_a_dead_consumer_are_taken_over(broker: Broker) -> None:
    await broker.publish(one := batch(1))
    stuck = asyncio.Event()

    async def hang(batches: Sequence[Batch]) -> None:
        stuck.set()
        await asyncio.Event().wait()

    async with running(broker.consume(SALE, "dead", hang)):
        await asyncio.wait_for(stuck.wait(), 30)
    seen = Seen()
    async with running(broker.consume(SALE, "alive", seen)):
        await until(lambda: bool(seen.batches))
        await empty(broker)
    assert seen.batches == [one]


async def test_slow_living_consumer_keeps_what_it_handles(broker: Broker) -> None:
    await broker.publish(batch(1))
    started, finish = asyncio.Event(), asyncio.Event()

    async def slow(batches: Sequence[Batch]) -> None:
        started.set()
        await finish.wait()

    other = Seen()
    async with running(broker.consume(SALE, "slow", slow)):
        await asyncio.wait_for(started.wait(), 30)
        async with running(broker.consume(SALE, "other", other)):
            with pytest.raises(AssertionError):  # several reclaim periods long nobody else gets it
                await until(lambda: other.groups, 4 * RECLAIM_MS / 1000)
            finish.set()
            await empty(broker)
    assert other.groups == []


async def test_two_consumers_lose_nothing(broker: Broker) -> None:
    one, two = Seen(), Seen(failures=3)
    sent = [batch(n) for n in range(60)]
    async with running(broker.consume(SALE, "c1", one), broker.consume(SALE, "c2", two)):
        await publish_all(broker, sent)
        await until(lambda: len(one.batches) + len(two.batches) >= 60)
        await empty(broker)
    got = {b.batch_id for b in one.batches + two.batches}
    assert got == {b.batch_id for b in sent}


POISON = {
    "empty": b"",
    "not text": b"\xff\xfe\x00\x01",
    "wrong shape": b"\x93\x01\x02\x03",
    "wrong version": encode_batch(Batch(99, SALE, "x", 1, [1])),
    "other sale": encode_batch(Batch(BATCH_VERSION, 8, "x", 1, [1])),
    "a megabyte": b"\xc4" * 1_048_576,
}


async def test_poison_is_parked_once_and_the_queue_flows_on(rig: Rig) -> None:
    broker = rig.broker
    before, after = batch(1), batch(2)
    await broker.publish(before)
    for raw in POISON.values():
        await rig.put(raw)
    await rig.put_odd()
    await broker.publish(after)
    seen = Seen(failures=1)
    async with running(broker.consume(SALE, "c1", seen)):
        await until(lambda: after in seen.batches)
        await empty(broker)
    assert seen.batches == [before, after]
    parked = await broker.parked()
    assert len(parked) == len(POISON) + 1
    assert {p.queue for p in parked} == {rig.queue}
    assert all(p.reason and p.parked_at_ms for p in parked)
    assert len(parked[1].raw) < 1_048_576  # newest first: the megabyte, cut
    assert [p.raw for p in parked[2:]] == list(reversed(list(POISON.values())[:-1]))


async def until_counted(broker: Broker, count: int) -> None:
    """What somebody has just looked at is counted again in a moment."""

    async def counted() -> bool:
        return await broker.count_parked() == count

    await until(counted)


async def test_redrive_puts_back_once(rig: Rig) -> None:
    broker = rig.broker
    await rig.put(POISON["wrong version"])
    async with running(broker.consume(SALE, "c1", Seen())):
        await empty(broker)
    [parked] = await broker.parked()
    await until_counted(broker, 1)
    assert await broker.redrive(parked.id) is True
    assert await broker.redrive(parked.id) is False
    assert await broker.redrive("nonsense") is False
    assert await broker.parked() == []
    await until_counted(broker, 0)
    assert (await broker.pressure(SALE)).backlog >= 1  # a question may wait with it
    async with running(broker.consume(SALE, "c1", Seen())):
        await empty(broker)
    [again] = await broker.parked()
    assert again.raw == parked.raw
    await broker.drop(SALE)
    with pytest.raises(Problem, match="queue"):
        await broker.redrive(again.id)
    assert len(await broker.parked()) == 1


async def test_redrive_refuses_a_message_that_was_cut(rig: Rig) -> None:
    broker = rig.broker
    await rig.put(POISON["a megabyte"])
    async with running(broker.consume(SALE, "c1", Seen())):
        await empty(broker)
    [parked] = await broker.parked()
    with pytest.raises(Problem, match="beginning"):
        await broker.redrive(parked.id)


async def test_replay_stops_at_the_marker_and_changes_nothing(rig: Rig) -> None:
    broker = rig.broker
    sent = [batch(n) for n in range(450)]
    await publish_all(broker, sent[:200])
    await rig.put(b"junk")
    await publish_all(broker, sent[200:])
    marker = batch()
    await broker.publish(marker)
    await broker.publish(batch(1))
    got = [b.batch_id async for b in broker.replay(SALE, marker.batch_id)]
    assert sorted(got) == sorted(b.batch_id for b in sent)
    await backlog(broker, 453)
    with pytest.raises(DependencyDown, match="marker"):
        [b async for b in broker.replay(SALE, "no such batch")]


async def test_log_survives_acknowledgement(broker: Broker) -> None:
    await broker.publish(one := batch(1))
    async with running(broker.consume(SALE, "c1", Seen())):
        await empty(broker)
    await broker.publish(marker := batch())
    assert [b async for b in broker.replay(SALE, marker.batch_id)] == [one]


async def test_full_queues_are_named_among_many(rig: Rig) -> None:
    broker = rig.broker
    assert await broker.full([]) == set()
    assert await broker.full([SALE, 12345]) == set()
    await publish_all(broker, [batch(n) for n in range(12)])

    async def named() -> bool:
        return await broker.full([12345, SALE]) == {SALE}

    await until(named, 20)


async def test_pressure(rig: Rig) -> None:
    broker = rig.broker
    assert (await broker.pressure(SALE))[::2] == (0, False)
    assert await broker.pressure(12345) == (0, 0, False, 0)
    for n in range(10):
        await broker.publish(batch(n))
    pressure = await broker.pressure(SALE)
    assert pressure.backlog == 10
    assert not pressure.full
    await asyncio.sleep(0.02)  # the age is what is measured
    assert 20 <= (await broker.pressure(SALE)).oldest_ms < 10_000
    await broker.publish(batch(11))
    assert (await broker.pressure(SALE)).full


async def test_the_size_of_the_log_has_a_limit(rig: Rig) -> None:
    for n in range(10):
        await rig.broker.publish(batch(n))
    small = rig.another(log_max_bytes=100)

    async def full() -> bool:  # some brokers count their log every few seconds
        pressure = await small.pressure(SALE)
        return pressure.full and pressure.log_bytes > 100

    await until(full, 30)
    await small.close()


async def test_backlog_counts_what_a_consumer_has_in_hand(broker: Broker) -> None:
    stuck, finish = asyncio.Event(), asyncio.Event()

    async def hang(batches: Sequence[Batch]) -> None:
        stuck.set()
        await finish.wait()

    async with running(broker.consume(SALE, "c1", hang)):
        await empty(broker)
        await broker.publish(batch(1))
        await asyncio.wait_for(stuck.wait(), 20)
        assert (await broker.pressure(SALE)).backlog >= 1
        assert (await broker.pressure(SALE)).backlog >= 1
        finish.set()
        await empty(broker)


async def test_consume_returns_when_the_queue_is_dropped(rig: Rig) -> None:
    broker = rig.broker
    seen = Seen()
    async with running(broker.consume(SALE, "c1", seen)) as [task]:
        await broker.publish(batch(1))
        await until(lambda: bool(seen.batches))
        await broker.drop(SALE)
        await broker.drop(SALE)
        await asyncio.wait_for(asyncio.shield(task), 30)
    with pytest.raises(DependencyDown, match="no queue"):
        await broker.publish(batch(2))
    assert not await rig.exists()


async def test_reminders_are_not_early_and_come_until_handled(rig: Rig) -> None:
    broker = rig.broker
    loop = asyncio.get_running_loop()
    got: list[tuple[Reminder, float]] = []
    failures = 1

    async def handler(reminders: Sequence[Reminder]) -> None:
        nonlocal failures
        got.extend((r, loop.time()) for r in reminders)
        if failures:
            failures -= 1
            raise DependencyDown("sql")

    started = loop.time()
    await broker.remind([Reminder(7, "a.1"), Reminder(8, "b.2")], 0.3)
    await broker.remind([Reminder(7, "later")], 3_600)
    await broker.remind([], 1)
    async with running(broker.reminders(handler), broker.reminders(handler)):
        await until(lambda: {r for r, _ in got} >= {Reminder(7, "a.1"), Reminder(8, "b.2")})
        await left(rig.reminders, 1)
    assert {r for r, _ in got} == {Reminder(7, "a.1"), Reminder(8, "b.2")}
    assert min(at for _, at in got) - started >= 0.3


async def test_mails_come_until_handled_and_leave_no_trace(rig: Rig) -> None:
    broker = rig.broker
    jobs = [MailJob(n, f"won:{n}") for n in range(5)]
    await broker.send_mail(jobs)
    await broker.send_mail([])
    await rig.put_mail(b"junk")
    got: list[MailJob] = []

    async def handler(job: MailJob) -> None:
        got.append(job)
        if len(got) == 2:
            raise DependencyDown("smtp")

    async with running(broker.mails("m1", handler)):
        await until(lambda: len(got) == 6)
        await left(rig.mails, 0)
    assert sorted(got, key=jobs.index) == [jobs[0], jobs[1], *jobs[1:]]
    [parked] = await broker.parked()
    assert (parked.queue, parked.raw) == ("mail", b"junk")


async def test_mail_queue_has_a_limit(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = rig.broker
    monkeypatch.setattr(rig.mail_max, 3)
    await broker.send_mail([MailJob(n, str(n)) for n in range(3)])
    with pytest.raises(Overloaded, match="mail_queue_max"):
        await broker.send_mail([MailJob(4, "4")])
