"""The ops listener of a role: alive, ready, measured."""

import asyncio
import http.client
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from miaosha.domain.errors import DependencyDown, SettingsError
from miaosha.serving import ops, readiness
from tests.kit.hidden import WAYS, Dialogue, every, hiding
from tests.kit.running import free_port


class Role:
    """A stand-in role with one check that the test decides about."""

    def __init__(self) -> None:
        self.port = free_port()
        self.counters: dict[str, float] = {"accepted": 3, "refused_sold_out": 0, "connections": 2}
        self.away: Exception | None = None
        self.slow = False
        self.stop: Callable[[], None] = lambda: None

    async def check(self) -> None:
        if self.slow:
            await asyncio.Event().wait()
        if self.away:
            raise self.away

    def talk(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    async def ask(self, path: str) -> tuple[int, bytes]:
        return await asyncio.to_thread(self.talk, path)


def not_ready(kind: str) -> dict[str, object]:
    return {"status": "not_ready", "checks": {"store": kind}}


@pytest.fixture
async def role() -> AsyncIterator[Role]:
    made = Role()
    address = f"127.0.0.1:{made.port}"
    made.stop = ops.start_ops(address, "publisher", made.counters, {"store": made.check})
    yield made
    await asyncio.to_thread(made.stop)


async def test_counters_are_read_when_asked(role: Role) -> None:
    _, first = await role.ask("/metrics")
    assert b"# TYPE miaosha_publisher_accepted_total counter" in first
    assert b"miaosha_publisher_accepted_total 3.0" in first
    assert b"# TYPE miaosha_publisher_connections gauge" in first
    assert b"miaosha_publisher_connections 2.0" in first
    assert b"process_cpu_seconds_total" in first
    role.counters["accepted"] += 1
    assert b"miaosha_publisher_accepted_total 4.0" in (await role.ask("/metrics"))[1]


async def test_a_dependency_that_is_away_is_named(role: Role) -> None:
    assert await role.ask("/readyz") == (
        200,
        b'{"status":"ok","checks":{"store":"ok"}}',
    )
    role.away = DependencyDown("at 10.0.0.7")
    status, body = await role.ask("/readyz")
    assert (status, msgspec.json.decode(body)) == (503, not_ready("DependencyDown"))
    assert (await role.ask("/healthz")) == (200, b'{"status":"ok"}')
    assert (await role.ask("/secret"))[0] == 404


async def test_a_role_that_was_ready_lives_while_its_dependency_is_away(role: Role) -> None:
    """What a container engine asks: it may end whoever says no."""
    role.away = DependencyDown("at 10.0.0.7")
    assert (await role.ask("/livez"))[0] == 503
    role.away = None
    assert (await role.ask("/livez"))[0] == 200
    role.away = DependencyDown("at 10.0.0.7")
    assert await role.ask("/livez") == (200, b'{"status":"ok"}')


@pytest.mark.parametrize("path", ["/healthz", "/livez"])
async def test_a_loop_that_does_not_turn_is_not_alive(
    role: Role, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(ops, "CHECK_TIMEOUT_S", 0.1)
    assert (await role.ask("/livez"))[0] == 200
    with ThreadPoolExecutor(1) as asking:
        asked = asking.submit(lambda: role.talk(path))
        while not asked.done():  # the loop is ours: it stands still
            time.sleep(0.01)  # noqa: ASYNC251
        assert asked.result() == (503, b'{"status":"hung"}')


async def test_a_port_that_another_has_is_waited_for(role: Role) -> None:
    """As the successor in a rolling upgrade does; it is ready meanwhile."""
    address = f"127.0.0.1:{role.port}"
    stop_second = ops.start_ops(address, "publisher", {"accepted": 7}, {})
    assert b"accepted_total 3.0" in (await role.ask("/metrics"))[1]
    await asyncio.to_thread(role.stop)
    async with asyncio.timeout(2):
        while True:
            try:
                _, text = await role.ask("/metrics")
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
    assert b"accepted_total 7.0" in text
    await asyncio.to_thread(stop_second)


async def test_a_role_that_has_no_checks_yet_is_not_ready() -> None:
    starting = Role()
    stop = ops.start_ops(f"127.0.0.1:{starting.port}", "publisher", {}, {})
    assert await starting.ask("/readyz") == (503, b'{"status":"not_ready","checks":{}}')
    assert (await starting.ask("/livez"))[0] == 503, "it was never ready"
    await asyncio.to_thread(stop)


async def test_whoever_waits_for_a_port_can_stop(role: Role) -> None:
    stop = ops.start_ops(f"127.0.0.1:{role.port}", "publisher", {}, {})
    await asyncio.wait_for(asyncio.to_thread(stop), 10)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "here",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:70000",
        "192.0.2.1:20000",
        "nowhere.invalid:1",
    ],
)
async def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="--metrics"):
        ops.start_ops(address, "publisher", {}, {})


async def test_a_dependency_that_hangs_is_not_waited_for(
    role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "CHECK_TIMEOUT_S", 0.05)
    role.slow = True
    status, body = await role.ask("/readyz")
    assert (status, msgspec.json.decode(body)) == (503, not_ready("TimeoutError"))


@pytest.mark.parametrize("target", ["/metrics", "/healthz", "/readyz", "/secret"])
async def test_a_connection_has_one_answer_whatever_is_behind_its_request(
    role: Role, target: str
) -> None:
    hidden = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    for method, name, way in every(WAYS):
        async with Dialogue.on(asyncio.open_connection("127.0.0.1", role.port)) as dialogue:
            answer = await dialogue.ask(hiding(way, method, target.encode(), hidden))
        assert answer.closes, (method, name)
        if name in ("a length", "chunks"):
            assert answer.status >= 400, (method, name)
