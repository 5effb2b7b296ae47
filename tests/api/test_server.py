"""The role's own server: a unix socket, a clean stop, and what bounds a process."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import structlog

from miaosha.api.body_limits import BodyLimits
from miaosha.api.quotas import KEYS_MAX, Quota
from miaosha.api.uvicorn_server import listen
from miaosha.domain.errors import Problem, SettingsError
from miaosha.serving.process import Process
from miaosha.settings import Settings, origins, proxies
from tests.api.world import Person, World
from tests.kit.clocks import RunningClock


async def test_it_serves_a_unix_socket_and_finishes_what_is_under_way(
    world: World, run_dir: Path
) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()
    store: Any = world.parts.store
    original = store.read_sales

    async def slow(seen: Any) -> Any:
        entered.set()
        await leave.wait()
        return await original(seen)

    store.read_sales = slow
    socket = run_dir / "api.sock"
    process = Process("api", "0", f"unix:{socket}")
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(listen(world.app, process, Settings(), bound.set_result))
    assert await asyncio.wait_for(bound, 10) == 0
    transport = httpx2.AsyncHTTPTransport(uds=str(socket))
    async with httpx2.AsyncClient(transport=transport, base_url="http://api") as http:
        assert (await http.get("/healthz")).status_code == 200
        asking = asyncio.create_task(http.get("/api/v1/sales"))
        await entered.wait()
        process.stop.set()
        leave.set()
        assert (await asking).status_code == 200
    await asyncio.wait_for(serving, 10)


async def test_head_is_get_without_the_body(world: World, run_dir: Path) -> None:
    process = Process("api", "0", f"unix:{run_dir / 'api.sock'}")
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(listen(world.app, process, Settings(), bound.set_result))
    await asyncio.wait_for(bound, 10)
    transport = httpx2.AsyncHTTPTransport(uds=str(run_dir / "api.sock"))
    async with httpx2.AsyncClient(transport=transport, base_url="http://api") as http:
        for path, status in (("/healthz", 200), ("/api/v1/sales", 200), ("/api/v1/accounts", 405)):
            asked, head = await http.get(path), await http.head(path)
            assert (head.status_code, head.content) == (status, b"")
            for name in ("content-length", "content-type"):
                assert head.headers[name] == asked.headers[name], path
    process.stop.set()
    await asyncio.wait_for(serving, 10)


async def test_a_caller_who_leaves_is_no_defect_and_a_payment_goes_on(
    world: World, admin: Person, buyer: Person, run_dir: Path
) -> None:
    """Amid the body, and while the payment begins: the log says nothing, the order is made."""
    sale_id = await world.sale(admin)
    await world.hold(sale_id, buyer)
    body = msgspec.json.encode(await world.checkout_body(sale_id, buyer))
    attempts: Any = world.parts.checkout._attempts
    began, go_on, original = asyncio.Event(), asyncio.Event(), attempts.begin

    async def slow(*args: Any) -> Any:
        began.set()
        await go_on.wait()
        return await original(*args)

    attempts.begin = slow
    process = Process("api", "0", f"unix:{run_dir / 'api.sock'}")
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(listen(world.app, process, Settings(), bound.set_result))
    await asyncio.wait_for(bound, 10)
    head = (
        f"POST /api/v1/sales/{sale_id}/checkout HTTP/1.1\r\nhost: api\r\n"
        f"authorization: Bearer {buyer.token}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode()
    with structlog.testing.capture_logs() as logged:
        for sent in (body[:20], body):
            _, writer = await asyncio.open_unix_connection(run_dir / "api.sock")
            writer.write(head + sent)
            await writer.drain()
            if sent == body:
                await asyncio.wait_for(began.wait(), 20)
            writer.close()
            await writer.wait_closed()
        go_on.set()
        process.stop.set()
        await asyncio.wait_for(serving, 20)
    assert not [entry for entry in logged if entry["event"] == "unexpected"]
    answered = [entry["status"] for entry in logged if entry["event"] == "request"]
    assert answered == [408, 201]
    assert len((await world.parts.ledger.orders.page(buyer.id, None, 10)).items) == 1


@pytest.mark.parametrize("address", ["", "nowhere", "localhost:http"])
async def test_a_bad_address_stops_the_start(world: World, address: str) -> None:
    with pytest.raises(SettingsError):
        await listen(world.app, Process("api", "0", address), Settings())


async def _call(app: Any) -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "http_version": "1.1", "method": "GET", "headers": []}
    await app(scope, None, send)
    headers = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"]


async def test_too_many_at_once_and_too_slow() -> None:
    gate = asyncio.Event()

    async def stuck(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    bounded = BodyLimits(stuck, requests_max=1)
    first = asyncio.create_task(_call(bounded))
    await asyncio.sleep(0)
    status, headers, body = await _call(bounded)
    assert (status, headers["content-type"]) == (503, "application/problem+json")
    assert b'"overloaded"' in body and int(headers["retry-after"]) >= 1
    gate.set()
    assert (await first)[0] == 200
    assert (await _call(bounded))[0] == 200
    gate.clear()
    status, _, body = await _call(BodyLimits(stuck, answer_within_s=0.01))
    assert status == 503 and b'"unavailable"' in body


async def test_an_answer_that_has_begun_may_take_its_time() -> None:
    async def long(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(50):
            await asyncio.sleep(0.001)
        await send({"type": "http.response.body", "body": b"done"})

    assert await _call(BodyLimits(long, answer_within_s=0.02)) == (200, {}, b"done")


def test_buckets_are_bounded_and_refill() -> None:
    clock = RunningClock(0)
    quota = Quota("things", 60, clock)
    for _ in range(60):
        quota.take("a")
    with pytest.raises(Problem) as limited:
        quota.take("a")
    assert limited.value.retry_after_s == 1
    clock.advance(1_010)
    quota.take("a")
    for n in range(KEYS_MAX + 10):
        quota.take(str(n))
    assert len(quota._buckets) <= KEYS_MAX


async def test_an_address_that_is_taken_is_told(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = Process("api", "0", f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(SettingsError, match="the address is taken"):
            await listen(world.app, process, Settings())


def test_settings_that_stop_the_start() -> None:
    with pytest.raises(SettingsError, match="TRUSTED_PROXIES"):
        proxies(Settings(trusted_proxies="the edge"))
    for bad in ("*", "shop.example", "https://a.example/path", "ftp://x.example"):
        with pytest.raises(SettingsError, match="ALLOWED_ORIGINS"):
            origins(Settings(allowed_origins=bad))
    listed = origins(Settings(allowed_origins="https://a.example", public_url="https://b.example/"))
    assert listed == ["http://localhost:8000", "https://a.example", "https://b.example"]
