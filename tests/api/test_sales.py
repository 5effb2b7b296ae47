"""What anyone sees of sales: order, availability, caching, the question; and stores away."""

from typing import Any

import msgspec
import pytest
import structlog

from miaosha.domain.errors import DependencyDown, Problem
from miaosha.domain.sale import SaleView
from miaosha.ports.heartbeats import Heartbeat
from tests.api.world import Person, World


async def test_time_is_the_stores_and_never_cached(world: World) -> None:
    answer = await world.http.get("/api/v1/time")
    assert abs(answer.json()["server_time_ms"] - world.clock.now_ms()) < 1_000
    assert answer.headers["cache-control"] == "no-store"


async def test_a_sale_as_anyone_sees_it(world: World, admin: Person) -> None:
    sale_id = await world.sale(admin)
    await world.parts.heartbeats.beat(
        Heartbeat("gateway", "0", 1, await world.parts.store.now_ms(), {}, {sale_id: 40})
    )
    await world.parts.heartbeats.beat(
        Heartbeat("gateway", "1", 1, await world.parts.store.now_ms(), {}, {sale_id: 2})
    )
    answer = await world.http.get(f"/api/v1/sales/{sale_id}")
    shown = answer.json()
    assert answer.headers["cache-control"] == "public, max-age=1"
    assert set(shown) == set(SaleView.__struct_fields__)
    assert (shown["phase"], shown["available"], shown["watching"]) == ("open", True, 42)
    assert shown["price"] == {"amount": 4_900, "currency": "EUR"}
    assert shown["product"]["list_price"] == {"amount": 9_900, "currency": "EUR"}
    assert "answer" not in answer.text and "question" not in answer.text


async def test_the_list_runs_from_running_to_next_to_over(empty_world: World) -> None:
    world, admin = empty_world, await empty_world.person("admin")
    now = world.clock.now_ms()
    later = await world.sale(admin, opens_at_ms=now + 200_000)
    sooner = await world.sale(admin, opens_at_ms=now + 100_000)
    running = await world.sale(admin)
    over = await world.sale(admin, closes_at_ms=now + 60_000)
    world.clock.advance(61_000)
    items = (await world.http.get("/api/v1/sales")).json()["items"]
    ours = [item["id"] for item in items if item["id"] in (later, sooner, running, over)]
    assert ours == [running, sooner, later, over]
    assert {i["id"]: i["phase"] for i in items}[over] == "closed"


async def test_drafts_and_unknown_sales_do_not_exist(world: World, admin: Person) -> None:
    body = world.sale_body(await world.product(admin))
    draft = (await world.http.post("/api/v1/admin/sales", json=body, headers=admin.auth)).json()
    for path in (draft["id"], 999_999, 0, -1, 2**63, 10**400, "x", "1.5"):
        answer = await world.http.get(f"/api/v1/sales/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    listed = (await world.http.get("/api/v1/sales")).json()["items"]
    assert draft["id"] not in [item["id"] for item in listed]


async def test_sold_out_shows_within_a_second(world: World, admin: Person) -> None:
    sale_id = await world.sale(admin, stock=1, standby_limit=1)
    path = f"/api/v1/sales/{sale_id}"
    assert (await world.http.get(path)).json()["available"] is True
    await world.press(sale_id, (await world.person()).id, (await world.person()).id)
    world.clock.advance(1_100)
    assert (await world.http.get(path)).json()["available"] is False


async def test_one_second_serves_every_caller_from_one_read(world: World, admin: Person) -> None:
    sale_id = await world.sale(admin)
    reads = 0
    store: Any = world.parts.store
    original = store.read_sales

    async def counted(seen: Any) -> Any:
        nonlocal reads
        reads += 1
        return await original(seen)

    store.read_sales = counted
    world.clock.advance(2_000)
    for _ in range(20):
        await world.http.get(f"/api/v1/sales/{sale_id}")
    assert reads == 1


async def test_the_request_id_is_in_every_log_line_of_a_request(
    world: World, admin: Person
) -> None:
    bound: list[dict[str, Any]] = []
    store: Any = world.parts.store
    original = store.read_sales

    async def noted(seen: Any) -> Any:
        bound.append(structlog.contextvars.get_contextvars())
        return await original(seen)

    store.read_sales = noted
    answer = await world.http.get("/api/v1/sales", headers={"x-request-id": "abcdef0123456789"})
    assert answer.headers["x-request-id"] == "abcdef0123456789"
    assert bound[0]["request_id"] == "abcdef0123456789"


async def test_a_copy_opens_on_the_second(world: World, admin: Person) -> None:
    sale_id = await world.sale(admin, opens_at_ms=world.clock.now_ms() + 20_000)
    path = f"/api/v1/sales/{sale_id}"
    assert (await world.http.get(path)).json()["phase"] == "scheduled"
    catalogue: Any = world.parts.catalogue
    store: Any = world.parts.store

    async def away(*_: Any, **__: Any) -> Any:
        raise DependencyDown("away")

    catalogue.live = catalogue.settled = store.read_sales = away
    world.clock.advance(20_000)
    assert (await world.http.get(path)).json()["phase"] == "open"


async def test_without_sql_the_board_in_redis_answers(world: World, admin: Person) -> None:
    sale_id = await world.sale(admin)
    catalogue: Any = world.parts.catalogue

    async def away(*_: Any, **__: Any) -> Any:
        raise DependencyDown("sql")

    catalogue.live = catalogue.settled = catalogue.sale = away
    world.clock.advance(20_000)
    answer = await world.http.get(f"/api/v1/sales/{sale_id}")
    assert (answer.status_code, answer.json()["phase"]) == (200, "open")


@pytest.mark.parametrize("how", ["away", "lost"])
async def test_without_the_board_sql_answers(empty_world: World, how: str) -> None:
    world = empty_world
    sale_id = await world.sale(await world.person("admin"))
    store: Any = world.parts.store

    async def nothing(*_: Any, **__: Any) -> Any:
        if how == "away":
            raise DependencyDown("redis")

    store.read_sales = nothing
    world.clock.advance(2_000)
    answer = await world.http.get(f"/api/v1/sales/{sale_id}")
    assert (answer.status_code, answer.json()["phase"]) == (200, "open")
    listed = (await world.http.get("/api/v1/sales")).json()["items"]
    assert sale_id in [item["id"] for item in listed]


async def test_without_sql_and_redis_the_last_copy_answers_for_a_while(
    world: World, admin: Person
) -> None:
    sale_id = await world.sale(admin)
    path = f"/api/v1/sales/{sale_id}"
    assert (await world.http.get(path)).status_code == 200
    catalogue: Any = world.parts.catalogue
    store: Any = world.parts.store

    async def away(*_: Any, **__: Any) -> Any:
        raise DependencyDown("away")

    catalogue.live = catalogue.settled = catalogue.sale = store.read_sales = away
    world.clock.advance(10_000)
    assert (await world.http.get(path)).status_code == 200
    world.clock.advance(60_000)
    answer = await world.http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_the_question_is_this_buyers_and_has_no_answer(world: World, admin: Person) -> None:
    sale_id = await world.sale(admin)
    asked: dict[int, Any] = {}
    for _ in range(8):
        person = await world.person()
        path = f"/api/v1/sales/{sale_id}/question"
        answer = await world.http.get(path, headers=person.auth)
        again = await world.http.get(path, headers=person.auth)
        assert answer.json() == again.json()
        assert set(answer.json()) == {"id", "text", "choices"}
        assert answer.headers["cache-control"] == "no-store"
        asked[person.id] = answer.json()["id"]
        sale = await world.parts.catalogue.sale(sale_id)
        assert sale is not None
        assert sale.question_for(b"q" * 32, person.id).id == answer.json()["id"]
    assert len(set(asked.values())) > 1


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("GET", "/api/v1/sales/1/nothing", 404, "not_found"),
        ("POST", "/api/v1/sales", 405, "method_not_allowed"),
        ("PATCH", "/api/v1/time", 405, "method_not_allowed"),
        ("DELETE", "/api/v1/orders", 405, "method_not_allowed"),
    ],
)
async def test_wrong_addresses_and_methods(
    world: World, method: str, path: str, status: int, code: str
) -> None:
    answer = await world.http.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    if status == 405:
        assert "GET" in answer.headers["allow"]


async def test_an_unexpected_error_says_nothing_of_itself(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    store: Any = world.parts.store

    async def broken(_: Any) -> Any:
        raise RuntimeError("secret ada@example.test")

    store.read_sales = broken
    answer = await world.http.get("/api/v1/sales", headers={"x-request-id": "abcdefgh-1"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.headers["x-request-id"] == "abcdefgh-1"
    assert "secret" not in answer.text and "ada@" not in caplog.text


async def test_a_bad_request_id_is_replaced(world: World) -> None:
    answer = await world.http.get("/api/v1/time", headers={"x-request-id": "a b\tc{}"})
    assert len(answer.headers["x-request-id"]) == 32


async def test_probes(world: World) -> None:
    assert (await world.http.get("/healthz")).json() == {"status": "ok"}
    assert (await world.http.get("/readyz")).json() == {
        "status": "ok",
        "checks": {"database": "ok", "broker": "ok"},
    }

    async def away() -> None:
        raise DependencyDown("sql")

    world.parts.checks = {**world.parts.checks, "database": away}
    answer = await world.http.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["database"]) == (503, "away")


async def test_cors_only_for_listed_origins(world: World) -> None:
    mine = await world.http.get("/api/v1/time", headers={"origin": "http://shop.test"})
    assert mine.headers["access-control-allow-origin"] == "http://shop.test"
    assert "access-control-allow-credentials" not in mine.headers
    other = await world.http.get("/api/v1/time", headers={"origin": "http://evil.test"})
    assert "access-control-allow-origin" not in other.headers
    asked = {"origin": "http://evil.test", "access-control-request-method": "POST"}
    refused = await world.http.request("OPTIONS", "/api/v1/sessions", headers=asked)
    assert "access-control-allow-origin" not in refused.headers


def test_every_problem_code_is_rendered() -> None:
    from miaosha.api.problems import render
    from miaosha.domain.errors import CODES

    for code, (status, title) in CODES.items():
        answer = render(Problem(code, field="x"))
        body = msgspec.json.decode(answer.content)
        assert (body["status"], body["title"], body["code"]) == (status, title, code)
        assert ("retry-after" in answer.headers) == (status in (429, 503))
