"""Wrong passwords: nobody is locked out by a stranger, and a stranger may not guess for long."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from miaosha.api import guesses as rules
from miaosha.api.guesses import Guesses, Waits
from miaosha.api.quotas import AtOnce, Quota
from miaosha.domain.errors import Overloaded, Problem
from tests.api.world import Person, World, open_world
from tests.kit.clocks import HandClock, RunningClock

FREE = 10
QUICK = Waits(first=0.02, longest=0.1, step=0.001, most=0.015)
ENDLESS = Waits(3_600, 3_600, 3_600, 3_600)  # a test that waits once fails by its time-out
VICTIM = "victim@example.test"
HOME, CAFE = "192.0.2.99", "192.0.2.98"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def guesses(clock: HandClock) -> Guesses:
    return Guesses(FREE, clock, QUICK)


async def fail(guesses: Guesses, account: str, address: str, device: str | None = None) -> float:
    """How long the answer to a wrong password waited, in seconds."""
    began = time.perf_counter()
    with pytest.raises(Problem) as refused:
        async with guesses.trying(account, address, device):
            raise Problem("bad_credentials")
    assert refused.value.code == "bad_credentials"
    return time.perf_counter() - began


async def fail_at_once(
    guesses: Guesses, account: str, address: str, device: str | None = None, times: int = 1
) -> None:
    guesses._waits = ENDLESS
    async with asyncio.timeout(20):
        for _ in range(times):
            await fail(guesses, account, address, device)
    guesses._waits = QUICK


async def succeed(guesses: Guesses, account: str, address: str, device: str | None = None) -> None:
    guesses._waits = ENDLESS
    async with asyncio.timeout(20), guesses.trying(account, address, device):
        pass
    guesses._waits = QUICK


async def attack(guesses: Guesses, account: str = VICTIM, addresses: int = 11) -> None:
    for n in range(addresses):
        for _ in range(FREE):
            await fail(guesses, account, f"203.0.113.{n}")


async def test_a_right_password_is_answered_at_once_whatever_strangers_did(
    guesses: Guesses,
) -> None:
    await succeed(guesses, VICTIM, HOME)
    await attack(guesses)
    for address in (HOME, CAFE):
        await succeed(guesses, VICTIM, address)


async def test_the_answer_to_a_wrong_one_waits_longer_each_time(guesses: Guesses) -> None:
    await fail_at_once(guesses, VICTIM, CAFE, times=FREE)
    for least in (0.02, 0.04, 0.08, 0.1):
        assert await fail(guesses, VICTIM, CAFE) >= least * 0.99


async def test_who_mistypes_amid_an_attack_waits_a_bounded_time(guesses: Guesses) -> None:
    await attack(guesses)
    assert await fail(guesses, VICTIM, CAFE) >= QUICK.most * 0.99
    assert guesses._wait(1, 1_000_000) == QUICK.most
    assert guesses._wait(1_000_000, 1) == QUICK.longest


async def test_failures_are_forgotten_with_time_and_by_a_success(
    guesses: Guesses, clock: HandClock
) -> None:
    await fail_at_once(guesses, VICTIM, CAFE, times=FREE)
    clock.advance(60_000)
    await fail_at_once(guesses, VICTIM, CAFE, times=FREE - 1)
    for _ in range(3 * FREE):  # a success takes nothing
        await succeed(guesses, VICTIM, CAFE)
    await fail_at_once(guesses, VICTIM, CAFE)


async def test_many_tries_at_once_are_no_way_around(guesses: Guesses) -> None:
    tried, go = [], asyncio.Event()

    async def one() -> str:
        try:
            async with guesses.trying(VICTIM, CAFE):
                tried.append(1)
                await go.wait()
                raise Problem("bad_credentials")
        except Problem as problem:
            return problem.code

    tasks = [asyncio.create_task(one()) for _ in range(100)]
    await asyncio.sleep(0)
    go.set()
    codes = await asyncio.gather(*tasks)
    assert len(tried) == FREE + rules.SEATS_OF_PAIR_MAX
    assert codes.count("rate_limited") == 100 - len(tried)
    assert len(guesses._room) == 0


async def test_what_is_no_failure_does_not_count(guesses: Guesses) -> None:
    for _ in range(2 * FREE):
        with pytest.raises(Overloaded):
            async with guesses.trying(VICTIM, CAFE):
                raise Overloaded("password_queue_max")
    await fail_at_once(guesses, VICTIM, CAFE, times=FREE)


async def test_an_address_that_signed_in_before_is_known_until_it_guesses(
    guesses: Guesses,
) -> None:
    assert not guesses.knows(VICTIM, HOME)
    await succeed(guesses, VICTIM, HOME)
    assert guesses.knows(VICTIM, HOME)
    assert not guesses.knows(VICTIM, CAFE) and not guesses.knows("eve@example.test", HOME)
    await attack(guesses)
    assert guesses.knows(VICTIM, HOME)
    for _ in range(FREE):
        await fail(guesses, VICTIM, HOME)
    assert not guesses.knows(VICTIM, HOME)


async def test_neighbours_of_a_known_address_learn_nothing_from_the_time(guesses: Guesses) -> None:
    await succeed(guesses, VICTIM, HOME)
    await attack(guesses)
    await attack(guesses, "nobody@example.test")
    known, none = [await fail(guesses, one, HOME) for one in (VICTIM, "nobody@example.test")]
    assert min(known, none) >= QUICK.most * 0.99


async def test_a_stolen_device_token_guesses_no_longer_than_a_stranger(guesses: Guesses) -> None:
    await fail_at_once(guesses, VICTIM, CAFE, "d1", times=2 * FREE)  # its own, then a stranger's
    assert not guesses.knows(VICTIM, CAFE, "d1")
    assert await fail(guesses, VICTIM, CAFE, "d1") >= QUICK.first * 0.99
    assert guesses.knows(VICTIM, CAFE, "d2")  # another device of the same person


async def test_only_so_many_wait_and_the_one_who_failed_most_gives_way(
    guesses: Guesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "SEATS_MAX", 4)
    slow = Guesses(1, HandClock(), Waits(first=30, longest=30))

    async def failing(address: str) -> str:
        try:
            async with slow.trying(VICTIM, address):
                raise Problem("bad_credentials")
        except Problem as problem:
            return problem.code

    waiting = []
    for n in range(4):
        slow._levels.add((VICTIM, f"203.0.113.{n}"))
        waiting.append(asyncio.create_task(failing(f"203.0.113.{n}")))
        await asyncio.sleep(0)
    assert len(slow._room) == 4
    honest = asyncio.create_task(failing(CAFE))  # its first try at this account
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert [task.result() for task in done] == ["rate_limited"]
    assert len(slow._room) == 4
    for task in (honest, *waiting):
        task.cancel()
    await asyncio.wait([honest, *waiting])
    assert len(slow._room) == 0


async def test_so_many_fresh_addresses_as_there_are_seats_lock_nobody_out(
    guesses: Guesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "SEATS_MAX", 4)
    await attack(guesses)
    guesses._waits = ENDLESS
    waiting = [asyncio.create_task(fail(guesses, VICTIM, f"198.51.100.{n}")) for n in range(4)]
    await asyncio.sleep(0)
    assert len(guesses._room) == 4
    await succeed(guesses, VICTIM, CAFE)
    done, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert done == {waiting[0]}, "the one who waited longest gives way"
    for task in left:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert len(guesses._room) == 0


async def test_one_address_takes_its_own_seats_only(guesses: Guesses) -> None:
    room = rules.WaitingRoom()
    taken = [room.sit((f"a{n}", HOME), HOME, 1) for n in range(rules.SEATS_OF_ADDRESS_MAX)]
    assert all(taken) and room.sit(("b", HOME), HOME, 0) is None
    assert room.sit(("a0", CAFE), CAFE, 1) is not None
    for seat in taken:
        room.leave(seat)
        room.leave(seat)
    assert len(room) == 1 and len(room._by_address) == len(room._by_pair) == 1


async def test_memory_is_bounded(guesses: Guesses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "KEYS_MAX", 50)
    for n in range(200):
        await fail(guesses, f"a{n}@example.test", f"2001:db8:0:{n:x}::/64")
        guesses.welcome(f"a{n}@example.test", HOME)
        guesses.welcome(VICTIM, f"192.0.2.{n}")
    assert len(guesses._levels) == len(guesses._familiar._addresses) == 50
    assert len(guesses._familiar._addresses[VICTIM]) == rules.ADDRESSES_MAX


def test_failures_alone_are_taken() -> None:
    quota = Quota("things", 2, RunningClock(0), per_s=3_600)

    def one(error: Exception | None = None) -> None:
        with quota.failures("a"):
            if error:
                raise error

    for _ in range(5):
        one()
        for harmless in (Overloaded("x"), Problem("rate_limited"), ValueError()):
            with pytest.raises(type(harmless)):
                one(harmless)
    for _ in range(2):
        with pytest.raises(Problem, match="wrong"):
            one(Problem("bad_credentials"))
    with pytest.raises(Problem) as limited:
        one()
    assert limited.value.retry_after_s in (1_800, 1_801)


def test_so_many_at_once_of_one_key() -> None:
    at_once = AtOnce("things_at_once", 1)
    assert at_once.has_room("a")
    with at_once.one("a"), at_once.one("b"):
        assert not at_once.has_room("a")
        with pytest.raises(Problem) as limited, at_once.one("a"):
            raise AssertionError
        assert limited.value.code == "rate_limited"
    with at_once.one("a"):
        pass
    assert not at_once._under_way


# over HTTP


@pytest.fixture
async def behind(api_store_url: str, api_database_url: str) -> AsyncIterator[World]:
    """Behind a proxy, so that a test comes from the addresses it likes."""
    async with open_world(
        api_store_url, api_database_url, trusted_proxies="127.0.0.0/8", sign_ins_per_min=200
    ) as opened:
        yield opened


async def sign_in(world: World, person: Person, address: str, good: bool, **more: Any) -> Any:
    body = {"email": person.email, "password": "correct horse" if good else "wrong"} | more
    return await world.http.post(
        "/api/v1/sessions", json=body, headers={"x-real-ip": address}, timeout=30
    )


async def test_strangers_lock_nobody_out(behind: World) -> None:
    victim = await behind.person("admin")
    device = (await sign_in(behind, victim, HOME, good=True)).json()["device_token"]
    codes = [
        (await sign_in(behind, victim, f"203.0.113.{a}", good=False)).status_code
        for a in range(6)
        for _ in range(1 if a else FREE)
    ]
    assert set(codes) == {401}
    for address, more in ((HOME, {}), (CAFE, {"device_token": device}), ("192.0.2.97", {})):
        answer = await sign_in(behind, victim, address, good=True, **more)
        assert answer.status_code == 200
        assert behind.passwords.known[-1] is (address != "192.0.2.97")


async def test_a_device_is_known_by_what_its_last_sign_in_answered(behind: World) -> None:
    body = {"email": "dev@example.test", "password": "a purple teapot", "name": "Dev"}
    made = (await behind.http.post("/api/v1/accounts", json=body)).json()
    person = Person(made["user"]["id"], "dev@example.test", made["access_token"])
    token, other = made["device_token"], await behind.person()
    for address, known in ((HOME, True), (CAFE, True), ("192.0.2.96", True)):
        answer = await behind.http.post(
            "/api/v1/sessions",
            json={"email": person.email, "password": "a purple teapot", "device_token": token},
            headers={"x-real-ip": address},
        )
        token = answer.json()["device_token"]
        assert behind.passwords.known[-1] is known
    await sign_in(behind, other, "192.0.2.1", good=True, device_token=token)
    assert behind.passwords.known[-1] is False  # a token of another account's
    answer = await sign_in(behind, other, "192.0.2.2", good=True, device_token="rubbish")
    assert answer.status_code == 200 and behind.passwords.known[-1] is False


async def test_an_address_that_guesses_at_many_accounts_is_refused_but_not_its_neighbours(
    behind: World,
) -> None:
    """200 failures a minute, and those that are forgotten meanwhile; who is known here, by the
    address or by the device, is not asked."""
    neighbour, newcomer = await behind.person(), await behind.person()
    token = (await sign_in(behind, newcomer, "192.0.2.1", good=True)).json()["device_token"]
    for _ in range(3):  # successes take nothing
        await sign_in(behind, neighbour, HOME, good=True)
    began, failures, status = time.monotonic(), 0, 401
    async with asyncio.timeout(60):
        while status == 401:
            body = {"email": f"x{failures}@example.test", "password": "wrong"}
            headers = {"x-real-ip": HOME}
            answer = await behind.http.post("/api/v1/sessions", json=body, headers=headers)
            status = answer.status_code
            failures += status == 401
    forgotten = (time.monotonic() - began) * 200 / 60
    assert status == 429 and 200 <= failures <= 200 + forgotten
    assert (await sign_in(behind, neighbour, HOME, good=True)).status_code == 200
    answer = await sign_in(behind, newcomer, HOME, good=True, device_token=token)
    assert answer.status_code == 200


async def test_who_is_known_at_one_address_takes_no_more_than_a_strangers_place(
    behind: World,
) -> None:
    """Many accounts of one's own fill no queue of the known: further ones go to the strangers'."""
    people = [await behind.person() for _ in range(12)]
    for person in people:
        assert (await sign_in(behind, person, HOME, good=True)).status_code == 200
    gate, entered, verify = asyncio.Event(), [], behind.passwords.verify

    async def slow(*given: Any, **named: Any) -> bool:
        entered.append(given)
        if len(entered) == len(people):
            gate.set()
        await gate.wait()
        return await verify(*given, **named)

    behind.passwords.verify = slow  # type: ignore[method-assign]
    del behind.passwords.known[:]
    answers = await asyncio.gather(*(sign_in(behind, one, HOME, good=True) for one in people))
    assert {answer.status_code for answer in answers} == {200}
    assert behind.passwords.known.count(True) == 8


async def test_an_account_and_none_wait_alike(behind: World) -> None:
    """The same codes, and the eleventh after the same time."""
    person = await behind.person()
    for email in (person.email, "none@example.test"):
        codes = []
        for _ in range(FREE + 1):
            began = time.perf_counter()
            answer = await behind.http.post(
                "/api/v1/sessions",
                json={"email": email, "password": "wrong"},
                headers={"x-real-ip": "192.0.2.50"},
                timeout=30,
            )
            codes.append(answer.status_code)
        assert codes == [401] * (FREE + 1)
        waited_s = time.perf_counter() - began
        assert waited_s >= Waits().first / 2, "some of the failures are forgotten meanwhile"


async def test_new_accounts_of_one_address_have_a_limit_on_the_long_run(
    api_store_url: str, api_database_url: str
) -> None:
    async with open_world(api_store_url, api_database_url, sign_ups_per_hour=2) as world:
        codes = []
        for n in range(3):
            world.clock.advance(61_000)
            body = {"email": f"long{n}@example.test", "password": "a purple teapot", "name": "L"}
            codes.append((await world.http.post("/api/v1/accounts", json=body)).status_code)
        assert codes == [201, 201, 429]
