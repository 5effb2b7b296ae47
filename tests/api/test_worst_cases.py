"""What a stranger chose costs little, however it was chosen, and holds up nobody else."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from miaosha.adapters.passwords import Argon2Passwords
from tests.api.world import Person, World, open_world
from tests.contract.test_guessing import WORST_CASES

SIGN_UPS = 20


@pytest.fixture
def passwords() -> Iterator[Argon2Passwords]:
    passwords = Argon2Passwords(workers=2, memory_kib=64, time_cost=1)
    yield passwords
    passwords.close()


@pytest.fixture
async def busy(
    api_store_url: str, api_database_url: str, passwords: Argon2Passwords
) -> AsyncIterator[World]:
    """An API with the real judge of passwords."""
    async with open_world(api_store_url, api_database_url, passwords=passwords) as opened:
        yield opened


async def test_the_time_is_told_while_twenty_of_the_worst_passwords_are_judged(
    busy: World,
) -> None:
    worst = [WORST_CASES["signs and letters"], WORST_CASES["a small alphabet"]]

    async def sign_up(number: int) -> int:
        body = {
            "email": f"worst{number}@example.test",
            "password": f"{number:02}{worst[number % 2]}"[:128],
            "name": "W",
        }
        return (await busy.http.post("/api/v1/accounts", json=body)).status_code

    await busy.http.get("/api/v1/time")
    start = time.perf_counter()
    signing_up = asyncio.gather(*(sign_up(n) for n in range(SIGN_UPS)))
    waits = []
    while not signing_up.done():
        began = time.perf_counter()
        await asyncio.sleep(0.001)  # the transport of this test gives way to nobody
        assert (await busy.http.get("/api/v1/time")).status_code == 200
        waits.append(time.perf_counter() - began)
    assert await signing_up == [201] * SIGN_UPS
    whole = time.perf_counter() - start
    assert max(waits) < whole / 3  # 20 ms of 600 where it was written; on the loop, all of it


@pytest.mark.parametrize(
    "path",
    ["/orders?q=%00", "/orders?cursor=1.%00", "/users?q=a%00", "/audit-trail?subject=%00"],
)
async def test_a_character_that_no_database_stores_is_refused(
    world: World, admin: Person, path: str
) -> None:
    """PostgreSQL fails on it, which read as if it were away."""
    answer = await world.http.get(f"/api/v1/admin{path}", headers=admin.auth)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
