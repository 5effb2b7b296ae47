"""An audit of a sale of many pages: what is broken anywhere is found, a sample a minute comes round
to it, and no step of it stands in the way of the process's other work.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uuid_utils

from miaosha.adapters.redis.connect import connect
from miaosha.bootstrap.auditing import open_auditor
from miaosha.domain.errors import DependencyDown
from miaosha.usecases import differences
from miaosha.usecases.audit import LOOKS_MAX, Auditor, Verdict, hides, kept
from miaosha.usecases.look import NEWEST_ROWS
from tests.drills import big_sale
from tests.usecases.conftest import Urls
from tests.usecases.stage import SALE, Stage

UNITS = 5_000
EDGES = (0, 255, 256, 511, 512, 3_000, UNITS - 1)  # pages have 256 holds
Act = Callable[[], Awaitable[None]]


class Scene:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.auditor: Auditor
        self.meanwhile: list[Act] = []

    async def sleep(self, _: float) -> None:
        if self.meanwhile:
            await self.meanwhile.pop(0)()

    async def place(self, user: int, text: str) -> None:
        await self.stage.store.hset(f"{{sale:{SALE}}}:users", str(user), text)


@pytest.fixture(scope="module")
def big(urls: Urls) -> str:
    path = urls.directory / "big.sqlite"
    shutil.copy(urls.directory / "template.sqlite", path)
    big_sale.write_sql(path, SALE, UNITS, 1_700_000_000_000)
    return str(path)


@pytest.fixture
async def scene(urls: Urls, big: str) -> AsyncIterator[Scene]:
    """Everything of it is paid and sound."""
    path = urls.directory / f"{uuid_utils.uuid7()}.sqlite"
    shutil.copy(big, path)
    store, broker = connect(urls.store), connect(urls.broker)
    await store.flushall()
    await broker.flushall()
    now_ms = (await store.time())[0] * 1_000
    await big_sale.write_store(store, SALE, UNITS, now_ms)
    await big_sale.write_log(broker, SALE, UNITS, now_ms)
    made = Scene(Stage(path, store, broker, now_ms))
    async with open_auditor(urls.store, urls.broker, f"sqlite:///{path}", made.sleep) as auditor:
        made.auditor = auditor
        yield made
    await store.aclose()
    await broker.aclose()


def unit(number: int) -> big_sale.Unit:
    return next(u for u in big_sale.units(UNITS, SALE) if u.number == number)


def named(verdict: Verdict) -> set[str]:
    return {finding.thing for finding in verdict.findings}


async def test_a_sound_sale_of_many_pages_is_clean_and_everything_was_looked_at(
    scene: Scene,
) -> None:
    looked: list[int] = []
    verdict = await scene.auditor.audit(SALE, looked.append)
    assert (verdict.findings, verdict.whole) == ([], True)
    expected = {"holds": UNITS, "orders": UNITS, "mails": 2 * UNITS, "places": UNITS}
    expected |= {"requests": UNITS, "batches": -(-UNITS // 256), "waiting": 0}
    assert {name: verdict.counts[name] for name in expected} == expected
    assert looked == sorted(looked) and looked[-1] == 5 * UNITS + expected["batches"]


@pytest.mark.parametrize("number", EDGES)
async def test_what_is_broken_at_the_edge_of_a_page_is_found(scene: Scene, number: int) -> None:
    _, rid, user = unit(number)
    stage = scene.stage
    stage.sql("DELETE FROM orders WHERE rid = ?", rid)
    stage.sql("DELETE FROM outbox WHERE rid = ? AND event = 'won'", rid)
    await stage.store.hdel(f"{{sale:{SALE}}}:users", str(user))
    await stage.store.hdel(f"{{sale:{SALE}}}:batches", rid.rpartition(".")[0])
    wanted = {f"I2 orders:{rid} 0", f"I9 won:{rid}", f"I8 row:{rid}"}
    wanted |= {f"I2 money:{rid}:1", f"I3 batch:{rid.rpartition('.')[0]} none", ""}
    assert named(await scene.auditor.audit(SALE)) == wanted


async def test_a_second_unit_of_one_buyer_is_found_however_far_apart(scene: Scene) -> None:
    first, last = unit(3), unit(UNITS - 3)
    scene.stage.sql("UPDATE holds SET user_id = ? WHERE rid = ?", first.user_id, last.rid)
    assert f"I4 user:{first.user_id} 2" in named(await scene.auditor.audit(SALE))


async def test_only_what_was_found_is_looked_at_again(scene: Scene) -> None:
    """It heals within the three seconds, and something else breaks: neither lasts."""
    one, other = unit(700), unit(4_000)
    await scene.place(one.user_id, f"paid|zz.0|{one.number + 1}|4|0")

    async def meanwhile() -> None:
        await scene.place(one.user_id, f"paid|{one.rid}|{one.number + 1}|4|0")
        await scene.place(other.user_id, f"paid|zz.1|{other.number + 1}|4|0")

    scene.meanwhile = [meanwhile]
    assert (await scene.auditor.audit(SALE)).clean


async def test_a_place_that_comes_twice_is_counted_once(scene: Scene) -> None:
    """A hash that shrinks while it is read answers some fields again."""
    client = scene.stage.store
    key = f"{{sale:{SALE}}}:users"
    extra = {str(10**9 + n): "left|x.0|1|1|0" for n in range(60_000)}
    await client.hset(key, mapping=extra)

    async def shrink() -> None:
        for start in range(0, len(extra), 5_000):
            await client.hdel(key, *list(extra)[start : start + 5_000])

    shrinking = asyncio.create_task(shrink())
    verdict = await scene.auditor.audit(SALE)
    await shrinking
    assert verdict.findings == []


async def test_many_differences_are_counted_and_only_some_are_kept(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(differences, "KEPT_MAX", 100)
    scene.stage.sql("DELETE FROM outbox WHERE event = 'paid'")
    verdict = await scene.auditor.audit(SALE)
    assert {finding.invariant for finding in verdict.findings} == {"I9"}
    assert len(verdict.findings) == 21
    assert verdict.findings[-1].detail == f"… and {UNITS - 20} more like these"


async def test_more_on_its_way_than_can_be_looked_at_again_is_not_called_clean(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(differences, "KEPT_MAX", 10)
    looks = 0

    def tear(_: int) -> None:
        """Before the rows are read: of the first look, and of each that follows a second one."""
        nonlocal looks
        if not scene.meanwhile:
            looks += 1
            scene.meanwhile = [heal, nothing]
            scene.stage.sql("UPDATE outbox SET event = 'your_turn' WHERE event = 'won'")

    async def heal() -> None:
        scene.stage.sql("UPDATE outbox SET event = 'won' WHERE event = 'your_turn'")

    async def nothing() -> None: ...

    verdict = await scene.auditor.audit(SALE, tear)
    assert not verdict.clean
    assert "on its way" in verdict.findings[0].detail
    assert looks == LOOKS_MAX


async def test_one_short_silence_ends_no_audit(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miaosha.usecases.patience.PAUSE_S", 0.0)
    reader: Any = scene.auditor._ledger
    silent = iter([False] * 7 + [True] + [False] * 1_000)
    page = type(reader._port).page

    async def away(self: Any, sale_id: int, after: str) -> Any:
        if next(silent):
            raise DependencyDown("a moment")
        return await page(self, sale_id, after)

    monkeypatch.setattr(type(reader._port), "page", away)
    assert (await scene.auditor.audit(SALE)).clean
    silent = iter([True] * 1_000)
    with pytest.raises(DependencyDown):
        await scene.auditor.audit(SALE)


# the minutely look


async def test_a_glance_sees_the_counters_and_the_newest_at_once(scene: Scene) -> None:
    verdict = await scene.auditor.glance(SALE)
    assert (verdict.clean, verdict.whole) == (True, False)
    assert NEWEST_ROWS <= verdict.counts["holds"] < UNITS
    newest = unit(UNITS - 1)
    await scene.stage.store.hdel(f"{{sale:{SALE}}}:users", str(newest.user_id))
    assert f"I8 row:{newest.rid}" in named(await scene.auditor.glance(SALE))


async def test_a_glance_holds_the_counters_of_both_stores_against_each_other(
    scene: Scene,
) -> None:
    await scene.stage.counters(paid=UNITS - 1, held=1)
    verdict = await scene.auditor.glance(SALE)
    assert [finding.invariant for finding in verdict.findings] == ["I7", "I8"]
    assert all("ledger" in finding.detail for finding in verdict.findings)


async def test_glances_come_round_to_everything(scene: Scene) -> None:
    old = unit(2)
    scene.stage.sql("DELETE FROM outbox WHERE rid = ? AND event = 'paid'", old.rid)
    far = unit(1_500)
    await scene.place(far.user_id, f"held|zz.0|{far.number + 1}|4|0")
    await scene.stage.counters(paid=UNITS - 1, held=1)
    seen: set[str] = set()
    for _ in range(10):
        seen |= named(await scene.auditor.glance(SALE))
    assert {f"I9 paid:{old.rid}", f"I8 row:{far.rid}", "I7 held:zz.0"} <= seen


async def test_a_glance_costs_as_much_beside_a_long_history(scene: Scene) -> None:
    """Of a sale of one unit, beside the thousands of another."""
    big_sale.write_sql(scene.stage.path, 8, 1, scene.stage.now_ms)
    await big_sale.write_store(scene.stage.store, 8, 1, scene.stage.now_ms)
    await big_sale.write_log(scene.stage.broker, 8, 1, scene.stage.now_ms)
    verdict = await scene.auditor.glance(8)
    assert (verdict.clean, verdict.whole) == (True, True)
    assert {n: verdict.counts[n] for n in ("holds", "orders", "mails")} == {
        "holds": 1,
        "orders": 1,
        "mails": 2,
    }


def test_a_clean_sample_does_not_hide_what_a_whole_audit_found() -> None:
    clean, sample = Verdict(7, True, [], 2, {}), Verdict(7, True, [], 2, {}, whole=False)
    finding = {"invariant": "I9", "detail": "a mail", "thing": "I9 paid:a.0"}
    broken = Verdict(7, False, [], 1, {})
    with_finding = kept(broken).replace("[]", str([finding]).replace("'", '"'))
    assert hides(sample_after(sample, with_finding))
    assert not hides(sample_after(clean, with_finding)), "everything was looked at"
    assert not hides(sample_after(sample, kept(clean)))
    loss = with_finding.replace("I9 paid:a.0", "")
    assert not hides(sample_after(sample, loss)), "a loss was rebuilt, and the counters show it"


def sample_after(verdict: Verdict, stored: str) -> Verdict:
    import msgspec

    return msgspec.structs.replace(verdict, stored=stored)


async def test_no_step_of_an_audit_holds_the_loop(scene: Scene) -> None:
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()  # what others take of the machine does not count
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    watching = asyncio.create_task(watch())
    await scene.auditor.audit(SALE)
    watching.cancel()
    assert longest < 0.02
