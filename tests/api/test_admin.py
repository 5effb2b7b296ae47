"""The admin's routes: roles, products, pictures, sales, stock, watching, support, the trail."""

from typing import Any

import pytest

from miaosha.api.app import routes
from miaosha.api.declare import Operation, Who
from miaosha.domain.errors import DependencyDown
from miaosha.domain.picture import small_url
from miaosha.ports.pictures import PICTURE_MAX_BYTES
from miaosha.usecases.audit import Finding, Verdict
from tests.api.world import Person, World
from tests.kit.pictures import picture

PNG = picture("PNG")


async def trail(world: World, admin: Person) -> list[dict[str, Any]]:
    answer = await world.http.get("/api/v1/admin/audit-trail?limit=50", headers=admin.auth)
    return [entry for entry in answer.json()["items"] if entry["actor"] == f"user:{admin.id}"]


async def test_every_admin_route_is_only_for_admins(world: World, buyer: Person) -> None:
    paths = [
        (str(min(route.http_methods)), path.replace("{sale_id:int}", "1"), route)
        for route in routes()
        for path in route.paths
    ]
    tried = 0
    for method, path, route in paths:
        declared: Operation = route.opt["operation"]
        assert ("/admin/" in path) == (declared.who is Who.ADMIN), path
        if declared.who is not Who.ADMIN:
            continue
        for old, new in (
            ("{product_id:int}", "1"),
            ("{user_id:int}", "1"),
            ("{order_id:str}", "x"),
            ("{parked_id:str}", "x"),
        ):
            path = path.replace(old, new)
        refused = await world.http.request(method, f"/api/v1{path}", headers=buyer.auth)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), path
        assert (await world.http.request(method, f"/api/v1{path}")).status_code == 401
        tried += 1
    assert tried > 20


async def test_a_product_from_creation_to_deletion(world: World, admin: Person) -> None:
    product_id = await world.product(admin)
    path = f"/api/v1/admin/products/{product_id}"
    body = {
        "name": "Teapot",
        "description": "Holds\n\ntea",
        "list_price": {"amount": 1, "currency": "JPY"},
    }
    changed = await world.http.put(path, json=body, headers=admin.auth)
    version = changed.json()["version"]
    assert changed.json() == body | {"id": product_id, "picture_url": "", "version": version}
    assert (await world.http.get(path, headers=admin.auth)).json() == changed.json()
    listed = (await world.http.get("/api/v1/admin/products", headers=admin.auth)).json()
    assert changed.json() in listed["items"]
    assert (await world.http.delete(path, headers=admin.auth)).status_code == 204
    for method in ("GET", "DELETE"):
        assert (await world.http.request(method, path, headers=admin.auth)).status_code == 404
    assert [e["action"] for e in await trail(world, admin)] == [
        "product.delete",
        "product.update",
        "product.create",
    ]


async def test_of_two_changes_of_one_product_the_second_is_told(
    world: World, admin: Person
) -> None:
    product_id = await world.product(admin)
    path = f"/api/v1/admin/products/{product_id}"
    began = (await world.http.get(path, headers=admin.auth)).json()
    body = {"name": "Ann's kettle", "list_price": began["list_price"], "version": began["version"]}
    pictured = await world.http.put(
        f"{path}/picture", content=PNG, headers=admin.auth | {"content-type": "image/png"}
    )
    assert pictured.json()["version"] == began["version"], "a picture is nobody's edit"
    assert (await world.http.put(path, json=body, headers=admin.auth)).status_code == 200
    late = await world.http.put(path, json=body | {"name": "Bob's"}, headers=admin.auth)
    assert (late.status_code, late.json()["code"], late.json()["field"]) == (
        409,
        "conflict",
        "version",
    )
    now = (await world.http.get(path, headers=admin.auth)).json()
    assert (now["name"], now["picture_url"]) == ("Ann's kettle", pictured.json()["picture_url"])
    anyway = {"name": "Bob's", "list_price": began["list_price"]}
    assert (await world.http.put(path, json=anyway, headers=admin.auth)).json()["name"] == "Bob's"


async def test_a_product_in_use_stays(world: World, admin: Person) -> None:
    sale_id = await world.sale(admin)
    product = (await world.http.get(f"/api/v1/sales/{sale_id}")).json()["product"]
    answer = await world.http.delete(f"/api/v1/admin/products/{product['id']}", headers=admin.auth)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"list_price": {"amount": -1, "currency": "EUR"}}, "list_price"),
        ({"list_price": {"amount": 1.5, "currency": "EUR"}}, "list_price.amount"),
        ({"list_price": {"amount": 10**13, "currency": "EUR"}}, "list_price.amount"),
        ({"list_price": {"amount": 1, "currency": "XXX"}}, "list_price.currency"),
        ({"picture_url": "http://evil.test"}, "picture_url"),
        ({"description": "a\x00b"}, "description"),
    ],
)
async def test_a_bad_product_names_the_field(
    world: World, admin: Person, change: dict[str, Any], field: str
) -> None:
    body = {"name": "Kettle", "list_price": {"amount": 1, "currency": "EUR"}} | change
    answer = await world.http.post("/api/v1/admin/products", json=body, headers=admin.auth)
    assert (answer.status_code, answer.json().get("field")) == (400, field), answer.text


def name_of(url: str) -> str:
    return url[url.index("pictures/") :]


async def test_a_picture_is_what_its_bytes_say(world: World, admin: Person) -> None:
    product_id = await world.product(admin)
    path = f"/api/v1/admin/products/{product_id}/picture"

    async def put(content: bytes, media: str) -> Any:
        headers = admin.auth | {"content-type": media}
        return await world.http.put(path, content=content, headers=headers)

    stored = (await put(PNG, "image/jpeg")).json()["picture_url"]
    assert stored.endswith(".webp")
    assert set(world.files.stored) == {name_of(stored), name_of(small_url(stored))}
    other = (await put(picture("WEBP"), "image/webp")).json()["picture_url"]
    assert other != stored, "and the old files are gone"
    assert set(world.files.stored) == {name_of(other), name_of(small_url(other))}
    for content, media, status in (
        (b"<svg onload=alert(1)>", "image/png", 415),
        (b"", "image/png", 415),
        (PNG[: len(PNG) // 2], "image/png", 415),
        (PNG, "image/svg+xml", 415),
        (PNG, "application/json", 415),
        (PNG + b"x" * PICTURE_MAX_BYTES, "image/png", 413),
    ):
        assert (await put(content, media)).status_code == status
    assert (await world.http.delete(path, headers=admin.auth)).status_code == 204
    assert world.files.stored == {}


async def test_a_draft_becomes_a_sale(world: World, admin: Person) -> None:
    body = world.sale_body(await world.product(admin))
    draft = (await world.http.post("/api/v1/admin/sales", json=body, headers=admin.auth)).json()
    path = f"/api/v1/admin/sales/{draft['id']}"
    assert (draft["phase"], draft["stored_phase"]) == ("draft", "draft")
    assert draft["sale"]["standby_limit"] == 1_000
    assert draft["sale"]["standby_pay_within_s"] == draft["sale"]["pay_within_s"] == 600
    assert draft["sale"]["questions"][0]["answer"] == "b"
    changed = await world.http.put(path, json=body | {"stock": 9}, headers=admin.auth)
    assert changed.json()["sale"]["stock"] == 9
    stale = body | {"stock": 8, "version": draft["version"]}
    missed = await world.http.put(path, json=stale, headers=admin.auth)
    assert (missed.status_code, missed.json()["code"], missed.json()["field"]) == (
        409,
        "conflict",
        "version",
    )
    fresh = body | {"stock": 9, "version": changed.json()["version"]}
    assert (await world.http.put(path, json=fresh, headers=admin.auth)).status_code == 200
    published = await world.http.post(f"{path}/publish", headers=admin.auth)
    assert (published.status_code, published.json()["phase"]) == (200, "open")
    reading = await world.parts.store.reading(draft["id"])
    assert reading and (reading.free, reading.phase) == (9, "open")
    fixed = await world.http.put(path, json=body, headers=admin.auth)
    assert (fixed.status_code, fixed.json()["code"]) == (409, "conflict")
    for again in (
        await world.http.post(f"{path}/publish", headers=admin.auth),
        await world.http.delete(path, headers=admin.auth),
    ):
        assert again.status_code == 409
    assert draft["id"] in [
        s["id"]
        for s in (await world.http.get("/api/v1/admin/sales", headers=admin.auth)).json()["items"]
    ]


async def test_a_draft_can_be_deleted(world: World, admin: Person) -> None:
    body = world.sale_body(await world.product(admin))
    draft = (await world.http.post("/api/v1/admin/sales", json=body, headers=admin.auth)).json()
    path = f"/api/v1/admin/sales/{draft['id']}"
    assert (await world.http.delete(path, headers=admin.auth)).status_code == 204
    assert (await world.http.get(path, headers=admin.auth)).status_code == 404


async def test_pause_resume_close(world: World, admin: Person) -> None:
    sale_id = await world.sale(admin)
    path = f"/api/v1/admin/sales/{sale_id}"

    async def act(action: str) -> tuple[int, str]:
        answer = await world.http.post(f"{path}/{action}", headers=admin.auth)
        return answer.status_code, answer.json().get("phase", answer.json().get("code"))

    assert await act("resume") == (409, "conflict")
    assert await act("pause") == (200, "paused")
    assert await act("pause") == (409, "conflict")
    reading = await world.parts.store.reading(sale_id)
    assert reading and reading.phase == "paused"
    assert await act("resume") == (200, "open")
    assert await act("close") == (200, "closed")
    assert await act("close") == (409, "conflict")
    assert await act("pause") == (409, "conflict")
    assert [e["action"] for e in await trail(world, admin)][:3] == [
        "sale.close",
        "sale.resume",
        "sale.pause",
    ]
    assert (await world.http.post("/api/v1/admin/sales/99999/pause", headers=admin.auth)).json()[
        "code"
    ] == "not_found"


async def test_stock_up_and_down(world: World, admin: Person) -> None:
    sale_id = await world.sale(admin, stock=1)
    people = [await world.person() for _ in range(3)]
    await world.press(sale_id, *[p.id for p in people])
    path = f"/api/v1/admin/sales/{sale_id}/stock"
    raised = await world.http.post(path, json={"stock": 2}, headers=admin.auth)
    assert raised.json()["sale"]["stock"] == 2
    hold = await world.parts.ledger.holds.live(sale_id, people[1].id)
    assert hold and hold.promoted  # standby got the new unit at once
    below = await world.http.post(path, json={"stock": 1}, headers=admin.auth)
    assert (below.status_code, below.json()["code"]) == (409, "conflict")
    for bad in ({"stock": 0}, {"stock": True}, {"stock": "2"}, {"stock": 2, "sold": 0}, {}):
        assert (await world.http.post(path, json=bad, headers=admin.auth)).status_code == 400
    await world.http.post(path, json={"stock": 5}, headers=admin.auth)
    lowered = await world.http.post(path, json={"stock": 3}, headers=admin.auth)
    assert (lowered.status_code, lowered.json()["sale"]["stock"]) == (200, 3)
    reading = await world.parts.store.reading(sale_id)
    assert reading and (reading.stock, reading.held, reading.phase) == (3, 3, "open")


async def test_rebuilding_ends_a_freeze(world: World, admin: Person, buyer: Person) -> None:
    sale_id = await world.sale(admin)
    await world.hold(sale_id, buyer)
    terms = await world.parts.ledger.sales.terms(sale_id)
    assert terms and await world.parts.ledger.sales.freeze(sale_id, terms.epoch, "a test")
    frozen = await world.http.get(f"/api/v1/admin/sales/{sale_id}", headers=admin.auth)
    assert (frozen.json()["phase"], frozen.json()["sale"]["frozen"]) == ("frozen", "a test")
    rebuilt = await world.http.post(f"/api/v1/admin/sales/{sale_id}/rebuild", headers=admin.auth)
    assert (rebuilt.status_code, rebuilt.json()["phase"]) == (200, "open")


async def test_a_sale_in_numbers(world: World, admin: Person, buyer: Person) -> None:
    sale_id = await world.sale(admin)
    await world.hold(sale_id, buyer)
    path = f"/api/v1/admin/sales/{sale_id}/stats"
    stats = (await world.http.get(path, headers=admin.auth)).json()
    assert (stats["phase"], stats["ledger"]["granted"], stats["ledger"]["sold"]) == ("open", 1, 0)
    assert (stats["reading"]["held"], stats["reading"]["free"]) == (1, 1)
    assert stats["pressure"]["full"] is False
    store: Any = world.parts.store
    broker: Any = world.parts.broker

    async def away(*_: Any) -> Any:
        raise DependencyDown("away")

    store.reading = broker.pressure = away
    partly = (await world.http.get(path, headers=admin.auth)).json()
    assert (partly["reading"], partly["pressure"], partly["ledger"]["granted"]) == (None, None, 1)
    unknown = await world.http.get("/api/v1/admin/sales/99999/stats", headers=admin.auth)
    assert unknown.status_code == 404


async def test_the_audit_names_what_is_broken(world: World, admin: Person) -> None:
    sale_id = await world.sale(admin)
    path = f"/api/v1/admin/sales/{sale_id}/audit"
    assert (await world.http.get(path, headers=admin.auth)).json() == {"verdict": None, "run": None}
    assert (await world.http.post(path, headers=admin.auth)).json()["verdict"]["clean"] is True
    finding = Finding("I1", "free + held + paid = 3, stock 2", "I1 sum")
    world.auditor.verdict = Verdict(sale_id, False, [finding], 7, {"holds": 3})
    told = (await world.http.post(path, headers=admin.auth)).json()
    assert told == (await world.http.get(path, headers=admin.auth)).json(), (
        "looking changes nothing"
    )
    assert told["run"] is None
    answer = told["verdict"]
    assert (answer["clean"], answer["checked_at_ms"]) == (False, 7)
    [named] = answer["findings"]
    assert named == {"invariant": "I1", "detail": finding.detail, "thing": "I1 sum"}
    for ask in (world.http.get, world.http.post):
        missing = await ask("/api/v1/admin/sales/99999/audit", headers=admin.auth)
        assert missing.status_code == 404


async def bought(world: World, admin: Person, person: Person, name: str = "Pat") -> Any:
    sale_id = await world.sale(admin)
    await world.hold(sale_id, person)
    body = await world.checkout_body(sale_id, person) | {"name": name}
    answer = await world.http.post(
        f"/api/v1/sales/{sale_id}/checkout", json=body, headers=person.auth
    )
    assert answer.status_code == 201
    return answer.json()


async def test_orders_for_admins(world: World, admin: Person, buyer: Person) -> None:
    order = await bought(world, admin, buyer)
    listed = await world.http.get(
        f"/api/v1/admin/orders?sale_id={order['sale_id']}", headers=admin.auth
    )
    buyers = {"user_id": buyer.id, "email": buyer.email, "name": "Pat Doe"}
    assert listed.json()["items"] == [order | buyers | {"sale_title": "Kettle rush"}]
    path = f"/api/v1/admin/orders/{order['id']}/delivery"
    delivery = await world.http.get(path, headers=admin.auth)
    assert delivery.json() == {
        "name": "Pat",
        "phone": "+49 30 123456",
        "address": "1 Main Street\nBerlin",
    }
    assert (await trail(world, admin))[0]["action"] == "order.delivery"
    for order_id in ("x", "00000000-0000-0000-0000-000000000000"):
        missing = f"/api/v1/admin/orders/{order_id}/delivery"
        assert (await world.http.get(missing, headers=admin.auth)).status_code == 404


async def parked(world: World, admin: Person) -> Any:
    answer = await world.http.get("/api/v1/admin/parked", headers=admin.auth)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_parked_messages_and_their_return(world: World, admin: Person) -> None:
    broker: Any = world.parts.broker
    raw = b"\x00\xffjunk" * 100
    fields = {"queue": "mail", "reason": "not a mail", "raw": raw, "size": len(raw)}
    item_id = (await broker._client.xadd("parked", fields)).decode()
    listed = await parked(world, admin)
    [item] = [item for item in listed["items"] if item["id"] == item_id]
    assert (item["kind"], item["source"], item["reason"]) == ("message", "mail", "not a mail")
    assert (item["mail"], item["message"]["size"]) == (None, len(raw))
    assert item["message"]["preview"].startswith("\\x00\\xffjunk")
    path = f"/api/v1/admin/parked/{item_id}/redrive"
    gone = await world.http.post(path, headers=admin.auth)
    assert (gone.status_code, gone.json()["code"]) == (409, "conflict"), "there is no such queue"
    await broker._client.xadd("mail", {"b": b"x"})
    assert (await world.http.post(path, headers=admin.auth)).status_code == 204
    assert (await trail(world, admin))[0]["subject"] == f"parked:{item_id}"
    assert (await world.http.post(path, headers=admin.auth)).status_code == 404
    await broker._client.delete("mail")


async def test_parked_mails_and_their_return(world: World, admin: Person, buyer: Person) -> None:
    sale_id = await world.sale(admin)
    await world.hold(sale_id, buyer)
    ledger, now = world.parts.ledger, world.parts.clock.now_ms()
    mails = [m for m in await ledger.outbox.due(now + 1, 1_000) if m.sale_id == sale_id]
    assert [mail.event for mail in mails] == ["won"]
    await ledger.outbox.mark_failed(
        mails[0].id, now, None, "The mail server refused this mail (550)."
    )
    listed = await parked(world, admin)
    [item] = [item for item in listed["items"] if item["id"] == f"mail-{mails[0].id}"]
    assert (item["kind"], item["source"], item["message"]) == ("mail", "won", None)
    assert item["reason"].endswith("(550).")
    assert (item["mail"]["email"], item["mail"]["sale_id"]) == (buyer.email, sale_id)
    assert listed["mails"] >= 1
    stats = await world.http.get(f"/api/v1/admin/sales/{sale_id}/stats", headers=admin.auth)
    assert stats.json()["books"]["mails"]["parked"] == 1

    path = f"/api/v1/admin/parked/{item['id']}/redrive"
    assert (await world.http.post(path, headers=admin.auth)).status_code == 204
    assert (await world.http.post(path, headers=admin.auth)).status_code == 404
    await ledger.outbox.mark_failed(mails[0].id, now, None, "again")
    every = "/api/v1/admin/parked/redrive-mails"
    assert (await world.http.post(every, headers=admin.auth)).json()["mails"] >= 1
    assert (await world.http.post(every, headers=admin.auth)).json() == {"mails": 0}
    assert (await parked(world, admin))["mails"] == 0


async def test_one_buyers_story(world: World, admin: Person, buyer: Person) -> None:
    order = await bought(world, admin, buyer)
    path = f"/api/v1/admin/users/{buyer.id}/story"
    story = (await world.http.get(path, headers=admin.auth)).json()
    assert (story["email"], [o["id"] for o in story["orders"]]) == (buyer.email, [order["id"]])
    told = next(s for s in story["sales"] if s["sale_id"] == order["sale_id"])
    assert told["hold"]["state"] == "PAID" and told["place"]["state"] == "paid"
    assert told["says"] == "paid after 1 payment attempts"
    one = await world.http.get(f"{path}?sale_id={order['sale_id']}", headers=admin.auth)
    assert [s["sale_id"] for s in one.json()["sales"]] == [order["sale_id"]]
    for missing in ("/api/v1/admin/users/99999999/story", f"{path}?sale_id=99999"):
        assert (await world.http.get(missing, headers=admin.auth)).status_code == 404


async def test_the_trail_comes_in_pages(world: World, admin: Person) -> None:
    for _ in range(3):
        await world.product(admin)
    path = "/api/v1/admin/audit-trail"
    first = (await world.http.get(f"{path}?limit=2", headers=admin.auth)).json()
    query = {"limit": "2", "cursor": first["next_cursor"]}
    second = (await world.http.get(path, params=query, headers=admin.auth)).json()
    ids = [entry["id"] for entry in first["items"] + second["items"]]
    assert ids == sorted(set(ids), reverse=True) and len(ids) == 4
    for cursor in ("x", "====", "aXg", "LTE"):
        answer = await world.http.get(f"{path}?cursor={cursor}", headers=admin.auth)
        assert (answer.status_code, answer.json()["field"]) == (400, "cursor")
