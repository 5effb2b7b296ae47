"""What the doctor says of a RabbitMQ: fit, blocked by an alarm, with odd queues, or away."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from miaosha.adapters.keyring import generate
from miaosha.adapters.rabbitmq.examine import examine_rabbitmq
from miaosha.adapters.rabbitmq.link import Link
from miaosha.adapters.rabbitmq.topology import MAIL, log_of, requests_of
from miaosha.bootstrap.examining import examine, refuse_unfit
from miaosha.domain.errors import SettingsError
from miaosha.domain.findings import Examined, Fitness
from miaosha.ports.broker import Reminder
from miaosha.settings import Settings
from miaosha.supervisor.servers.rabbitmq import RabbitMq
from tests.contract.brokers import SALE, RabbitRig
from tests.contract.test_broker import running
from tests.kit.waits import until

pytestmark = pytest.mark.servers


@pytest.fixture
async def rig(rabbitmq: RabbitMq) -> AsyncIterator[RabbitRig]:
    rig = RabbitRig(rabbitmq.url)
    await rig.clean()
    await rig.broker.open(SALE)
    yield rig
    await rig.clean()
    await rig.close()


async def declare(url: str, name: str, kind: str) -> None:
    link = Link(url)
    async with link.channel() as channel:
        await channel.queue_declare(name, durable=True, arguments={"x-queue-type": kind})
    await link.close()


def by_what(found: list[Examined]) -> dict[str, Examined]:
    return {finding.what: finding for finding in found}


async def test_our_own_server_is_well_and_keeps_no_probe(
    rig: RabbitRig, rabbitmq: RabbitMq
) -> None:
    found = await examine_rabbitmq(rabbitmq.url, [SALE, 4711])
    assert {finding.verdict for finding in found} == {Fitness.OK}
    named = by_what(found)
    assert {"version", "cluster", "quorum queues", "stream queues", "alarms"} <= set(named)
    assert named["heartbeat"].found == "10 s"
    assert named[f"queue {requests_of(SALE).name}"].found == "quorum"
    assert named[f"queue {log_of(SALE)}"].found == "stream"
    assert f"queue {requests_of(4711).name}" not in named
    assert named["delay queues"].found == "what waited came out"
    assert "doctor." not in await rabbitmq.ctl("list_queues", "name")


async def test_several_may_look_at_once(rig: RabbitRig, rabbitmq: RabbitMq) -> None:
    looks = await asyncio.gather(*(examine_rabbitmq(rabbitmq.url) for _ in range(5)))
    assert {f.verdict for found in looks for f in found} == {Fitness.OK}


async def test_an_alarm_is_a_warning_so_that_consumers_may_start(
    rig: RabbitRig, rabbitmq: RabbitMq
) -> None:
    await rabbitmq.ctl("set_vm_memory_high_watermark", "0.0000001")
    try:

        async def warned() -> bool:
            found = by_what(await examine_rabbitmq(rabbitmq.url))
            return "alarms" in found and found["alarms"].verdict is Fitness.WARNING

        await until(warned, 60)
    finally:
        await rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")

    async def well() -> bool:
        found = await examine_rabbitmq(rabbitmq.url)
        return {finding.verdict for finding in found} == {Fitness.OK}

    await until(well, 60)


END_THEM = "[exit(P, kill) || {_,P,_,_} <- supervisor:which_children(rabbit_fifo_dlx_sup)]."
RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"


def cures() -> list[str]:
    """The runbook's, for delay queues that keep what they hold: arguments of rabbitmqctl eval."""
    _, _, section = RUNBOOK.read_text().partition("## A delay queue that keeps what it holds\n")
    section, _, _ = section.partition("\n## ")
    return re.findall(r"^rabbitmqctl eval '(.*?)'", section, re.MULTILINE | re.DOTALL)


async def test_delay_queues_that_keep_what_they_hold_are_found_and_cured(
    rig: RabbitRig, rabbitmq: RabbitMq
) -> None:
    """As RabbitMQ 3.10 has it once its supervisor of those who forward dead letters has ended."""
    due: list[Reminder] = []

    async def handler(reminders: Sequence[Reminder]) -> None:
        due.extend(reminders)

    await rig.broker.remind([Reminder(SALE, "before.1")], 0.999)  # so its queue is there
    await examine_rabbitmq(rabbitmq.url)
    await rabbitmq.ctl("eval", END_THEM)  # two at once, of that queue and of the look
    try:
        await rig.broker.remind([Reminder(SALE, "kept.1")], 0.999)
        found = by_what(await examine_rabbitmq(rabbitmq.url))
        assert found["delay queues"].verdict is Fitness.WARNING
        assert found["quorum queues"].verdict is Fitness.OK
    finally:
        asked, cure = cures()
        assert "undefined" in await rabbitmq.ctl("eval", asked)
        await rabbitmq.ctl("eval", cure)

    async def well() -> bool:
        found = by_what(await examine_rabbitmq(rabbitmq.url))
        return found["delay queues"].verdict is Fitness.OK

    await until(well, 30)
    async with running(rig.broker.reminders(handler)):
        await until(lambda: "kept.1" in {reminder.rid for reminder in due}, 20)


async def test_a_queue_of_another_kind_is_refused_and_strict_roles_do_not_start(
    rig: RabbitRig, rabbitmq: RabbitMq, node_url: str
) -> None:
    await declare(rabbitmq.url, MAIL.name, "classic")
    found = by_what(await examine_rabbitmq(rabbitmq.url))
    assert found["queue mail"].verdict is Fitness.REFUSED
    settings = Settings(
        redis_url=node_url, broker_url=rabbitmq.url, secret_keys=generate(), strict=True
    )
    assert found["queue mail"] in await examine(settings, sql=False)
    with pytest.raises(SettingsError, match="broker: queue mail"):
        await refuse_unfit(settings, sql=False)


async def test_one_that_is_away_is_a_finding() -> None:
    async with asyncio.timeout(20):
        [found] = await examine_rabbitmq("amqp://u:secret@127.0.0.1:1/")
    assert (found.what, found.found, found.verdict) == ("answers", "no", Fitness.REFUSED)
    assert "secret" not in found.advice
