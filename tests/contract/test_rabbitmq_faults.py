"""The broker on RabbitMQ when its server is killed, hangs, is full, or ends a channel."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from miaosha.adapters.rabbitmq.auditing import RabbitQueueReader
from miaosha.adapters.rabbitmq.broker import RabbitBroker
from miaosha.adapters.rabbitmq.channels import CHANNELS_MAX
from miaosha.adapters.rabbitmq.link import Link, NoQueue
from miaosha.adapters.rabbitmq.parked import RabbitParkingLot
from miaosha.adapters.rabbitmq.quorum_reader import PoisonMessage
from miaosha.adapters.rabbitmq.reminders import STEPS_MS, first_wait
from miaosha.adapters.rabbitmq.topology import count, delay_of, log_of, requests_of
from miaosha.domain.errors import DependencyDown, Fault, OutcomeUnknown, Overloaded, SettingsError
from miaosha.domain.messages import Batch, MailJob
from miaosha.ports.auditing import Logged
from miaosha.ports.broker import Pressure, Reminder
from miaosha.supervisor.servers.rabbitmq import RabbitMq
from tests.contract.brokers import SALE, RabbitRig
from tests.contract.test_broker import Seen, batch, empty, left, refuses_every_call, running
from tests.kit.waits import until

pytestmark = pytest.mark.servers


async def works(call: Callable[[], Awaitable[object]]) -> None:
    """Wait until a call is no longer refused: a server that has just started needs a while for
    its streams."""

    async def done() -> bool:
        try:
            await call()
        except Fault:
            await asyncio.sleep(0.1)
            return False
        return True

    await until(done, 60)


@pytest.fixture
async def rig(rabbitmq: RabbitMq) -> AsyncIterator[RabbitRig]:
    rig = RabbitRig(rabbitmq.url)
    await works(rig.clean)
    yield rig
    await rig.close()


@pytest.fixture
async def broker(rig: RabbitRig) -> AsyncIterator[Any]:
    """Patient: a slow disk is no fault."""
    async with opened(rig, 20_000) as broker:
        yield broker


@pytest.fixture
async def hasty(rig: RabbitRig) -> AsyncIterator[Any]:
    """For who waits for confirms that do not come."""
    async with opened(rig, 1_000) as broker:
        yield broker


@asynccontextmanager
async def opened(rig: RabbitRig, confirm_timeout_ms: int) -> AsyncIterator[Any]:
    broker = rig.another(prefetch=4, confirm_timeout_ms=confirm_timeout_ms)
    await works(lambda: broker.open(SALE))
    yield broker
    await broker.close()


async def reach(batches: list[Batch], count: int) -> None:
    await until(lambda: len(batches) >= count, 60)


async def log_ids(broker: RabbitBroker) -> set[str]:
    marker = batch()
    await works(lambda: broker.publish(marker))
    return {b.batch_id async for b in broker.replay(SALE, marker.batch_id)}


async def test_killed_server_loses_nothing_that_was_confirmed(
    hasty: RabbitBroker, rabbitmq: RabbitMq
) -> None:
    confirmed: list[Batch] = []
    tried: list[Batch] = []
    stop = asyncio.Event()

    async def publisher() -> None:
        while not stop.is_set():
            tried.append(one := batch(1, 2, 3))
            try:
                await hasty.publish(one)
                confirmed.append(one)
            except Fault:
                await asyncio.sleep(0.01)

    seen = Seen()
    async with running(hasty.consume(SALE, "c1", seen), *(publisher() for _ in range(4))):
        # In this order: 3.10 writes the names of new queues down after some seconds, or at its end.
        for sig in (signal.SIGTERM, signal.SIGKILL):
            await reach(confirmed, len(confirmed) + 50)
            await rabbitmq.stop(sig)
            before = len(confirmed)
            await rabbitmq.start()
            await reach(confirmed, before + 1)
        stop.set()
        await until(lambda: {b.batch_id for b in confirmed} <= {b.batch_id for b in seen.batches})
        await works(lambda: hasty.pressure(SALE))
        await empty(hasty)
        log = await log_ids(hasty)
        assert {b.batch_id for b in confirmed} <= log
        # What stands in the log alone, because the server died in the middle, is sent once more.
        await until(lambda: not hasty._unknown, 20)
        await empty(hasty)
    assert log <= {b.batch_id for b in seen.batches}
    assert log <= {b.batch_id for b in tried}


async def test_absent_server_is_down_at_once(rig: RabbitRig, rabbitmq: RabbitMq) -> None:
    broker = rig.another()
    await broker.open(SALE)
    await broker.publish(batch(1))
    await rabbitmq.stop()
    try:
        started = asyncio.get_running_loop().time()
        with pytest.raises((DependencyDown, OutcomeUnknown)):
            await broker.publish(batch(2))
        await refuses_every_call(broker)
        assert asyncio.get_running_loop().time() - started < 15
    finally:
        await rabbitmq.start()
        await works(lambda: broker.open(SALE))
        await broker.close()


async def test_hanging_server_means_outcome_unknown(
    hasty: RabbitBroker, rabbitmq: RabbitMq
) -> None:
    await works(lambda: hasty.publish(batch(1)))
    rabbitmq.pause()
    try:
        one = batch(2)
        started = asyncio.get_running_loop().time()
        with pytest.raises(OutcomeUnknown):
            await hasty.publish(one)
        assert 0.9 < asyncio.get_running_loop().time() - started < 15
    finally:
        rabbitmq.resume()
    seen = Seen()
    async with running(hasty.consume(SALE, "c1", seen)):
        await until(lambda: one in seen.batches, 20)
    await works(lambda: hasty.publish(batch(3)))


ALARMS = {  # by the setting that raises one, and ends it
    "set_vm_memory_high_watermark": ("0.0000001", "0.4"),
    "set_disk_free_limit": ("1000000GB", "100MB"),
}


@pytest.mark.parametrize("alarm", ALARMS)
async def test_blocked_server_refuses_and_still_hands_out(
    hasty: RabbitBroker, rabbitmq: RabbitMq, alarm: str
) -> None:
    raised, ended = ALARMS[alarm]
    first = batch(1)
    await works(lambda: hasty.publish(first))
    await rabbitmq.ctl(alarm, raised)
    try:

        async def refused() -> bool:
            try:
                await hasty.publish(batch(2))
            except Overloaded as error:
                return error.limit == "broker_blocked"
            except OutcomeUnknown:  # sent before the broker said so
                pass
            return False

        await until(refused, 20)
        started = asyncio.get_running_loop().time()
        with pytest.raises(Overloaded):
            await hasty.publish(batch(3))
        assert asyncio.get_running_loop().time() - started < 5
    finally:
        await rabbitmq.ctl(alarm, ended)

    await works(lambda: hasty.publish(batch(4)))
    seen = Seen()
    async with running(hasty.consume(SALE, "c1", seen)):
        await until(lambda: first in seen.batches)


async def test_consumer_and_publisher_outlive_their_connections(
    broker: RabbitBroker, rabbitmq: RabbitMq
) -> None:
    seen = Seen()
    async with running(broker.consume(SALE, "c1", seen)):
        await broker.publish(one := batch(1))
        await until(lambda: one in seen.batches)
        await rabbitmq.ctl("close_all_connections", "test")

        await works(lambda: broker.publish(batch(2)))
        await broker.publish(two := batch(3))
        await until(lambda: two in seen.batches, 20)


async def test_a_message_that_cannot_surely_be_parked_comes_again(
    rig: RabbitRig, broker: RabbitBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    park, lost = RabbitParkingLot.park, iter([OutcomeUnknown("no confirm"), Overloaded("broker")])

    async def parks(self: RabbitParkingLot, message: PoisonMessage) -> None:
        await park(self, message)
        if (error := next(lost, None)) is not None:
            raise error

    monkeypatch.setattr(RabbitParkingLot, "park", parks)
    seen = Seen()
    async with running(broker.consume(SALE, "c1", seen)) as [consuming]:
        await rig.put_odd()
        await broker.publish(one := batch(1))
        await until(lambda: one in seen.batches, 20)
        assert not consuming.done()
    assert await broker.count_parked() == 3, "parked twice is better than never"


async def test_one_consumer_at_a_time_and_the_next_takes_over(broker: RabbitBroker) -> None:
    one, two = Seen(), Seen()
    async with running(broker.consume(SALE, "c1", one)) as first:
        await broker.publish(batch(1))
        await until(lambda: bool(one.batches))
        async with running(broker.consume(SALE, "c2", two)):
            sent = [batch(n) for n in range(20)]
            for each in sent:
                await broker.publish(each)
            await until(lambda: len(one.batches) == 21)
            assert two.batches == []
            first[0].cancel()
            await broker.publish(last := batch(99))
            await until(lambda: last in two.batches, 20)
    assert one.batches[1:] == sent  # in order


async def test_the_audit_reads_the_log_and_what_is_open(
    broker: RabbitBroker, rabbitmq: RabbitMq
) -> None:
    reader = RabbitQueueReader(rabbitmq.url)
    assert await reader.open(4711) is None
    sent = [batch(n, n + 1) for n in range(5)]
    for one in sent[:3]:
        await broker.publish(one)
    async with running(broker.consume(SALE, "c1", Seen())):
        await empty(broker)
        assert await logged(reader) == [Logged(b.batch_id, 2, open=False) for b in sent[:3]]
    for one in sent[3:]:
        await broker.publish(one)
    assert await logged(reader) == [Logged(b.batch_id, 2, b in sent[3:]) for b in sent]
    log = await reader.open(SALE)
    assert log is not None
    await broker.publish(batch(99))
    seen = [one async for page in log.pages() for one in page]
    assert [one.batch_id for one in seen] == [b.batch_id for b in sent], "up to when it was opened"
    await reader.close()


async def logged(reader: RabbitQueueReader, newest: int | None = None) -> list[Logged]:
    log = await reader.open(SALE)
    assert log is not None
    return [one async for page in log.pages(newest) for one in page]


async def test_the_audit_reads_the_end_of_the_log_alone(
    broker: RabbitBroker, rabbitmq: RabbitMq
) -> None:
    reader, link = RabbitQueueReader(rabbitmq.url), Link(rabbitmq.url)
    sent = [batch(n) for n in range(30)]
    for one in sent:
        await broker.publish(one)

    async def counted() -> bool:
        """A broker counts its streams every few seconds."""
        return (await count(link, log_of(SALE))).ready >= len(sent)

    await until(counted, 30)
    end = [one.batch_id for one in await logged(reader, 5)]
    assert 4 <= len(end) <= 5, "the mark of its own may be counted by now"
    assert end == [b.batch_id for b in sent][-len(end) :]
    await link.close()
    await reader.close()


async def test_queues_are_what_the_promises_need(broker: RabbitBroker, rabbitmq: RabbitMq) -> None:
    await broker.remind([Reminder(SALE, "a.1")], 3_600)
    said = await rabbitmq.ctl("list_queues", "name", "type", "durable", "arguments")
    kinds = {line.split("\t")[0]: line for line in said.splitlines()}
    requests, delay = kinds[requests_of(SALE).name], kinds[delay_of(3_600_000).name]
    assert "quorum\ttrue" in requests
    assert "single-active-consumer" in requests
    assert "stream\ttrue" in kinds[log_of(SALE)]
    for word in ("quorum\ttrue", "at-least-once", "reject-publish", "3600000"):
        assert word in delay, delay


async def test_a_reminder_waits_in_more_than_one_queue(rig: RabbitRig) -> None:
    broker = rig.broker
    loop = asyncio.get_running_loop()
    due: list[float] = []

    async def handler(reminders: Sequence[Reminder]) -> None:
        due.extend(loop.time() for _ in reminders)

    started = loop.time()
    await broker.remind([Reminder(SALE, f"a.{n}") for n in range(300)], 1.4)
    async with running(broker.reminders(handler)):
        await until(lambda: len(due) == 300, 20)
        await left(rig.reminders, 0)
    assert min(due) - started >= 1.4


WAITS = {0: 0, 1: 250, 251: 500, 999: 1_000, 1_990: 2_000, 59_751: 60_000, 61_000: 60_000}
LONG_WAITS = {601_990: 600_000, 3_599_999: 3_600_000, 90_000_000: 3_600_000}


async def test_a_barrier_whose_answer_was_lost_is_sent_again(
    broker: Any, rabbitmq: RabbitMq
) -> None:
    link = Link(rabbitmq.url)
    async with link.channel() as dying:
        taken = asyncio.Event()

        async def acknowledge(message: Any) -> None:
            await dying.basic_ack(message.delivery_tag)
            taken.set()

        await dying.basic_consume(requests_of(SALE).name, acknowledge)
        assert (await broker.pressure(SALE)).backlog == 1
        await asyncio.wait_for(taken.wait(), 20)
    await link.close()
    seen = Seen()
    async with running(broker.consume(SALE, "next", seen)):
        await broker.publish(batch(1))
        await reach(seen.batches, 1)

        async def drained() -> bool:
            found: Pressure = await broker.pressure(SALE)
            return found.backlog == 0

        await until(drained, 30)


async def test_a_delay_queue_that_hangs_holds_up_nothing_else(
    rig: RabbitRig, broker: Any, rabbitmq: RabbitMq
) -> None:
    """As one does that lost its leader when the server was killed."""
    await broker.remind([Reminder(SALE, "a.1")], 3_600)
    queue = f'whereis(list_to_atom("%2F_{delay_of(3_600_000).name}"))'
    await rabbitmq.ctl("eval", f"sys:suspend({queue}).")
    later = rig.another()  # the server asks the queue about each new publisher, and waits
    try:
        with pytest.raises(OutcomeUnknown):
            await later.remind([Reminder(SALE, "a.2")], 3_600)
        await later.send_mail([MailJob(1, "won:a.1")])
        await later.publish(batch(1))
        with pytest.raises(DependencyDown, match="rest"):
            await later.remind([Reminder(SALE, "a.3")], 3_600)
    finally:
        await rabbitmq.ctl("eval", f"sys:resume({queue}).")
        await later.close()


@pytest.mark.parametrize(("wait_ms", "first"), (WAITS | LONG_WAITS).items())
def test_waits(wait_ms: int, first: int) -> None:
    assert first_wait(wait_ms) == first


def test_any_wait_is_a_sum_of_few() -> None:
    for wait_ms in range(0, 7_300_000, 997):
        left_ms, waits = wait_ms, 0
        while left_ms > 0:
            left_ms -= first_wait(left_ms)
            waits += 1
        assert waits <= 5
        assert left_ms > -STEPS_MS[-1]


async def test_missing_queues_may_be_asked_for_at_once_however_often(rabbitmq: RabbitMq) -> None:
    """The broker closes a channel for each, and a connection has 2,047 numbers for them."""
    link = Link(rabbitmq.url)
    connection = await link.connection()

    async def ask() -> None:
        with suppress(NoQueue):
            await count(link, "nobody.made.this")

    for _ in range(CHANNELS_MAX // 16 + 2):
        await asyncio.gather(*(ask() for _ in range(16)))
    assert await link.connection() is connection
    await link.close()


def test_urls(tmp_path: Path) -> None:
    (ca := tmp_path / "ca.pem").touch()
    Link(f"amqps://u:p@broker.example/shop?cafile={ca}")
    with pytest.raises(SettingsError, match="nowhere"):
        Link("amqps://u:p@broker.example/shop?cafile=/nowhere.pem")
    for wrong in ("redis://host", "amqp:/", "amqp://", "amqp://u:secret@host:port/"):
        with pytest.raises(SettingsError) as refused:
            Link(wrong)
        assert "secret" not in str(refused.value)


def test_a_publisher_loads_only_the_client() -> None:
    code = (
        "import asyncio, sys\n"
        "import miaosha.publisher.__main__\n"
        "from miaosha import bootstrap\n"
        "from miaosha.adapters.keyring import generate\n"
        "from miaosha.settings import Settings\n"
        "async def main():\n"
        "    settings = Settings(secret_keys=generate(), redis_url='unix:///nowhere.sock',\n"
        f"        broker_url='amqp://u:{uuid4().hex}@127.0.0.1:1/')\n"
        "    async with bootstrap.publisher(settings): pass\n"
        "asyncio.run(main())\n"
        "heavy = {'sqlalchemy', 'pydantic', 'typer', 'litestar', 'jwt', 'aio_pika', 'alembic'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip().splitlines()[-1:] == ["[]"], done.stderr
