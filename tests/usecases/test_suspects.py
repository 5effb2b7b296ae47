"""When a difference waits for a person: compared thing by thing, and kept in SQL."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import update

from miaosha.adapters.sql.tables import ledger, outbox
from miaosha.bootstrap.auditing import open_auditor
from miaosha.domain.freezes import MANUAL
from miaosha.ports.audits import Suspects
from miaosha.ports.sale_terms import Terms
from miaosha.usecases.settlement import REBUILDS_MAX
from tests.usecases.conftest import Urls
from tests.usecases.test_histories import acknowledge_all, clean
from tests.usecases.world import Servers, World

UNITS = REBUILDS_MAX + 2


@pytest.fixture
async def servers(servers: Servers, urls: Urls) -> AsyncIterator[Servers]:
    """An audit's three seconds are over at once."""

    async def sleep(_: float) -> None: ...

    url = str(servers.ledger._db._engine.url)
    async with open_auditor(urls.store, urls.broker, url, sleep) as auditor:
        yield replace(servers, auditor=auditor)


class Shop:
    """A sale in which everybody holds a unit, and the scheduler of the moment."""

    def __init__(self, world: World, sale_id: int, users: list[int]) -> None:
        self.world, self.sale_id, self.users = world, sale_id, users

    async def terms(self) -> Terms:
        found: Terms = await self.world.servers.ledger.sales.terms(self.sale_id)
        return found

    async def reason(self) -> str:
        return (await self.terms()).frozen or ""

    async def audited(self) -> str:
        """What the minutely audit comes to: why the sale is frozen now, "" if it is not."""
        await self.world.settlement.reconcile(await self.terms())
        return await self.reason()

    async def healed(self) -> bool:
        """The scheduler's rounds, and whether the sale runs after them."""
        await self.world.settlement.heal(await self.terms())
        return not await self.reason()

    async def lose_place(self, user: int) -> None:
        await self.world.servers.store._client.hdel(f"{{sale:{self.sale_id}}}:users", str(user))

    async def lose_all(self) -> None:
        await self.world.servers.store._client.flushall()

    def another_leads(self) -> None:
        """The scheduler died; one who knows nothing but the stores leads now."""
        self.world = World(self.world.servers)

    async def suspects(self) -> Suspects:
        found: Suspects = await self.world.servers.ledger.audits.suspects(self.sale_id)
        return found


@pytest.fixture
async def shop(world: World) -> Shop:
    sale = await world.sale(stock=UNITS)
    await world.press(sale.id, users := await world.users(UNITS))
    await acknowledge_all(world, sale.id)
    return Shop(world, sale.id, users)


async def test_losses_of_the_whole_state_are_rebuilt_however_many_an_audit_sees(
    shop: Shop,
) -> None:
    for _ in range(REBUILDS_MAX + 2):
        await shop.lose_all()
        assert await shop.audited() == "audit: I1"
        assert await shop.healed()
    await clean(shop.world, shop.sale_id)


async def test_two_losses_with_different_victims_are_rebuilt_and_the_sale_goes_on(
    shop: Shop,
) -> None:
    for victim in shop.users[:2]:
        await shop.lose_place(victim)
        assert (await shop.audited()).startswith("audit: ")
        assert await shop.healed()
    await clean(shop.world, shop.sale_id)


@pytest.mark.parametrize("died", [False, True], ids=["same scheduler", "it died in between"])
async def test_the_same_difference_after_a_rebuild_waits_for_a_person(
    shop: Shop, died: bool
) -> None:
    await shop.lose_place(shop.users[0])
    assert (await shop.audited()).startswith("audit: ")
    if died:
        shop.another_leads()
    assert await shop.healed()
    await shop.lose_place(shop.users[0])
    await shop.lose_place(shop.users[1])
    assert (await shop.audited()).startswith(MANUAL)
    assert not await shop.healed()

    assert await shop.world.control.rebuild(shop.sale_id)  # a person has looked
    assert await shop.audited() == ""
    assert await shop.suspects() == Suspects()


async def test_after_a_clean_audit_the_same_difference_is_a_new_one(shop: Shop) -> None:
    for _ in range(2):
        await shop.lose_place(shop.users[0])
        assert (await shop.audited()).startswith("audit: ")
        assert await shop.healed()
        shop.another_leads()
        assert await shop.audited() == ""
    assert await shop.suspects() == Suspects()


async def test_differences_without_end_wait_for_a_person(shop: Shop) -> None:
    for victim in shop.users[:REBUILDS_MAX]:
        await shop.lose_place(victim)
        assert (await shop.audited()).startswith("audit: ")
        assert await shop.healed()
    await shop.lose_place(shop.users[REBUILDS_MAX])
    assert (await shop.audited()).startswith(MANUAL)


async def test_a_freeze_that_came_too_late_remembers_nothing(shop: Shop) -> None:
    old = await shop.terms()
    await shop.world.control.rebuild(shop.sale_id)
    await shop.lose_place(shop.users[0])
    await shop.world.settlement.reconcile(old)
    assert await shop.reason() == ""
    assert await shop.suspects() == Suspects()


# the audit at settlement


@pytest.fixture
async def drained(shop: Shop) -> Shop:
    for user in shop.users:
        await shop.world.pay(shop.sale_id, user)
    await shop.world.control.close(shop.sale_id)
    shop.world.servers.clock.advance(1)
    return shop


async def settled(shop: Shop) -> bool:
    await shop.world.settlement.advance(await shop.terms())
    return (await shop.terms()).phase == "settled"


async def test_what_a_rebuild_mends_keeps_no_sale_from_settling(drained: Shop) -> None:
    await drained.lose_place(drained.users[0])
    assert not await settled(drained)
    assert (await drained.reason()).startswith("audit: ")
    assert await drained.healed()
    await acknowledge_all(drained.world, drained.sale_id)
    assert await settled(drained)


@pytest.mark.parametrize("what", ["a mail", "the count"])
async def test_what_no_rebuild_can_mend_waits_for_a_person_at_settlement(
    drained: Shop, what: str
) -> None:
    mail = update(outbox).where(outbox.c.event == "paid").values(event="expired")
    count = update(ledger).values(granted=ledger.c.stock, stock=ledger.c.stock + 1, sold=0)
    database = drained.world.servers.ledger._db
    await database.write(lambda c: c.execute(mail if what == "a mail" else count))
    if what == "the count":
        await drained.world.servers.store._client.hset(
            f"{{sale:{drained.sale_id}}}:meta", mapping={"stock": UNITS + 1, "free": 1}
        )
    assert not await settled(drained)
    assert (await drained.reason()).startswith(MANUAL)
