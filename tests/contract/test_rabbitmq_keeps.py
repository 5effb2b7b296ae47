"""What RabbitMQ must never lose: a batch of a queue that is seconds old, one that is delivered
again and again, one its queue has lost, and a parked message that several look at."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from miaosha.adapters.rabbitmq.auditing import RabbitQueueReader
from miaosha.adapters.rabbitmq.broker import RabbitBroker
from miaosha.adapters.rabbitmq.topology import (
    MAIL,
    PARKED,
    REMINDERS,
    arguments_of,
    count,
    delay_of,
    log_of,
    requests_of,
)
from miaosha.domain.errors import Fault, OutcomeUnknown
from miaosha.domain.messages import Batch, MailJob, MalformedMessage, decode_mail
from miaosha.ports.auditing import Logged
from miaosha.ports.broker import Reminder
from miaosha.supervisor.servers.rabbitmq import RabbitMq, start_rabbitmq
from tests.contract.brokers import SALE, RabbitRig
from tests.contract.test_broker import Seen, batch, empty, running
from tests.contract.test_examine_rabbitmq import cures
from tests.contract.test_rabbitmq_faults import log_ids, works
from tests.kit.waits import until

servers = pytest.mark.servers


@pytest.fixture
async def rig(rabbitmq: RabbitMq) -> AsyncIterator[RabbitRig]:
    rig = RabbitRig(rabbitmq.url)
    await works(rig.clean)
    await works(lambda: rig.broker.open(SALE))
    yield rig
    await rig.close()


@servers
async def test_a_batch_confirmed_by_a_new_queue_outlives_a_kill(run_dir: Path) -> None:
    server = await start_rabbitmq(run_dir)
    broker = RabbitBroker(server.url, now_ms=lambda: 1)
    try:
        await works(lambda: broker.open(SALE))  # the first this server ever made
        await broker.publish(one := batch(1, 2))
        await server.stop(signal.SIGKILL)
        await server.start()
        seen = Seen()
        async with running(broker.consume(SALE, "c1", seen)):
            await until(lambda: seen.batches == [one], 60)
        await works(lambda: broker.publish(batch(3)))
        assert one.batch_id in await log_ids(broker)
    finally:
        await broker.close()
        await server.stop()


@servers
async def test_nothing_is_confirmed_before_a_new_queue_is_safe(rig: RabbitRig) -> None:
    await rig.broker.drop(SALE)
    broker = rig.another(settle_s=30.0)

    async def made() -> bool:
        return await rig.exists()

    async with running(broker.open(SALE)):
        await until(made, 20)
        with pytest.raises(Fault):
            await broker.publish(batch(1))
    await broker.close()
    other = rig.another(settle_s=0.0)  # comes to a queue that is there, but not in use
    await other.open(SALE)
    await other.publish(batch(1))
    await other.close()


@servers
async def test_a_log_in_use_is_opened_at_once(rig: RabbitRig) -> None:
    await rig.broker.publish(batch(1))

    async def counted() -> bool:  # a server counts its streams every few seconds
        return (await count(rig._link, log_of(SALE))).ready > 0

    await until(counted, 30)
    late = rig.another(settle_s=600.0)
    async with asyncio.timeout(20):
        await late.open(SALE)
    await late.close()


@servers
async def test_of_queue_and_log_the_log_is_right(rig: RabbitRig, rabbitmq: RabbitMq) -> None:
    """A batch its queue has lost is neither open nor decided: the audit finds it (I3), the sale is
    frozen, and the rebuild decides what the log has."""
    await rig.broker.publish(one := batch(1, 2))
    await rabbitmq.ctl("purge_queue", requests_of(SALE).name)
    reader = RabbitQueueReader(rabbitmq.url)
    log = await reader.open(SALE)
    assert log is not None
    found = [entry async for page in log.pages() for entry in page]
    await reader.close()
    assert found == [Logged(one.batch_id, 2, open=False)]
    await rig.broker.publish(marker := batch())
    assert [b async for b in rig.broker.replay(SALE, marker.batch_id)] == [one]


@servers
async def test_redelivery_never_drops(rig: RabbitRig) -> None:
    await rig.broker.publish(one := batch(1))
    for _ in range(30):  # more often than the 20 that servers from 4.0 on allow by default
        taken = asyncio.Event()

        async def hold(batches: Any, taken: asyncio.Event = taken) -> None:
            taken.set()
            await asyncio.Event().wait()

        async with running(rig.broker.consume(SALE, "c1", hold)):
            await asyncio.wait_for(taken.wait(), 20)
    seen = Seen()
    async with running(rig.broker.consume(SALE, "c1", seen)):
        await empty(rig.broker)
    assert seen.batches == [one]
    assert await rig.broker.parked() == []


class Versioned:
    """A link that knows its server's version, and nothing else."""

    def __init__(self, *version: int) -> None:
        self._version = version

    async def version(self) -> tuple[int, ...]:
        return self._version


@pytest.mark.parametrize(("version", "limit"), [((3, 10, 8), None), ((4, 0, 0), -1), ((4, 3), -1)])
async def test_no_server_is_left_its_own_delivery_limit(
    version: tuple[int, ...], limit: int | None
) -> None:
    link: Any = Versioned(*version)
    arguments = await arguments_of(link, requests_of(SALE))
    assert arguments.get("x-delivery-limit") == limit
    assert arguments["x-queue-type"] == "quorum"


def test_what_is_deleted_forwards_no_dead_letters_at_least_once() -> None:
    """3.10 may lose the supervisor of all that do: see `delay_of`."""
    queues = (requests_of(SALE), MAIL, PARKED, REMINDERS, delay_of(250))
    at_least_once = [q.name for q in queues if "x-dead-letter-strategy" in q.arguments]
    assert at_least_once == ["reminders.in.250ms"]


@servers
async def test_a_server_that_forwards_no_dead_letters_takes_purchases(
    rig: RabbitRig, rabbitmq: RabbitMq
) -> None:
    """As 3.10 is until its next start, after what `delay_of` tells."""
    end_them = "supervisor:terminate_child(rabbit_sup, rabbit_fifo_dlx_sup)."
    await rabbitmq.ctl("eval", end_them)
    try:
        await rig.broker.drop(SALE)
        await rig.broker.open(SALE)
        await rig.broker.publish(one := batch(1))
        await rig.broker.send_mail([MailJob(1, "won:a.1")])
        seen = Seen()
        async with running(rig.broker.consume(SALE, "c1", seen)):
            await until(lambda: seen.batches == [one])
    finally:
        _, cure = cures()
        await rabbitmq.ctl("eval", cure)


@servers
async def test_a_channel_the_server_closes_costs_no_batch(rig: RabbitRig) -> None:
    broker = rig.another()
    assert isinstance(broker, RabbitBroker)
    confirmed: list[Batch] = []
    unknown: list[Batch] = []

    async def press(one: Batch) -> None:
        try:
            await broker.publish(one)
            confirmed.append(one)
        except OutcomeUnknown:
            unknown.append(one)

    await press(batch(0))
    shared = broker._link._shared
    assert shared is not None
    sent = [press(batch(n)) for n in range(1, 200)]
    await asyncio.gather(*sent, _close_by_server(shared))
    await works(lambda: press(batch(200)))
    await until(lambda: not broker._unknown, 20)
    seen = Seen()
    async with running(broker.consume(SALE, "c1", seen)):
        await empty(broker)
    assert {b.batch_id for b in confirmed + unknown} <= {b.batch_id for b in seen.batches}
    assert confirmed
    await broker.close()


async def _close_by_server(channel: Any) -> None:
    """Ask for a queue there is not: the server answers by closing the channel."""
    with pytest.raises(Exception, match="no queue"):
        await channel.queue_declare("nowhere", passive=True)


@servers
async def test_looking_at_parked_messages_while_another_puts_them_back(rig: RabbitRig) -> None:
    many = 12
    for n in range(many):
        await rig.put(b"junk %d" % n)
    async with running(rig.broker.consume(SALE, "c1", Seen())):
        await empty(rig.broker)
    parked = await rig.broker.parked()
    assert len(parked) == many
    other = rig.another()
    lengths: list[int] = []

    async def look() -> None:
        while len(lengths) < 200:
            lengths.append(len(await rig.broker.parked()))
            if lengths[-1] == 0:
                return

    async def put_back() -> None:
        for entry in parked:
            assert await other.redrive(entry.id) is True
            assert await other.redrive(entry.id) is False

    async with asyncio.timeout(60):
        await asyncio.gather(look(), put_back())
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] == 0
    await other.close()


@servers
async def test_a_delay_queue_that_takes_nothing_is_said_so(
    rig: RabbitRig, rabbitmq: RabbitMq
) -> None:
    """The granter then leaves the hold to the sweep; and reminders go on once it takes some."""
    none = ("none", "^reminders", '{"max-length":0}', "--apply-to", "queues")
    await rabbitmq.ctl("set_policy", *none)
    try:

        async def refused() -> bool:  # a policy reaches a queue after a moment
            try:
                await rig.broker.remind([Reminder(SALE, "a.1")], 0.5)
            except Fault:
                return True
            return False

        await until(refused, 60)
    finally:
        await rabbitmq.ctl("clear_policy", "none")
    await works(lambda: rig.broker.remind([Reminder(SALE, "a.2")], 0.25))
    due: list[str] = []

    async def handler(reminders: Sequence[Reminder]) -> None:
        due.extend(reminder.rid for reminder in reminders)

    async with running(rig.broker.reminders(handler)):
        await until(lambda: "a.2" in due, 60)


@servers
async def test_the_client_logs_nothing_of_a_lost_connection(
    rig: RabbitRig, rabbitmq: RabbitMq, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await rig.broker.publish(batch(1))
    await rabbitmq.ctl("close_all_connections", "test")

    await works(lambda: rig.broker.publish(batch(2)))
    assert [r for r in caplog.records if r.name.startswith("aiormq")] == []


def test_mail_jobs_survive_the_wire_and_junk_does_not() -> None:
    assert decode_mail(b"\x82\xa9outbox_id\x01\xaadedupe_key\xa1k") == MailJob(1, "k")
    for junk in (b"", b"\xff", b"\x81\xa9outbox_id\xa1x"):
        with pytest.raises(MalformedMessage):
            decode_mail(junk)
