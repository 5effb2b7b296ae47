"""The worker roles on bad days: one sale's garbage stops no other sale, and a role that cannot work
ends, so that it is started again, instead of looking alive.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Update, update

from miaosha.adapters.keyring import generate
from miaosha.adapters.redis.connect import Client, connect
from miaosha.adapters.sql.tables import sales
from miaosha.bootstrap import SchedulerParts
from miaosha.domain.errors import DependencyDown
from miaosha.domain.messages import Batch
from miaosha.serving.ending import end
from miaosha.serving.process import Process
from miaosha.settings import Settings
from miaosha.usecases.mail_queue import MailQueue
from miaosha.workers import consumer, mailer
from miaosha.workers.consumer import Consumer
from miaosha.workers.scheduler import Scheduler
from tests.contract.sql.shop import all_holds
from tests.kit.waits import until
from tests.usecases.conftest import Urls
from tests.usecases.test_histories import acknowledge_all, clean
from tests.usecases.world import NOUNS, Servers, World

DEADLINE_S = 10.0


@pytest.fixture
async def scheduler(world: World) -> AsyncIterator[Scheduler]:
    s = world.servers
    mail_queue = MailQueue(
        s.ledger.outbox, s.broker, None, s.clock, 3, "http://localhost", defaultdict(int)
    )
    parts = SchedulerParts(
        ledger=s.ledger,
        store=s.store,
        broker=s.broker,
        clock=s.clock,
        heartbeats=s.heartbeats,
        release=world.release,
        checkout=world.checkout,
        promoter=world.promoter,
        control=world.control,
        settlement=world.settlement,
        watch=world.watch,
        mail_queue=mail_queue,
        owner="scheduler-test",
        checks={},
    )
    settings = Settings(ungranted_after_ms=1)
    opened = Scheduler(parts, settings, world.counters)
    yield opened
    await opened.end_rounds()


def duty(scheduler: Scheduler, wanted: str) -> Callable[[], Awaitable[None]]:
    return next(work for name, _, work in scheduler.duties() if name == wanted)


async def spoil(servers: Servers, sale_id: int) -> None:
    """A place nobody can read, and the head of the line without one."""
    await servers.store._client.hset(f"{{sale:{sale_id}}}:users", "999999", "rubbish")
    await servers.store._client.zadd(f"{{sale:{sale_id}}}:standby", {"888888": 1})


async def test_a_sale_that_cannot_be_rebuilt_stops_no_other(
    world: World, scheduler: Scheduler
) -> None:
    broken, sound = await world.sale(stock=1), await world.sale(stock=1)
    await spoil(world.servers, broken.id)
    assert await world.servers.ledger.sales.freeze(broken.id, 1, "drill")
    batch = await world.press(sound.id, await world.users(1))
    await world.servers.store.decide(sound.id, 1, batch)  # its consumer dies here

    async def won() -> bool:
        await duty(scheduler, "sales")()
        return await world.state(sound.id, batch.user_ids[0]) == "held"

    await until(won)
    terms = await world.servers.ledger.sales.terms(broken.id)
    assert terms.frozen == "drill"


def _execute(statement: Update, connection: Connection) -> None:
    connection.execute(statement)


async def test_where_many_need_a_round_the_sale_that_opened_first_has_its_first(
    world: World, scheduler: Scheduler
) -> None:
    """After a restart of the store all do."""
    ids = [(await world.sale(stock=1)).id for _ in range(3)]
    opened_at = dict(zip(ids, (3_000, 1_000, 2_000), strict=True))
    for sale_id, at_ms in opened_at.items():
        assert await world.servers.ledger.sales.freeze(sale_id, 1, "drill")
        moved = update(sales).where(sales.c.id == sale_id).values(opens_at_ms=at_ms)
        await world.servers.ledger._db.write(partial(_execute, moved))
    await duty(scheduler, "sales")()
    assert list(scheduler._rounds) == sorted(ids, key=opened_at.__getitem__)


async def test_a_line_that_cannot_be_read_keeps_no_other_sales_positions_back(
    world: World, scheduler: Scheduler
) -> None:
    broken, sound = await world.sale(stock=1), await world.sale(stock=1)
    await spoil(world.servers, broken.id)
    batch = await world.press(sound.id, users := await world.users(2))
    await world.allocator.handle([batch])
    world.servers.bus.messages.clear()

    await duty(scheduler, "positions")()

    told = [item.user_id for m in world.servers.bus.messages for item in getattr(m, "items", [])]
    assert told == [users[1]]


@pytest.mark.parametrize(
    ("serve", "key", "on_broker"), [(consumer.serve, "sales", False), (mailer.serve, "mail", True)]
)
async def test_a_role_that_cannot_work_ends(
    world: World, urls: Urls, serve: Any, key: str, on_broker: bool
) -> None:
    client: Client = connect(urls.broker if on_broker else urls.store)
    await client.set(key, "not what it should be")
    settings = Settings(
        redis_url=urls.store,
        broker_url=urls.broker,
        database_url=f"sqlite:///{urls.directory}/template.sqlite",
        secret_keys=generate(),
    )
    process = Process("worker", "0", "")
    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        await asyncio.wait_for(serve(process, settings), DEADLINE_S)
    await client.aclose()


async def test_a_drained_consumer_handles_nothing_any_more(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    """Even if a library swallowed its cancellation: what a handler works on is closed next."""
    world = World(servers)
    sale = await world.sale(stock=10)
    handled, swallowed = 0, False

    async def handle(batches: Sequence[Batch]) -> None:
        nonlocal handled, swallowed
        handled += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if swallowed:
                raise
            swallowed = True

    consuming = Consumer(servers.broker, servers.ledger.sales, servers.store, handle, "one")
    following = asyncio.create_task(consuming.follow())
    await world.press(sale.id, await world.users(1))
    await world.press(sale.id, await world.users(1))

    async def in_hand() -> bool:
        return handled > 0

    await until(in_hand)
    await end([following])
    await consuming.drain()
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert swallowed and f"sale:{sale.id}" not in names
    assert "drain_late" not in caplog.text


class Leaving:
    """A port that can be away, with all its nouns."""

    def __init__(self, port: Any, away: asyncio.Event | None = None) -> None:
        self._port = port
        self.away = away or asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        if name in NOUNS:
            return Leaving(getattr(self._port, name), self.away)
        return self._down if self.away.is_set() else getattr(self._port, name)

    async def _down(self, *args: Any, **kwargs: Any) -> None:
        raise DependencyDown("away for a minute")


async def test_while_sql_is_away_deciding_goes_on_and_winners_wait(servers: Servers) -> None:
    ledger = Leaving(servers.ledger)
    world = World(replace(servers, ledger=ledger))
    sale = await world.sale(stock=1, standby=1)
    await world.allocator.handle([world.batch(sale.id, [])])
    users = await world.users(3)
    batch = await world.press(sale.id, users)

    ledger.away.set()
    await asyncio.wait_for(world.allocator.handle([batch]), DEADLINE_S)
    told = [[r.state for r in servers.bus.results(user)] for user in users]
    assert told == [[], ["standby"], ["sold_out"]], "nobody is told held before SQL knows it"

    ledger.away.clear()
    assert await world.state(sale.id, users[0]) == "queued"
    assert await world.promoter.grant_left_over(sale.id, 0) == 1
    assert [await world.state(sale.id, u) for u in users] == ["held", "standby", "none"]
    assert [r.state for r in servers.bus.results(users[0])] == ["held"]
    await acknowledge_all(world, sale.id)
    await clean(world, sale.id)


class Counting:
    """A store that counts what it is asked to decide."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.asked: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def decide_many(self, sale_id: int, epoch: int, batches: Sequence[Batch]) -> Any:
        self.asked.append(len(batches))
        return await self._store.decide_many(sale_id, epoch, batches)


async def test_a_long_pause_costs_the_store_one_batch_a_look(servers: Servers) -> None:
    store = Counting(servers.store)
    world = World(replace(servers, store=store))
    sale = await world.sale(stock=2)
    users = await world.users(5)
    batches = [await world.press(sale.id, [user]) for user in users]
    await world.control.pause(sale.id)
    deciding = asyncio.create_task(world.allocator.handle(batches))

    async def polled() -> bool:
        return len(store.asked) > 2

    await until(polled)
    await world.control.resume(sale.id)
    await asyncio.wait_for(deciding, DEADLINE_S)

    assert store.asked[0] == 5 and set(store.asked[1:-1]) == {1} and store.asked[-1] == 4
    states = [await world.state(sale.id, user) for user in users]
    assert states == ["held", "held", "standby", "standby", "standby"]
    await acknowledge_all(world, sale.id)
    await clean(world, sale.id)


async def test_while_the_broker_is_away_no_rebuild_begins(servers: Servers) -> None:
    broker = Leaving(servers.broker)
    world = World(replace(servers, broker=broker))
    sale = await world.sale(stock=1)
    await world.press(sale.id, await world.users(1))
    await acknowledge_all(world, sale.id)
    await servers.store._client.flushall()
    before = (
        await servers.ledger.sales.terms(sale.id),
        await all_holds(servers.ledger.holds, sale.id),
    )

    broker.away.set()
    for _ in range(3):
        with pytest.raises(DependencyDown):
            await world.settlement.heal(before[0])
    assert before == (
        await servers.ledger.sales.terms(sale.id),
        await all_holds(servers.ledger.holds, sale.id),
    )

    broker.away.clear()
    await world.settlement.heal(before[0])
    assert (await servers.ledger.sales.terms(sale.id)).epoch == before[0].epoch + 1
    await clean(world, sale.id)


async def test_a_role_lives_on_without_its_heartbeat(servers: Servers) -> None:
    await servers.store._client.set("heartbeats", "not what it should be")
    process = Process("worker", "0", "")

    beat = process.heartbeat(servers.heartbeats, servers.clock)
    tending = asyncio.create_task(process.tend(beat))
    done, _ = await asyncio.wait({tending}, timeout=0.3)
    assert not done
    process.stop.set()
    await asyncio.wait_for(tending, DEADLINE_S)


async def test_who_has_not_heard_the_stores_time_does_not_lead(
    world: World, scheduler: Scheduler
) -> None:
    """Its first answer is believed. It may be hours ahead: every hold would end, and the sale be
    settled. A leader compares it with the time of the last one first."""
    clock = world.servers.clock
    sale = await world.sale(stock=1)
    assert await scheduler._try_to_lead()
    await scheduler.step_down()
    clock.forget()
    assert not await scheduler._try_to_lead()
    clock.step(3_600_000)
    clock.believe()  # the first answer has come
    clock.hear()
    assert await scheduler._try_to_lead()
    terms = await world.servers.ledger.sales.terms(sale.id)
    assert terms.frozen is not None and terms.frozen.startswith("clock: nobody led")
