"""Parked has one meaning: given up on, listed, counted, told, and sent again by one command."""

import asyncio
import contextlib
from collections import defaultdict
from typing import Any

import pytest

from miaosha.domain.errors import DependencyDown, Fault, Problem
from miaosha.domain.messages import MailJob
from miaosha.usecases.mail_queue import MailQueue
from miaosha.usecases.parked import ParkedKind, Parking
from miaosha.workers.scheduler import LEASE
from tests.kit.waits import until
from tests.usecases.conftest import Urls, fresh_servers
from tests.usecases.test_mail_queue import ATTEMPTS, Mailbox, deliver_due, states, winners
from tests.usecases.test_workers import scheduler as scheduler
from tests.usecases.world import Died, Fate, Mortal, Servers, World

EVERYTHING = 100


def mail_queue_of(
    world: World, mailbox: Mailbox, outbox: Any = None, broker: Any = None
) -> MailQueue:
    s = world.servers
    counters: defaultdict[str, float] = defaultdict(int)
    outbox, broker = outbox or s.ledger.outbox, broker or s.broker
    return MailQueue(outbox, broker, mailbox, s.clock, ATTEMPTS, "http://localhost", counters)


def parking_of(servers: Servers) -> Parking:
    return Parking(servers.ledger.outbox, servers.broker, servers.trail, servers.clock)


async def given_up(world: World, mail_queue: MailQueue, mailbox: Mailbox, count: int) -> None:
    """Mails to `count` winners, while the mail server is away for an hour and a half."""
    await winners(world, count)
    mailbox.away = True
    for _ in range(ATTEMPTS + 1):
        await deliver_due(world, mail_queue)
        world.servers.clock.advance(600_000)
    assert set(await states(world)) == {"parked"}
    mailbox.away = False


async def test_a_mail_given_up_on_is_listed_and_sent_again_once(world: World) -> None:
    mailbox, parking = Mailbox(), parking_of(world.servers)
    mail_queue = mail_queue_of(world, mailbox)
    await given_up(world, mail_queue, mailbox, 1)
    [item] = await parking.list(EVERYTHING)
    assert (item.kind, item.source, item.reason) == (ParkedKind.MAIL, "won", "mail server")
    assert item.mail is not None and item.mail.email.endswith("@example.org")
    assert await parking.counts() == (0, 1)

    assert await parking.redrive("cli", item.id)
    assert not await parking.redrive("cli", item.id), "a repeated command sends no second job"
    assert await parking.list(EVERYTHING) == []
    assert await deliver_due(world, mail_queue) == 1
    assert await deliver_due(world, mail_queue) == 0
    assert await states(world) == ["sent"]
    assert len(mailbox.mails) == 1
    [entry] = await world.servers.trail.entries(None, 1)
    assert (entry.action, entry.subject) == ("parked.redrive", f"parked:{item.id}")


async def test_the_letter_keeps_its_message_id(world: World) -> None:
    """The mail server had it after all, and only its answer was lost."""
    mailbox, parking = Mailbox(), parking_of(world.servers)
    taken: list[str] = []
    send = mailbox.send

    async def lose_the_answer(mail: Any) -> None:
        taken.append(mail.message_id)
        raise DependencyDown("mail server")

    mailbox.send = lose_the_answer  # type: ignore[method-assign]
    mail_queue = mail_queue_of(world, mailbox)
    await given_up(world, mail_queue, mailbox, 1)
    mailbox.send = send  # type: ignore[method-assign]
    [item] = await parking.list(EVERYTHING)
    await parking.redrive("cli", item.id)
    await deliver_due(world, mail_queue)
    assert {mail.message_id for mail in mailbox.mails} == set(taken)
    assert len(mailbox.mails) == 1


async def test_a_job_from_before_sends_no_second_letter(world: World) -> None:
    """The queue may hold jobs of tries long ago, and delivers each at least once."""
    mailbox, parking = Mailbox(), parking_of(world.servers)
    mail_queue = mail_queue_of(world, mailbox)
    await given_up(world, mail_queue, mailbox, 1)
    [item] = await parking.list(EVERYTHING)
    assert item.mail is not None
    old = MailJob(item.mail.id, f"won:{item.mail.rid}")
    await mail_queue.deliver(old)
    assert mailbox.mails == [], "parked is parked"
    await parking.redrive("cli", item.id)
    for _ in range(3):
        await mail_queue.deliver(old)
    await deliver_due(world, mail_queue)
    assert len(mailbox.mails) == 1


async def test_all_mails_are_sent_again_by_one_command(world: World) -> None:
    mailbox, parking = Mailbox(), parking_of(world.servers)
    mail_queue = mail_queue_of(world, mailbox)
    await given_up(world, mail_queue, mailbox, 7)
    assert await parking.redrive_mails("cli") == 7
    assert await parking.redrive_mails("cli") == 0
    assert await deliver_due(world, mail_queue) == 7
    assert len(mailbox.mails) == 7


async def test_messages_and_mails_are_one_list(world: World) -> None:
    mailbox, parking = Mailbox(), parking_of(world.servers)
    mail_queue = mail_queue_of(world, mailbox)
    await given_up(world, mail_queue, mailbox, 2)
    await world.servers.broker._client.xadd(
        "parked", {"queue": "mail", "reason": "junk", "raw": b"junk", "size": 4}
    )
    items = await parking.list(EVERYTHING)
    assert sorted(item.kind for item in items) == ["mail", "mail", "message"]
    assert [i.parked_at_ms for i in items] == sorted((i.parked_at_ms for i in items), reverse=True)
    assert len(await parking.list(1)) == 1
    assert await parking.counts() == (1, 2)


@pytest.mark.parametrize(
    "nonsense", ["mail-", "mail-x", "mail-99999", "mail-" + "9" * 30, "1-1", ""]
)
async def test_nothing_is_parked_under_an_id_that_is_none(world: World, nonsense: str) -> None:
    assert not await parking_of(world.servers).redrive("cli", nonsense)


async def test_why_a_mail_was_given_up_on_names_no_person(world: World) -> None:
    mailbox, parking = Mailbox(), parking_of(world.servers)
    mail_queue = mail_queue_of(world, mailbox)
    _, users = await winners(world, 2)
    errors = iter([Problem("bad_request", "The mail server refused this mail (550).")] * 1)

    async def refuse(mail: Any) -> None:
        raise next(errors, RuntimeError(f"no mailbox {mail.to}"))

    mailbox.send = refuse  # type: ignore[method-assign]
    for _ in range(ATTEMPTS + 1):
        await deliver_due(world, mail_queue)
        world.servers.clock.advance(600_000)
    reasons = sorted(item.reason for item in await parking.list(EVERYTHING))
    assert reasons == ["RuntimeError", "The mail server refused this mail (550)."]
    assert len(users) == 2


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("survived", [False, True], ids=["died", "failed"])
async def test_dying_anywhere_on_the_way_back_loses_no_mail(
    urls: Urls, after: bool, survived: bool
) -> None:
    for at in range(1, 20):
        async with fresh_servers(urls) as servers:
            world, mailbox = World(servers), Mailbox()
            await given_up(world, mail_queue_of(world, mailbox), mailbox, 1)
            fate = Fate(at, after, survived=survived)
            outbox, broker = Mortal(servers.ledger.outbox, fate), Mortal(servers.broker, fate)
            with contextlib.suppress(Died, Fault):
                trail = Mortal(servers.trail, fate)
                parking = Parking(outbox, broker, trail, servers.clock)
                [item] = await parking.list(EVERYTHING)
                await parking.redrive("cli", item.id)
                await deliver_due(world, mail_queue_of(world, mailbox, outbox, broker))
            await parking_of(servers).redrive_mails("cli")  # the command is repeated
            for _ in range(3):
                servers.clock.advance(601_000)
                await deliver_due(world, mail_queue_of(world, mailbox))
            assert await states(world) == ["sent"], fate.where
            assert len({mail.message_id for mail in mailbox.mails}) == 1, fate.where
        if not fate.where:
            assert at > 5
            return
    raise AssertionError("the way back never ended")


async def test_the_scheduler_counts_what_is_parked_and_says_so_when_it_grows(
    world: World, scheduler: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    mailbox, parking = Mailbox(), parking_of(world.servers)
    await given_up(world, mail_queue_of(world, mailbox), mailbox, 2)
    count = next(work for name, _, work in scheduler.duties() if name == "parked")

    async def told() -> int:
        capsys.readouterr()
        await count()
        return capsys.readouterr().out.count("mails=2")

    assert await told() == 1
    assert await told() == 0, "once"
    assert world.counters["parked_mails"] == 2
    await parking.redrive_mails("cli")
    assert await told() == 0
    assert world.counters["parked_mails"] == 0


async def test_who_leads_no_longer_counts_nothing_as_parked(world: World, scheduler: Any) -> None:
    """What it counted last would stand in its metrics for as long as it follows."""
    mailbox, ledger = Mailbox(), world.servers.ledger
    await given_up(world, mail_queue_of(world, mailbox), mailbox, 2)
    running = asyncio.create_task(scheduler.run())

    async def counted() -> bool:
        return world.counters["parked_mails"] == 2

    async def another_leads() -> bool:
        row, _ = await ledger.leases.take(LEASE, "another", 0, None)
        row, _ = await ledger.leases.take(LEASE, "another", 0, row)
        return bool(row.owner == "another")

    async def follows() -> bool:
        return world.counters["leading"] == 0

    for reached in (counted, another_leads, follows):
        await until(reached)
    running.cancel()
    await asyncio.wait({running})
    assert world.counters["parked_mails"] == 0
