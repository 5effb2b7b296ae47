"""The audit: every invariant broken on purpose is named, alone; what is sound or heals is clean."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uuid_utils

from miaosha.adapters.redis.connect import connect
from miaosha.bootstrap.auditing import open_auditor
from miaosha.domain.errors import DependencyDown, Problem
from miaosha.usecases.audit import Auditor, Verdict
from tests.usecases.conftest import Urls
from tests.usecases.stage import BATCHES, META, SALE, STANDBY, UNGRANTED, USERS, Stage

Break = Callable[[Stage], Awaitable[None]]


class Scene:
    """A stage and an auditor whose waiting is instant: `meanwhile` are what happens in it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.auditor: Auditor
        self.slept: list[float] = []
        self.meanwhile: list[Callable[[], Awaitable[None]]] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.meanwhile:
            await self.meanwhile.pop(0)()

    async def audit(self) -> Verdict:
        return await self.auditor.audit(SALE)


@asynccontextmanager
async def opened(urls: Urls) -> AsyncIterator[Scene]:
    path = urls.directory / f"{uuid_utils.uuid7()}.sqlite"
    shutil.copy(urls.directory / "template.sqlite", path)
    store, broker = connect(urls.store), connect(urls.broker)
    await store.flushall()
    await broker.flushall()
    seconds, _ = await store.time()
    scene = Scene(Stage(path, store, broker, seconds * 1000))
    await scene.stage.set_up()
    async with open_auditor(urls.store, urls.broker, f"sqlite:///{path}", scene.sleep) as auditor:
        scene.auditor = auditor
        yield scene
    await store.aclose()
    await broker.aclose()


@pytest.fixture
async def scene(urls: Urls) -> AsyncIterator[Scene]:
    async with opened(urls) as fresh:
        yield fresh


def broken(verdict: Verdict) -> set[str]:
    return {finding.invariant for finding in verdict.findings}


async def test_a_sound_sale_is_clean_at_once(scene: Scene) -> None:
    verdict = await scene.audit()
    assert verdict.findings == []
    assert verdict.clean
    assert scene.slept == []
    assert verdict.sale_id == SALE
    assert abs(verdict.checked_at_ms - scene.stage.now_ms) < 60_000
    expected = {"stock": 5, "granted": 4, "sold": 1, "free": 0, "held": 4, "standby": 2}
    expected |= {"ungranted": 1, "batches": 5, "requests": 12, "waiting": 2, "store_checked": 1}
    assert {name: verdict.counts[name] for name in expected} == expected


def sql(statement: str) -> Break:
    async def run(stage: Stage) -> None:
        stage.sql(statement)

    return run


def place(user: int, text: str) -> Break:
    async def run(stage: Stage) -> None:
        await stage.store.hset(USERS, str(user), text)

    return run


def counters(**values: int) -> Break:
    async def run(stage: Stage) -> None:
        await stage.counters(**values)

    return run


async def lost(stage: Stage) -> None:
    await stage.drop_store()


async def amid_a_rebuild(stage: Stage) -> None:
    await stage.store.hdel(META, "epoch")


async def restarted(stage: Stage) -> None:
    await stage.store.hset(META, "run_id", "0" * 40)


async def no_outcome(stage: Stage) -> None:
    await stage.acknowledge()


async def record_lost(stage: Stage) -> None:
    await stage.store.hdel(BATCHES, "b")


async def record_short(stage: Stage) -> None:
    await stage.store.hset(BATCHES, "a", "hhh")


async def record_garbled(stage: Stage) -> None:
    await stage.store.hset(BATCHES, "b", "x?x")


async def two_units(stage: Stage) -> None:
    stage.settle()
    stage.sql("UPDATE holds SET state = 'RELEASED', reason = 'declined' WHERE state != 'PAID'")
    stage.sql("DELETE FROM outbox WHERE event = 'expired'")
    stage.hold("z.0", 2, "PAID", 20, live_user=99)
    stage.mail("won", "z.0")
    stage.pay("z.0", 2)
    stage.sql("UPDATE ledger SET granted = 2, sold = 2")


async def oversold(stage: Stage) -> None:
    stage.sql("UPDATE ledger SET stock = 3")


async def overtaken(stage: Stage) -> None:
    await stage.store.hset(USERS, "7", "standby|b.0|3|1|0")
    await stage.store.zadd(STANDBY, {"7": 3})


async def ghost_in_the_line(stage: Stage) -> None:
    await stage.store.zadd(STANDBY, {"99": 99})


async def not_in_the_line(stage: Stage) -> None:
    await stage.store.zrem(STANDBY, "10")


async def forgotten_by_all(stage: Stage) -> None:
    await stage.store.delete(UNGRANTED)


async def told_released(stage: Stage) -> None:
    stage.sql("UPDATE holds SET state = 'RELEASED', reason = 'declined' WHERE rid = 'a.0'")
    stage.sql("UPDATE ledger SET granted = 3")


async def paid_reads_held(stage: Stage) -> None:
    await stage.store.hset(USERS, "2", "held|a.1|2|3|9000")
    await stage.counters(held=5, paid=0)


async def paid_by_another(stage: Stage) -> None:
    await stage.store.hset(USERS, "2", "paid|zz.0|2|3|9000")


async def order_lost(stage: Stage) -> None:
    stage.sql("DELETE FROM orders")


async def money_without_a_unit(stage: Stage) -> None:
    stage.sql("UPDATE payments SET rid = 'a.0', captured_rid = 'a.0'")


async def second_mail(stage: Stage) -> None:
    stage.mail("paid", "a.1", "again")


async def mail_about_nobody(stage: Stage) -> None:
    stage.mail("won", "nobody.0")


async def wrong_mail(stage: Stage) -> None:
    stage.mail("expired", "a.0")


BROKEN: list[tuple[str, str, Break]] = [
    ("I1", "the sum is not the stock", counters(stock=6)),
    ("I1", "held is miscounted", counters(held=5, stock=6)),
    ("I1", "fewer than none are free", counters(free=-1, held=5)),
    ("I1", "an unreadable place", place(8, "what|is|this")),
    ("I1", "an unreadable record", record_garbled),
    ("I1", "everything is lost", lost),
    ("I1", "left amid a rebuild", amid_a_rebuild),
    ("I1", "another epoch", counters(epoch=4)),
    ("I1", "another server", restarted),
    ("I2", "more given out than there are", oversold),
    ("I2", "given out is miscounted", sql("UPDATE ledger SET granted = 5")),
    ("I2", "sold is miscounted", sql("UPDATE ledger SET sold = 2")),
    ("I2", "an order is missing", order_lost),
    ("I2", "an order without a hold", sql("UPDATE orders SET rid = 'a.0'")),
    ("I2", "an order without money", sql("UPDATE payments SET state = 'refused'")),
    ("I2", "money without a unit", money_without_a_unit),
    ("I3", "acknowledged without an outcome", no_outcome),
    ("I3", "a record is lost", record_lost),
    ("I3", "a record is too short", record_short),
    ("I4", "two units of one buyer", two_units),
    ("I5", "a unit lies idle", counters(stock=6, free=1)),
    ("I6", "somebody was overtaken", overtaken),
    ("I6", "a ghost in the line", ghost_in_the_line),
    ("I6", "somebody is missing in the line", not_in_the_line),
    ("I7", "held under another request", place(1, "held|zz.0|1|2|9000")),
    ("I7", "held, neither granted nor to be", forgotten_by_all),
    ("I7", "released, told, and held all the same", told_released),
    ("I8", "paid reads held", paid_reads_held),
    ("I8", "paid under another request", paid_by_another),
    ("I9", "a mail is missing", sql("DELETE FROM outbox WHERE event = 'paid'")),
    ("I9", "a mail was written twice", second_mail),
    ("I9", "a mail about nobody", mail_about_nobody),
    ("I9", "a mail that is not true", wrong_mail),
]


@pytest.mark.parametrize(
    ("invariant", "change"),
    [(invariant, change) for invariant, _, change in BROKEN],
    ids=[f"{invariant} {name}" for invariant, name, _ in BROKEN],
)
async def test_what_is_broken_is_named_alone(scene: Scene, invariant: str, change: Break) -> None:
    await change(scene.stage)
    verdict = await scene.audit()
    assert broken(verdict) == {invariant}, verdict.findings
    assert not verdict.clean
    assert sum(scene.slept) == pytest.approx(3.0)
    assert all(finding.detail and "None" not in finding.detail for finding in verdict.findings)


async def test_a_difference_that_heals_within_three_seconds_is_none(scene: Scene) -> None:
    await place(1, "held|zz.0|1|2|9000")(scene.stage)

    async def heal() -> None:
        await place(1, "held|a.0|1|2|9000")(scene.stage)

    scene.meanwhile = [heal]
    assert (await scene.audit()).clean
    assert sum(scene.slept) == pytest.approx(3.0)


async def test_two_passing_differences_are_not_one_that_lasts(scene: Scene) -> None:
    await place(1, "held|zz.0|1|2|9000")(scene.stage)

    async def another() -> None:
        await place(1, "held|a.0|1|2|9000")(scene.stage)
        await place(5, "held|zz.1|5|3|9000")(scene.stage)

    scene.meanwhile = [another]
    assert (await scene.audit()).clean


async def test_debts_the_ledger_has_written_down_are_no_difference(scene: Scene) -> None:
    scene.stage.sql(
        "UPDATE holds SET state = 'RELEASED', reason = 'declined', synced = 0 WHERE rid = 'a.0'"
    )
    scene.stage.sql("UPDATE ledger SET granted = 3")
    scene.stage.sql("UPDATE holds SET synced = 0 WHERE rid = 'a.1'")
    await paid_reads_held(scene.stage)
    verdict = await scene.audit()
    assert verdict.clean, verdict.findings
    assert verdict.counts["unsynced"] == 2


async def test_a_frozen_sale_amid_its_rebuild_is_judged_by_sql_alone(scene: Scene) -> None:
    scene.stage.sql("UPDATE ledger SET epoch = 2, frozen = 'the store was restarted'")
    await amid_a_rebuild(scene.stage)
    verdict = await scene.audit()
    assert verdict.clean
    assert verdict.counts["store_checked"] == 0
    scene.stage.sql("UPDATE ledger SET sold = 0")
    assert broken(await scene.audit()) == {"I2"}


async def test_a_sale_frozen_for_a_person_to_look_at_still_says_why(scene: Scene) -> None:
    scene.stage.sql("UPDATE ledger SET epoch = 2, frozen = 'manual: I7'")
    await place(1, "held|zz.0|1|2|9000")(scene.stage)
    assert broken(await scene.audit()) == {"I7"}


async def test_after_a_rebuild_a_lower_rank_in_the_line_is_nobodys_fault(scene: Scene) -> None:
    scene.stage.sql("UPDATE ledger SET epoch = 2")
    await scene.stage.counters(epoch=2)
    await overtaken(scene.stage)
    assert (await scene.audit()).clean


async def test_a_settled_sale_is_judged_by_sql_and_shows_what_was_said_then(scene: Scene) -> None:
    stage = scene.stage
    stage.sql("UPDATE holds SET state = 'RELEASED', reason = 'declined' WHERE state != 'PAID'")
    stage.sql("DELETE FROM outbox WHERE event = 'expired'")
    stage.sql("UPDATE ledger SET granted = 1")
    stage.settle('{"clean": true}')
    await stage.drop_store()
    verdict = await scene.audit()
    assert verdict.clean, verdict.findings
    assert verdict.stored == '{"clean": true}'
    assert verdict.counts["store_checked"] == 0


async def test_a_draft_and_a_sale_not_armed_yet_are_clean(scene: Scene) -> None:
    await scene.stage.drop_store()
    for table in ("outbox", "orders", "payments", "holds"):
        scene.stage.sql(f"DELETE FROM {table}")  # noqa: S608
    scene.stage.sql("UPDATE ledger SET epoch = 0, granted = 0, sold = 0")
    assert (await scene.audit()).clean
    scene.stage.sql("UPDATE sales SET phase = 'draft'")
    assert (await scene.audit()).clean


async def test_an_unknown_sale_is_not_found(scene: Scene) -> None:
    with pytest.raises(Problem, match="no sale 99") as caught:
        await scene.auditor.audit(99)
    assert caught.value.code == "not_found"


async def test_a_store_that_is_away_is_no_verdict(scene: Scene, urls: Urls) -> None:
    away = f"unix://{urls.directory}/nobody.sock"
    async with open_auditor(away, urls.broker, f"sqlite:///{scene.stage.path}") as auditor:
        with pytest.raises(DependencyDown):
            await auditor.audit(SALE)


async def test_many_findings_of_a_kind_are_cut_short(scene: Scene) -> None:
    for number in range(30):
        scene.stage.mail("won", f"nobody.{number}")
    verdict = await scene.audit()
    assert len(verdict.findings) == 21
    assert verdict.findings[-1].detail == "… and 10 more like these"


# I10: sold_out answers while units are free


async def turned_away(scene: Scene, *, early: int, late: int) -> Verdict:
    """A publisher's count of sold_out answers: 3, then `early` after two seconds, then `late`."""
    stage = scene.stage
    await stage.free_a_unit()
    await stage.beat(3, stage.now_ms)
    now = await stage.store.time()
    start = now[0] * 1000 + now[1] // 1000

    async def two_seconds() -> None:
        await stage.beat(early, start + 1_900)

    async def three_seconds() -> None:
        await stage.beat(late, start + 2_900)

    scene.meanwhile = [two_seconds, three_seconds, *scene.meanwhile]
    return await scene.audit()


async def test_turning_buyers_away_while_a_unit_is_free_is_named(scene: Scene) -> None:
    verdict = await turned_away(scene, early=4, late=6)
    assert broken(verdict) == {"I10"}
    assert "told 2 buyers 'sold out' while 1 units were free" in verdict.findings[0].detail


async def test_answers_within_the_first_second_are_allowed(scene: Scene) -> None:
    assert (await turned_away(scene, early=6, late=6)).clean


async def test_whose_sold_out_it_was_cannot_be_told_with_two_open_sales(scene: Scene) -> None:
    scene.stage.sale(8)
    assert (await turned_away(scene, early=4, late=6)).clean
    assert scene.slept == []


async def test_a_unit_that_was_taken_meanwhile_proves_nothing(scene: Scene) -> None:
    stage = scene.stage
    await stage.free_a_unit()
    await stage.beat(3, stage.now_ms)

    async def taken_and_back() -> None:
        await stage.counters(seq=9)
        await stage.beat(9, stage.now_ms + 2_900)

    scene.meanwhile = [taken_and_back]
    assert (await scene.audit()).clean
