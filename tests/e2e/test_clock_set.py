"""The store's clock is set by an hour in the middle of sales, there and back, both ways.

A Valkey under libfaketime is the store of a whole platform: its wall clock jumps when a file says
so, its steady clock does not.
"""

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from miaosha import bootstrap
from miaosha.bootstrap import ApiParts
from miaosha.cli.command import here
from miaosha.domain.freezes import CLOCK
from miaosha.supervisor.servers.valkey import answers, valkey_command
from tests.e2e.test_many_sales import ANSWER, asking, buyers, published
from tests.kit.killing import kill
from tests.kit.packages import faketime
from tests.kit.running import Up, running
from tests.kit.waits import eventually, until

pytestmark = pytest.mark.servers

HOUR_S = 3_600
BELIEVE_S = 8
WITHIN_S = 90.0
EXTRA_S = 50  # of the minute that holds get, what a slow machine leaves of it


class Skewed:
    """A platform whose store tells the time as `set` says."""

    def __init__(self, up: Up, clock: Path) -> None:
        self.up = up
        self._clock = clock

    def set(self, seconds: int) -> None:
        written = self._clock.with_suffix(".new")
        written.write_text(f"{seconds:+d}\n")
        written.rename(self._clock)


@pytest.fixture(scope="module")
def skewed() -> Iterator[Skewed]:
    library = faketime()
    assert library is not None
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as name:
        home, clock = Path(name), Path(name) / "clock"
        clock.write_text("+0\n")
        args, socket = valkey_command(home, "skewed")
        environ = os.environ | {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        store = subprocess.Popen(args, env=environ)
        try:
            eventually(lambda: asyncio.run(answers(socket)), what="the store answers")
            settings = {"redis_url": f"unix://{socket}", "clock_believe_s": str(BELIEVE_S)}
            with running(home, settings=settings) as up:
                yield Skewed(up, clock)
        finally:
            store.terminate()
            store.wait(30)


@pytest.fixture
async def parts(skewed: Skewed) -> AsyncIterator[ApiParts]:
    async with bootstrap.api(here(skewed.up.data)) as opened:
        yield opened


class Buyer:
    """One who holds a unit of a sale of its own."""

    def __init__(self, skewed: Skewed, parts: ApiParts, sale_id: int, token: str) -> None:
        self.skewed = skewed
        self.parts = parts
        self.sale_id = sale_id
        self.token = token

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        with asking(self.skewed.up, self.token) as http:
            answer = await http.request(method, f"/api/v1/sales/{self.sale_id}{path}", body)
        return answer.body | {"status": answer.status}

    async def holds(self) -> bool:
        return bool((await self.ask("GET", "/purchases/mine")).get("state") == "held")

    async def left_s(self) -> float:
        mine = await self.ask("GET", "/purchases/mine")
        assert mine.get("state") == "held", mine
        return float(mine["pay_by_ms"] - mine["server_time_ms"]) / 1_000

    async def frozen(self) -> str:
        terms = await self.parts.ledger.sales.terms(self.sale_id)
        assert terms is not None
        return terms.frozen or ""

    async def stands_still(self) -> bool:
        return (await self.frozen()).startswith(CLOCK)

    async def goes_on(self) -> bool:
        """Thawed, and its hold told."""
        return not await self.frozen() and await self.holds()


@pytest.fixture
async def buyer(skewed: Skewed, parts: ApiParts) -> Buyer:
    [sale_id] = await published(parts, 1)
    [token] = (await buyers(parts, f"sale-{sale_id}", 1)).values()
    buyer = Buyer(skewed, parts, sale_id, token)

    async def accepted() -> bool:
        return bool((await buyer.ask("POST", "/purchases", ANSWER))["status"] == 202)

    await until(accepted, WITHIN_S, what="a press is taken")
    await until(buyer.holds, WITHIN_S, what="a unit is held")
    return buyer


@pytest.mark.parametrize("hours", [1, -1])
async def test_there_and_back_ends_no_hold(skewed: Skewed, buyer: Buyer, hours: int) -> None:
    skewed.set(hours * HOUR_S)
    await until(buyer.stands_still, WITHIN_S, what="the sale stands still")
    assert await buyer.holds()
    skewed.set(0)
    await until(buyer.goes_on, WITHIN_S, what="the sale goes on")
    assert await buyer.left_s() > EXTRA_S
    clock = await buyer.ask("GET", "")
    assert abs(clock["server_time_ms"] / 1_000 - time.time()) < HOUR_S / 2


async def test_for_good_and_a_leader_that_dies(
    skewed: Skewed, parts: ApiParts, buyer: Buyer
) -> None:
    """Back by an hour and believed; then the scheduler dies: somebody leads again in seconds, not
    when the clock has caught up. And forward again: a hold has its minute."""
    skewed.set(-HOUR_S)
    await until(buyer.stands_still, WITHIN_S, what="the sale stands still")
    await until(buyer.goes_on, WITHIN_S, what="the clock is believed, and the sale goes on")
    assert EXTRA_S < await buyer.left_s() <= 600 + 120 + 5

    async def led_by() -> str:
        row, _ = await parts.ledger.leases.take("scheduler", "nobody at all", 0, None)
        return str(row.owner)

    before = await led_by()
    kill(skewed.up.children()["scheduler"], signal.SIGKILL)

    async def led_by_another() -> bool:
        return await led_by() not in (before, "nobody at all")

    await until(led_by_another, WITHIN_S, what="somebody leads")

    skewed.set(0)
    await until(buyer.stands_still, WITHIN_S, what="the sale stands still")
    await until(buyer.goes_on, WITHIN_S, what="the clock is believed, and the sale goes on")
    assert await buyer.left_s() > EXTRA_S
