"""Mails from the outbox: a mail server that is away, and a mail that cannot be written."""

from collections import defaultdict

import pytest
from sqlalchemy import select

from miaosha.adapters.sql.tables import outbox
from miaosha.domain.errors import DependencyDown
from miaosha.domain.messages import MailJob
from miaosha.ports.mail import Mail
from miaosha.usecases.mail_queue import MailQueue
from tests.usecases.test_histories import acknowledge_all
from tests.usecases.world import World

ATTEMPTS = 8


class Mailbox:
    """A mail server that may be away."""

    def __init__(self) -> None:
        self.away = False
        self.odd = "nobody"
        self.mails: list[Mail] = []

    async def send(self, mail: Mail) -> None:
        if self.away:
            raise DependencyDown("mail server")
        if mail.to.endswith(self.odd):
            raise RuntimeError("nobody thought of this")
        self.mails.append(mail)

    async def close(self) -> None: ...


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def mail_queue(world: World, mailbox: Mailbox) -> MailQueue:
    s = world.servers
    counters: defaultdict[str, float] = defaultdict(int)
    return MailQueue(
        s.ledger.outbox, s.broker, mailbox, s.clock, ATTEMPTS, "http://localhost", counters
    )


async def winners(world: World, count: int) -> tuple[int, list[int]]:
    sale = await world.sale(stock=count, pay_within_s=3_600)
    await world.press(sale.id, users := await world.users(count))
    await acknowledge_all(world, sale.id)
    return sale.id, users


async def states(world: World) -> list[str]:
    query = select(outbox.c.state).order_by(outbox.c.id)
    found: list[str] = await world.servers.ledger._db.read(
        lambda connection: list(connection.execute(query).scalars())
    )
    return found


async def deliver_due(world: World, mail_queue: MailQueue) -> int:
    """What is due now, relayed and handed to the mailer."""
    due = await world.servers.ledger.outbox.due(world.servers.clock.now_ms(), 100)
    assert await mail_queue.relay() == len(due)
    for item in due:
        await mail_queue.deliver(MailJob(item.id, item.dedupe_key))
    return len(due)


async def test_a_mail_server_that_is_away_for_twenty_minutes_costs_no_mail_and_no_checkout(
    world: World, mail_queue: MailQueue, mailbox: Mailbox
) -> None:
    sale_id, users = await winners(world, 1)
    mailbox.away = True
    await deliver_due(world, mail_queue)
    await world.pay(sale_id, users[0])
    tried = 0
    for _ in range(20):
        world.servers.clock.advance(60_000)
        tried += await deliver_due(world, mail_queue)
    assert await states(world) == ["queued", "queued"]
    assert tried < 2 * ATTEMPTS, "no storm"

    mailbox.away = False
    world.servers.clock.advance(600_000)
    await deliver_due(world, mail_queue)
    world.servers.clock.advance(3_600_000)

    assert await deliver_due(world, mail_queue) == 0
    assert await states(world) == ["sent", "sent"]
    assert len({mail.message_id for mail in mailbox.mails}) == len(mailbox.mails) == 2


async def test_a_mail_server_that_stays_away_parks_the_mail(
    world: World, mail_queue: MailQueue, mailbox: Mailbox
) -> None:
    await winners(world, 1)
    mailbox.away = True
    for _ in range(2 * ATTEMPTS):
        await deliver_due(world, mail_queue)
        world.servers.clock.advance(600_000)
    assert await states(world) == ["parked"]


async def test_a_letter_nobody_can_write_stands_in_no_others_way(
    world: World, mail_queue: MailQueue, mailbox: Mailbox
) -> None:
    await winners(world, 2)
    mailbox.odd = ".0@example.org"
    for _ in range(2 * ATTEMPTS):
        await deliver_due(world, mail_queue)
        world.servers.clock.advance(600_000)
    assert await states(world) == ["parked", "sent"]


async def test_a_mail_is_sent_once_while_sql_cannot_be_told(
    world: World, mail_queue: MailQueue, mailbox: Mailbox
) -> None:
    await winners(world, 1)
    outbox_rows = world.servers.ledger.outbox
    [item] = await outbox_rows.due(world.servers.clock.now_ms(), 10)
    job = MailJob(item.id, item.dedupe_key)
    mark_sent = outbox_rows.mark_sent

    async def away(outbox_id: int, now_ms: int) -> bool:
        raise DependencyDown("database: is locked")

    outbox_rows.mark_sent = away
    for _ in range(3):
        with pytest.raises(DependencyDown):
            await mail_queue.deliver(job)
    outbox_rows.mark_sent = mark_sent
    await mail_queue.deliver(job)
    assert len(mailbox.mails) == 1 and await states(world) == ["sent"]
