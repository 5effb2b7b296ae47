"""Queues on Redis in which nothing happens: they share one connection, and are heard."""

import asyncio
import contextlib
import random
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from miaosha.adapters.redis import stream_reader
from miaosha.adapters.redis.broker import RedisBroker, requests_of
from miaosha.adapters.redis.connect import connect
from miaosha.adapters.redis.reminders import server_ms
from miaosha.domain.messages import Batch, encode_batch
from miaosha.supervisor.servers.valkey import Valkey
from tests.contract.test_broker import batch, running
from tests.kit.waits import until

SALES = range(1, 301)
CONNECTIONS_MAX = 80  # of the whole test; one for each queue would be 300
RECLAIM_MS = 400
HEARD_S = 10.0  # on a slow machine


class Heard:
    """Batch ids by sale, as they were handled."""

    def __init__(self) -> None:
        self.ids: defaultdict[int, list[str]] = defaultdict(list)

    async def __call__(self, batches: Sequence[Batch]) -> None:
        for one in batches:
            self.ids[one.sale_id].append(one.batch_id)


@pytest.fixture
async def broker(broker_server: Valkey) -> AsyncIterator[RedisBroker]:
    opened = RedisBroker(broker_server.url, reclaim_after_ms=RECLAIM_MS)
    yield opened
    for sale_id in SALES:
        with contextlib.suppress(Exception):
            await opened.drop(sale_id)
    await opened.close()


@contextlib.asynccontextmanager
async def asleep(broker: RedisBroker, sale_ids: Sequence[int]) -> AsyncIterator[Heard]:
    """The sales are consumed, and their readers sleep."""
    heard = Heard()
    for sale_id in sale_ids:
        await broker.open(sale_id)
    bell = broker._bell
    assert bell is not None
    async with running(*(broker.consume(sale_id, "c1", heard) for sale_id in sale_ids)):
        await until(lambda: sleeping(broker) == len(sale_ids), 60)
        yield heard


def sleeping(broker: RedisBroker) -> int:
    assert broker._bell is not None
    return sum(ticket.covered.is_set() for ticket in broker._bell._tickets.values())


async def test_quiet_queues_share_a_connection_and_each_is_heard(
    broker: RedisBroker, broker_server: Valkey
) -> None:
    async with asleep(broker, SALES) as heard:
        client: Any = connect(broker_server.url)
        assert len(await client.client_list()) < CONNECTIONS_MAX
        await client.aclose()
        loop = asyncio.get_running_loop()
        for sale_id in random.Random(7).sample(SALES, 20):
            sent, at = batch(5, sale_id=sale_id), loop.time()
            await broker.publish(sent)
            await until(lambda s=sent: s.batch_id in heard.ids[s.sale_id], HEARD_S)  # type: ignore[misc]
            assert loop.time() - at < HEARD_S


async def test_nothing_is_missed_while_readers_fall_asleep(
    broker: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_reader, "AWAKE_S", 0.0)
    chance = random.Random(11)
    sales = range(1, 6)
    async with asleep(broker, sales) as heard:
        sent: defaultdict[int, list[str]] = defaultdict(list)
        for _ in range(150):
            one = batch(5, sale_id=chance.choice(sales))
            sent[one.sale_id].append(one.batch_id)
            await broker.publish(one)
            await asyncio.sleep(chance.choice((0, 0, 0.001, 0.01)))
        await until(lambda: heard.ids == sent, HEARD_S)


async def test_what_a_dead_consumer_left_in_a_quiet_queue_is_taken_over(
    broker: RedisBroker, broker_server: Valkey
) -> None:
    async with asleep(broker, [1, 2]) as heard:
        left = batch(5, sale_id=2)
        client: Any = connect(broker_server.url)
        queue = requests_of(2)
        async with client.pipeline(transaction=True) as pipe:  # before the bell can ring
            pipe.xadd(queue.key, {b"b": encode_batch(left)})
            pipe.xreadgroup(queue.group, "dead", {queue.key: ">"}, count=1)
            await pipe.execute()
        await client.aclose()
        await until(lambda: heard.ids[2] == [left.batch_id], HEARD_S)


@pytest.mark.parametrize("quiet", [True, False])
async def test_what_a_dead_consumer_left_is_taken_over_though_the_clock_was_set_back(
    broker: RedisBroker, broker_server: Valkey, quiet: bool
) -> None:
    """The server calls an entry idle by its own clock: not before that has caught up."""
    await broker.open(1)
    client: Any = connect(broker_server.url)
    queue, left = requests_of(1), batch(5, sale_id=1)
    await client.xadd(queue.key, {b"b": encode_batch(left)})
    [[_, [(entry_id, _)]]] = await client.xreadgroup(queue.group, "dead", {queue.key: ">"})
    later_ms = await server_ms(client) + 3_600_000
    await client.xclaim(queue.key, queue.group, "dead", 0, [entry_id], time=later_ms)
    heard = Heard()
    async with running(broker.consume(1, "c1", heard)):
        if not quiet:
            await broker.publish(batch(6, sale_id=1))
        await until(lambda: left.batch_id in heard.ids[1], HEARD_S)
    await client.aclose()


async def test_a_dropped_queue_ends_its_reader_and_no_other(broker: RedisBroker) -> None:
    heard = Heard()
    for sale_id in (1, 2):
        await broker.open(sale_id)
    first = asyncio.create_task(broker.consume(1, "c1", heard))
    async with running(broker.consume(2, "c1", heard)):
        await until(lambda: sleeping(broker) == 2, HEARD_S)
        await broker.drop(1)
        await asyncio.wait_for(first, HEARD_S)
        await broker.publish(sent := batch(5, sale_id=2))
        await until(lambda: heard.ids[2] == [sent.batch_id], HEARD_S)


async def test_sleepers_hear_a_server_that_came_back(
    broker: RedisBroker, broker_server: Valkey
) -> None:
    async with asleep(broker, [1, 2]) as heard:
        await broker_server.stop(signal.SIGKILL)
        await broker_server.start_again()
        sent = [batch(5, sale_id=1), batch(5, sale_id=2)]
        for one in sent:
            await broker.publish(one)
        expected = {one.sale_id: [one.batch_id] for one in sent}
        await until(lambda: heard.ids == expected, 3 * HEARD_S)
