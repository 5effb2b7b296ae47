"""What admins watch and look up: live numbers, reports, orders, people, presses."""

import asyncio
from typing import Any, cast

import pytest

from miaosha.api import admin_watch
from miaosha.domain.errors import DependencyDown
from miaosha.ports.audits import ALIVE_MS, AuditRun
from miaosha.usecases import inspect, sale_watch
from miaosha.usecases.audit import Finding, Verdict
from miaosha.usecases.presses import Presses
from miaosha.usecases.sale_watch import SaleWatch
from tests.api.world import Person, World
from tests.kit.waits import until


async def get(world: World, admin: Person, path: str, **query: Any) -> Any:
    answer = await world.http.get(f"/api/v1/admin/{path}", headers=admin.auth, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def pay(world: World, sale_id: int, person: Person) -> Any:
    body = await world.checkout_body(sale_id, person)
    path = f"/api/v1/sales/{sale_id}/checkout"
    answer = await world.http.post(path, json=body, headers=person.auth)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_the_stats_balance_and_carry_the_last_verdict(
    world: World, admin: Person, buyer: Person
) -> None:
    sale_id = await world.sale(admin)
    other = await world.person()
    await world.press(sale_id, buyer.id, other.id)
    await pay(world, sale_id, buyer)
    stats = await get(world, admin, f"sales/{sale_id}/stats")
    reading, books = stats["reading"], stats["books"]
    assert reading["free"] + reading["held"] + reading["paid"] == stats["ledger"]["stock"] == 2
    assert (books["paid"], books["held"], books["orders"]) == (1, 1, 1)
    assert stats["audit"] is None
    finding = Finding("I1", "free + held + paid = 3, stock 2")
    world.auditor.verdict = Verdict(sale_id, False, [finding], 7, {"holds": 3}, stored="older")
    assert (await check(world, admin, sale_id))["verdict"]["clean"] is False
    kept = (await get(world, admin, f"sales/{sale_id}/stats"))["audit"]
    assert (kept["clean"], kept["findings"][0]["invariant"], kept["stored"]) == (False, "I1", "")


async def check(world: World, admin: Person, sale_id: int) -> Any:
    path = f"/api/v1/admin/sales/{sale_id}/audit"
    answer = await world.http.post(path, headers=admin.auth)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_who_asks_for_an_audit_under_way_is_told_the_same(
    world: World, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale_id = await world.sale(admin)
    world.auditor.go_on.clear()
    first = asyncio.create_task(check(world, admin, sale_id))
    await asyncio.wait_for(world.auditor.begun.wait(), 20)
    monkeypatch.setattr(admin_watch, "WAIT_S", 0.01)  # of those who come later
    runs = [(await check(world, admin, sale_id))["run"] for _ in range(2)]
    assert runs[0] == runs[1] is not None
    world.auditor.go_on.set()
    assert (await first)["run"] is None
    assert world.auditor.runs == 1


async def test_an_audit_that_takes_longer_than_a_page_waits_goes_on_and_every_process_says_so(
    world: World, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale_id = await world.sale(admin)
    monkeypatch.setattr(admin_watch, "WAIT_S", 0.01)
    monkeypatch.setattr(inspect, "QUIET_S", 0.0)
    world.auditor.go_on.clear()
    run = (await check(world, admin, sale_id))["run"]
    assert run["looked"] == 400_000
    parts = world.parts
    elsewhere = SaleWatch(parts.backoffice, parts.ledger.audits, parts.inspector, parts.clock)

    async def seen() -> bool:
        return await elsewhere.audit_run(sale_id) == AuditRun(run["started_at_ms"], 400_000)

    await until(seen)
    assert await elsewhere.check(sale_id, 20) is not None, "it is under way already"
    assert (await get(world, admin, f"sales/{sale_id}/stats"))["audit_run"] == run
    assert world.auditor.runs == 1

    world.auditor.go_on.set()

    async def over() -> bool:
        return (await get(world, admin, f"sales/{sale_id}/audit"))["run"] is None

    await until(over)
    assert (await get(world, admin, f"sales/{sale_id}/audit"))["verdict"]["clean"] is True
    assert await elsewhere.audit_run(sale_id) is None


async def test_an_audit_whose_process_died_is_not_waited_for(world: World, admin: Person) -> None:
    sale_id = await world.sale(admin)
    ledger, now_ms = world.parts.ledger, world.parts.clock.now_ms()
    assert await ledger.audits.begin(sale_id, "dead", AuditRun(now_ms, 0), now_ms)
    assert (await check(world, admin, sale_id))["run"] is not None
    assert world.auditor.runs == 0
    world.clock.advance(ALIVE_MS + 1_000)
    assert (await check(world, admin, sale_id))["run"] is None
    assert world.auditor.runs == 1


async def test_more_audits_at_once_than_a_process_may_have_are_refused(
    world: World, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_watch, "WAIT_S", 0.01)
    monkeypatch.setattr(sale_watch, "AUDITS_MAX", 1)
    one, other = await world.sale(admin), await world.sale(admin)
    world.auditor.go_on.clear()
    assert (await check(world, admin, one))["run"]
    refused = await world.http.post(f"/api/v1/admin/sales/{other}/audit", headers=admin.auth)
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    await world.app.state.context.close()
    world.auditor.go_on.set()
    monkeypatch.setattr(admin_watch, "WAIT_S", 20.0)
    assert (await check(world, admin, other))["run"] is None


async def test_the_books_of_a_sale_that_takes_long_to_count_are_counted_less_often(
    world: World, admin: Person
) -> None:
    class Slow:
        counted = 0

        async def books(self, sale_id: int) -> Any:
            self.counted += 1
            world.clock.advance(2_000)
            return await world.parts.backoffice.books(sale_id)

    sale_id, backoffice = await world.sale(admin), Slow()
    parts = world.parts
    watching = SaleWatch(cast("Any", backoffice), parts.ledger.audits, parts.inspector, parts.clock)
    for _ in range(10):
        await watching.books(sale_id)
        world.clock.advance(1_000)
    assert backoffice.counted == 1
    world.clock.advance(10_000)
    await watching.books(sale_id)
    assert backoffice.counted == 2


async def test_the_report_of_a_sale(world: World, admin: Person, buyer: Person) -> None:
    sale_id = await world.sale(admin, stock=1)
    waiting = await world.person()
    await world.press(sale_id, buyer.id, waiting.id)
    path = f"/api/v1/sales/{sale_id}/purchases/mine"
    assert (await world.http.delete(path, headers=buyer.auth)).status_code == 204
    await pay(world, sale_id, waiting)
    report = await get(world, admin, f"sales/{sale_id}/report")
    assert report["ledger"]["sold"] == report["ledger"]["stock"] == 1
    assert (report["books"]["rescued"], report["books"]["declined"]) == (1, 1)
    told = report["milestones"]
    assert (told["buyers"], told["amount"], told["attempts"]) == (2, 4_900, {"captured": 1})
    assert told["first_hold_at_ms"] <= told["last_promoted_at_ms"] <= told["last_paid_at_ms"]
    assert report["sale"]["sale"]["title"] == "Kettle rush"
    missing = await world.http.get("/api/v1/admin/sales/99999/report", headers=admin.auth)
    assert missing.status_code == 404


async def test_orders_are_searched_and_exported_alike(
    world: World, admin: Person, buyer: Person
) -> None:
    sale_id = await world.sale(admin)
    other = await world.person()
    await world.press(sale_id, buyer.id, other.id)
    mine, theirs = await pay(world, sale_id, buyer), await pay(world, sale_id, other)
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"q": mine["order_no"]}, [mine["order_no"]]),
        ({"q": buyer.email}, [mine["order_no"]]),
        ({"q": " pat ", "sale_id": sale_id}, [theirs["order_no"], mine["order_no"]]),
        ({"user_id": other.id}, [theirs["order_no"]]),
        ({"state": "refunded", "sale_id": sale_id}, []),
        ({"until_ms": 1, "sale_id": sale_id}, []),
    ]
    for query, numbers in cases:
        items = (await get(world, admin, "orders", **query))["items"]
        assert sorted(order["order_no"] for order in items) == sorted(numbers), query
        exported = await world.http.get(
            "/api/v1/admin/orders.csv", headers=admin.auth, params=query
        )
        lines = exported.text.splitlines()[1:]
        assert sorted(line[:9] for line in lines if "-" in line[:9]) == sorted(numbers), query
    bad = await world.http.get("/api/v1/admin/orders?state=lost", headers=admin.auth)
    assert (bad.status_code, bad.json()["field"]) == (400, "state")


async def test_people_are_found_page_by_page(world: World, admin: Person) -> None:
    people = [await world.person() for _ in range(3)]
    for query in (people[1].email, str(people[1].id)):
        items = (await get(world, admin, "users", q=query))["items"]
        assert people[1].id in [item["id"] for item in items]
    first = await get(world, admin, "users", limit=2)
    second = await get(world, admin, "users", limit=2, cursor=first["next_cursor"])
    ids = [person["id"] for person in first["items"] + second["items"]]
    assert ids == sorted(set(ids), reverse=True) and len(ids) == 4
    assert "password_hash" not in first["items"][0]


async def test_a_story_tells_presses_payments_and_mails(
    world: World, admin: Person, buyer: Person
) -> None:
    sale_id = await world.sale(admin, stock=1)
    batch = await world.press(sale_id, buyer.id)
    again = await world.press(sale_id, buyer.id)
    for each in (batch, again):
        await world.parts.broker.publish(each)
    await pay(world, sale_id, buyer)
    path = f"users/{buyer.id}/story"
    story = await get(world, admin, path, sale_id=sale_id)
    assert [(p["request_id"], p["outcome"]) for p in story["presses"]] == [
        (batch.rid(0), "held"),
        (again.rid(0), "repeat"),
    ]
    assert [p["state"] for p in story["payments"]] == ["captured"]
    assert sorted(m["event"] for m in story["mails"]) == ["paid", "won"]
    assert [h["state"] for h in story["holds"]] == ["PAID"]
    assert (await get(world, admin, path))["presses"] is None


async def test_presses_that_cannot_be_read_are_not_invented(world: World, admin: Person) -> None:
    sale_id = await world.sale(admin)
    broker: Any = world.parts.broker

    async def away() -> None:
        raise DependencyDown("away")

    broker.ping = away
    assert await Presses(broker, world.parts.store).of(sale_id, admin.id) is None


async def test_the_trail_of_one_sale_names_who(world: World, admin: Person) -> None:
    sale_id = await world.sale(admin)
    await world.sale(admin)
    entries = (await get(world, admin, "audit-trail", subject=f"sale:{sale_id}"))["items"]
    assert [entry["action"] for entry in entries] == ["sale.publish", "sale.create"]
    assert {entry["actor_name"] for entry in entries} == {"Pat Doe"}


async def test_giving_up_while_paying_says_when_to_ask_again(
    world: World, admin: Person, buyer: Person
) -> None:
    sale_id = await world.sale(admin)
    await world.hold(sale_id, buyer)
    body = await world.checkout_body(sale_id, buyer, card="4000000000003220")
    path = f"/api/v1/sales/{sale_id}"
    begun = await world.http.post(f"{path}/checkout", json=body, headers=buyer.auth)
    assert begun.status_code == 202
    refused = await world.http.delete(f"{path}/purchases/mine", headers=buyer.auth)
    assert (refused.status_code, refused.json()["code"]) == (409, "payment_in_progress")
    assert refused.headers["retry-after"] == "1"
