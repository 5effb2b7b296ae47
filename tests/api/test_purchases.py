"""A buyer's place, checkout and orders over HTTP, on the real ledger, store and sandbox."""

from typing import Any

import pytest

from miaosha.domain.errors import OutcomeUnknown, Overloaded
from miaosha.domain.messages import Results
from tests.api.world import Person, World


async def mine(world: World, sale_id: int, person: Person, **query: str) -> dict[str, Any]:
    answer = await world.http.get(
        f"/api/v1/sales/{sale_id}/purchases/mine", headers=person.auth, params=query
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return dict(answer.json())


async def pay(world: World, sale_id: int, person: Person, body: dict[str, Any]) -> Any:
    return await world.http.post(
        f"/api/v1/sales/{sale_id}/checkout", json=body, headers=person.auth
    )


async def test_a_unit_from_press_to_order(world: World, admin: Person, buyer: Person) -> None:
    sale_id = await world.sale(admin)
    assert (await mine(world, sale_id, buyer))["state"] == "none"
    hold = await world.hold(sale_id, buyer)
    held = await mine(world, sale_id, buyer)
    assert (held["state"], held["pay_by_ms"], held["request_id"]) == (
        "held",
        hold.pay_by_ms,
        hold.rid,
    )
    paid = await pay(world, sale_id, buyer, await world.checkout_body(sale_id, buyer))
    assert paid.status_code == 201
    order = paid.json()
    assert set(order) == {
        "id",
        "order_no",
        "rid",
        "sale_id",
        "state",
        "amount",
        "currency",
        "created_at_ms",
    }
    assert (order["amount"], order["currency"], order["state"]) == (4_900, "EUR", "paid")
    after = await mine(world, sale_id, buyer)
    assert (after["state"], after["order_id"]) == ("paid", order["id"])
    assert "checkout_token" not in after
    assert (await world.http.get("/api/v1/orders", headers=buyer.auth)).json()["items"] == [order]


async def test_a_repeated_checkout_answers_the_same_order(
    world: World, admin: Person, buyer: Person
) -> None:
    sale_id = await world.sale(admin)
    await world.hold(sale_id, buyer)
    body = await world.checkout_body(sale_id, buyer)
    first = await pay(world, sale_id, buyer, body)
    world.clock.advance(10_000_000)  # the token has expired long since
    again = await pay(world, sale_id, buyer, body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()


async def test_a_checkout_takes_what_people_type(
    world: World, admin: Person, buyer: Person
) -> None:
    """Digits of another script and width, blanks, an extension; it is kept in one form."""
    sale_id = await world.sale(admin)
    await world.hold(sale_id, buyer)
    body = await world.checkout_body(sale_id, buyer) | {
        "payment": {"card": "４２４２ 4242\u00a04242-4242", "expiry": "1 / 2030", "cvc": "١٢٣"},
        "phone": "\u202a+886 2 ２３４５–6789 ext. 12\u202c",
        "name": "Pat\tDoe",
    }
    paid = await pay(world, sale_id, buyer, body)
    assert paid.status_code == 201
    delivery = await world.parts.ledger.orders.delivery(paid.json()["id"])
    assert delivery is not None
    assert (delivery.phone, delivery.name) == ("+886 2 2345-6789 #12", "Pat Doe")


async def test_what_cannot_be_meant_is_refused_with_what_would_be_right(
    world: World, buyer: Person
) -> None:
    good = {"card": "4242424242424242", "expiry": "12/30", "cvc": "123"}
    body = {"checkout_token": "x", "payment": good, "name": "P", "phone": "0000", "address": "A"}
    for change, right in (
        ({"payment": good | {"card": "4242"}}, "12 to 19 digits"),
        ({"payment": good | {"expiry": "13/30"}}, "like 12/30"),
        ({"payment": good | {"cvc": "12"}}, "3 or 4 digits"),
        ({"phone": "call me"}, "+886 2 2345 6789 #12"),
    ):
        refused = await pay(world, 1, buyer, body | change)
        assert refused.status_code == 400 and right in refused.json()["detail"]


async def test_a_refused_card_leaves_the_hold(world: World, admin: Person, buyer: Person) -> None:
    sale_id = await world.sale(admin)
    await world.hold(sale_id, buyer)
    body = await world.checkout_body(sale_id, buyer, card="4000000000000002")
    refused = await pay(world, sale_id, buyer, body)
    assert (refused.status_code, refused.json()["code"]) == (402, "payment_refused")
    assert (await mine(world, sale_id, buyer))["state"] == "held"


async def test_a_lost_answer_is_looked_up(world: World, admin: Person, buyer: Person) -> None:
    sale_id = await world.sale(admin)
    await world.hold(sale_id, buyer)
    body = await world.checkout_body(sale_id, buyer, card="4000000000000119")
    assert (await pay(world, sale_id, buyer, body)).status_code == 201


@pytest.mark.parametrize(("decision", "state"), [("approve", "paid"), ("refuse", "held")])
async def test_a_card_that_needs_the_redirect(
    world: World, admin: Person, buyer: Person, decision: str, state: str
) -> None:
    sale_id = await world.sale(admin)
    await world.hold(sale_id, buyer)
    body = await world.checkout_body(sale_id, buyer, card="4000000000003220")
    waiting = await pay(world, sale_id, buyer, body)
    assert waiting.status_code == 202
    page_url = waiting.json()["requires_action"]["redirect_url"]
    page = await world.http.get(page_url)
    assert page.status_code == 200 and "EUR 49.00" in page.text
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert (await mine(world, sale_id, buyer))["state"] == "paying"
    busy = await world.http.delete(f"/api/v1/sales/{sale_id}/purchases/mine", headers=buyer.auth)
    assert (busy.status_code, busy.json()["code"]) == (409, "payment_in_progress")
    gone = await world.http.post(page_url, data={"decision": decision})
    assert gone.status_code == 303
    assert gone.headers["location"] == f"http://shop.test/sales/{sale_id}?payment=returned"
    assert (await mine(world, sale_id, buyer))["state"] == state
    again = await world.http.post(page_url, data={"decision": "refuse"})
    assert again.status_code == 303  # the first answer counts
    assert (await mine(world, sale_id, buyer))["state"] == state
    assert "Back to the shop" in (await world.http.get(page_url)).text
    chinese = await world.http.get(page_url, headers={"accept-language": "zh-TW,zh;q=0.9"})
    assert 'lang="zh-Hant"' in chinese.text and "返回商店" in chinese.text


async def test_the_sandbox_page_takes_only_its_form(world: World) -> None:
    page = "/sandbox"
    for path in (f"{page}/nobody", f"{page}/{'x' * 200}", f"{page}/%C3%A4"):
        assert (await world.http.get(path)).status_code == 404
        answer = await world.http.post(path, data={"decision": "approve"})
        assert answer.status_code == 404
    assert (await world.http.post(f"{page}/x", data={"decision": "?"})).status_code == 400
    assert (await world.http.post(f"{page}/x", json={})).status_code == 415
    assert (await world.http.post(f"{page}/x", data={"a": "x" * 2_000})).status_code == 413


async def test_it_never_leads_away_from_the_shop(
    world: World, admin: Person, buyer: Person
) -> None:
    from miaosha.api.sandbox import _back

    context = world.app.state.context
    for url in ("http://evil.test/", "//evil.test", "javascript:x", "http://shop.test.evil/", ""):
        assert _back(context, url) == "http://shop.test/"
    assert _back(context, "http://shop.test/sales/1") == "http://shop.test/sales/1"


async def test_a_webhook_needs_its_signature_and_may_repeat(
    world: World, admin: Person, buyer: Person
) -> None:
    sale_id = await world.sale(admin)
    hold = await world.hold(sale_id, buyer)
    body = await world.checkout_body(sale_id, buyer, card="4000000000003220")
    page = (await pay(world, sale_id, buyer, body)).json()["requires_action"]["redirect_url"]
    provider: Any = world.parts.payments
    await provider.answer(page.rpartition("/")[2], approve=True)
    raw, signature = await provider.webhook(f"{hold.rid}:1")
    path = "/api/v1/payments/webhook/sandbox"
    headers = {"content-type": "application/json", "x-miaosha-signature": signature}
    forged = headers | {"x-miaosha-signature": "0" * 64}
    assert (await world.http.post(path, content=raw, headers=forged)).status_code == 401
    for _ in range(3):
        assert (await world.http.post(path, content=raw, headers=headers)).status_code == 204
    assert (await mine(world, sale_id, buyer))["state"] == "paid"
    elsewhere = await world.http.post(
        "/api/v1/payments/webhook/stripe", content=raw, headers=headers
    )
    assert elsewhere.status_code == 404


async def test_another_buyers_hold_and_order_are_out_of_reach(
    world: World, admin: Person, buyer: Person
) -> None:
    sale_id = await world.sale(admin)
    thief = await world.person()
    await world.hold(sale_id, buyer)
    body = await world.checkout_body(sale_id, buyer)
    stolen = await pay(world, sale_id, thief, body)
    assert (stolen.status_code, stolen.json()["code"]) == (401, "unauthorized")
    assert (await mine(world, sale_id, thief))["state"] == "none"
    given_up = await world.http.delete(
        f"/api/v1/sales/{sale_id}/purchases/mine", headers=thief.auth
    )
    assert given_up.status_code == 404
    order = (await pay(world, sale_id, buyer, body)).json()
    for person, status in ((thief, 404), (admin, 404), (buyer, 200)):
        answer = await world.http.get(f"/api/v1/orders/{order['id']}", headers=person.auth)
        assert answer.status_code == status
    assert (await world.http.get("/api/v1/orders", headers=thief.auth)).json()["items"] == []
    other_sale = await world.sale(admin)
    crossed = await pay(world, other_sale, buyer, body)
    assert crossed.status_code == 401  # the token names another sale


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": 1}, "amount"),
        ({"user_id": 1}, "user_id"),
        ({"price": {"amount": 1, "currency": "EUR"}}, "price"),
        ({"payment": {"card": "4242", "expiry": "12/30", "cvc": "1"}}, "payment.card"),
        (
            {"payment": {"card": "4242424242424242", "expiry": "13/30", "cvc": "123"}},
            "payment.expiry",
        ),
        ({"payment": {"card": "4242424242424242", "expiry": "12/30"}}, "payment.cvc"),
        ({"phone": "call me"}, "phone"),
        ({"name": "a\x07b"}, "name"),
        ({"address": ""}, "address"),
        ({"address": " \n "}, "address"),
        ({"address": "x" * 501}, "address"),
    ],
)
async def test_a_bad_checkout_names_the_field(
    world: World, buyer: Person, change: dict[str, Any], field: str
) -> None:
    body = {
        "checkout_token": "x",
        "payment": {"card": "4242424242424242", "expiry": "12/30", "cvc": "123"},
        "name": "Pat",
        "phone": "+49 30 1",
        "address": "1 Main Street",
    } | change
    refused = await pay(world, 1, buyer, body)
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    assert refused.json()["field"] == field


async def test_expired_and_garbled_checkout_tokens_differ(
    world: World, admin: Person, buyer: Person
) -> None:
    sale_id = await world.sale(admin)
    await world.hold(sale_id, buyer)
    body = await world.checkout_body(sale_id, buyer)
    garbled = await pay(world, sale_id, buyer, body | {"checkout_token": "nonsense"})
    assert garbled.status_code == 401
    world.clock.advance(603_000)
    late = await pay(world, sale_id, buyer, body)
    assert (late.status_code, late.json()["code"]) == (410, "hold_expired")


async def test_giving_up_hands_the_unit_to_standby(world: World, admin: Person) -> None:
    sale_id = await world.sale(admin, stock=1)
    winner, waiting = await world.person(), await world.person()
    await world.press(sale_id, winner.id, waiting.id)
    assert (await mine(world, sale_id, waiting))["position"] == 1
    path = f"/api/v1/sales/{sale_id}/purchases/mine"
    assert (await world.http.delete(path, headers=winner.auth)).status_code == 204
    assert (await mine(world, sale_id, waiting))["state"] == "held"
    assert (await mine(world, sale_id, winner))["state"] == "declined"
    pushed = [i for m in world.bus.messages if isinstance(m, Results) for i in m.items]
    assert any(i.user_id == waiting.id and i.checkout_token for i in pushed)


async def test_leaving_standby(world: World, admin: Person) -> None:
    sale_id = await world.sale(admin, stock=1)
    winner, waiting = await world.person(), await world.person()
    await world.press(sale_id, winner.id, waiting.id)
    path = f"/api/v1/sales/{sale_id}/purchases/mine"
    assert (await world.http.delete(path, headers=waiting.auth)).status_code == 204
    assert (await mine(world, sale_id, waiting))["state"] == "left"


async def test_a_request_that_ended_without_a_place(world: World, admin: Person) -> None:
    sale_id = await world.sale(admin, stock=1, standby_limit=0)
    winner, late = await world.person(), await world.person()
    batch = await world.press(sale_id, winner.id, late.id)
    assert (await mine(world, sale_id, late, request_id=batch.rid(1)))["state"] == "sold_out"
    assert (await mine(world, sale_id, late, request_id="0190-none.0"))["state"] == "queued"
    assert (await mine(world, sale_id, late))["state"] == "none"


@pytest.mark.parametrize("request_id", ["x", "a.b", ".1", "a.1234", "x" * 81])
async def test_a_request_id_that_is_none(world: World, buyer: Person, request_id: str) -> None:
    answer = await world.http.get(
        "/api/v1/sales/1/purchases/mine", headers=buyer.auth, params={"request_id": request_id}
    )
    assert (answer.status_code, answer.json()["field"]) == (400, "request_id")


async def test_more_time_once(world: World, admin: Person, buyer: Person) -> None:
    sale_id = await world.sale(admin)
    path = f"/api/v1/sales/{sale_id}/purchases/mine/extend"
    nothing = await world.http.post(path, headers=buyer.auth)
    assert (nothing.status_code, nothing.json()["code"]) == (404, "not_found")
    hold = await world.hold(sale_id, buyer)
    token = (await mine(world, sale_id, buyer))["checkout_token"]
    longer = await world.http.post(path, headers=buyer.auth, params={"pay_by_ms": hold.pay_by_ms})
    assert longer.status_code == 200
    later = hold.pay_by_ms + 120_000
    assert (longer.json()["pay_by_ms"], longer.json()["extended"]) == (later, True)
    assert longer.json()["checkout_token"] != token
    repeated = await world.http.post(path, headers=buyer.auth, params={"pay_by_ms": hold.pay_by_ms})
    assert (repeated.status_code, repeated.json()["pay_by_ms"]) == (200, later)
    twice = await world.http.post(path, headers=buyer.auth, params={"pay_by_ms": later})
    assert (twice.status_code, twice.json()["code"]) == (409, "already_extended")
    assert (await mine(world, sale_id, buyer))["version"] == longer.json()["version"]


async def test_more_time_under_every_other_state(
    world: World, admin: Person, buyer: Person
) -> None:
    sale_id = await world.sale(admin, pay_within_s=30)
    path = f"/api/v1/sales/{sale_id}/purchases/mine/extend"
    await world.hold(sale_id, buyer)
    terms = await world.parts.ledger.sales.terms(sale_id)
    assert terms and await world.parts.ledger.sales.freeze(sale_id, terms.epoch, "test")
    frozen = await world.http.post(path, headers=buyer.auth)
    assert (frozen.status_code, frozen.json()["code"]) == (503, "frozen")
    assert int(frozen.headers["retry-after"]) >= 1
    assert await world.parts.ledger.rebuilds.unfreeze(sale_id, terms.epoch + 1)
    wrong = await world.http.post(path, headers=buyer.auth, params={"pay_by_ms": "soon"})
    assert (wrong.status_code, wrong.json()["field"]) == (400, "pay_by_ms")
    world.clock.advance(33_000)
    late = await world.http.post(path, headers=buyer.auth)
    assert (late.status_code, late.json()["code"]) == (410, "hold_expired")
    nowhere = await world.http.post("/api/v1/sales/99/purchases/mine/extend", headers=buyer.auth)
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")


async def test_a_frozen_sale_still_tells_and_takes_payment(
    world: World, admin: Person, buyer: Person
) -> None:
    sale_id = await world.sale(admin)
    other = await world.person()
    await world.hold(sale_id, buyer)
    body = await world.checkout_body(sale_id, buyer)
    terms = await world.parts.ledger.sales.terms(sale_id)
    assert terms and await world.parts.ledger.sales.freeze(sale_id, terms.epoch, "test")
    path = f"/api/v1/sales/{sale_id}/purchases/mine"
    asked = await world.http.get(path, headers=other.auth)
    assert (asked.status_code, asked.json()["code"]) == (503, "frozen")
    assert (await world.http.delete(path, headers=buyer.auth)).json()["code"] == "frozen"
    assert (await pay(world, sale_id, buyer, body)).status_code == 201


@pytest.mark.parametrize(
    ("error", "code"),
    [(OutcomeUnknown("commit"), "unavailable"), (Overloaded("some_max"), "overloaded")],
)
async def test_faults_are_503_with_retry_after(
    world: World, buyer: Person, error: Exception, code: str
) -> None:
    async def failing(*_: Any) -> Any:
        raise error

    query: Any = world.parts.query
    query.mine = failing
    answer = await world.http.get("/api/v1/sales/1/purchases/mine", headers=buyer.auth)
    assert (answer.status_code, answer.json()["code"]) == (503, code)
    assert int(answer.headers["retry-after"]) >= 1


async def test_the_press_is_the_publishers(world: World, admin: Person, buyer: Person) -> None:
    sale_id = await world.sale(admin)
    path = f"/api/v1/sales/{sale_id}/purchases"
    answer = await world.http.post(path, json={"answer": "b"}, headers=buyer.auth)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await world.http.get(path)).status_code == 405


@pytest.mark.parametrize("order_id", ["x", "1", "%00", "a" * 300, "../../etc/passwd"])
async def test_order_ids_that_are_none(world: World, buyer: Person, order_id: str) -> None:
    answer = await world.http.get(f"/api/v1/orders/{order_id}", headers=buyer.auth)
    assert answer.status_code == 404


async def test_orders_come_in_pages(world: World, admin: Person, buyer: Person) -> None:
    for _ in range(3):
        sale_id = await world.sale(admin)
        await world.hold(sale_id, buyer)
        await pay(world, sale_id, buyer, await world.checkout_body(sale_id, buyer))
    first = (await world.http.get("/api/v1/orders?limit=2", headers=buyer.auth)).json()
    rest = (
        await world.http.get(
            "/api/v1/orders", params={"cursor": first["next_cursor"]}, headers=buyer.auth
        )
    ).json()
    assert [len(first["items"]), len(rest["items"]), rest["next_cursor"]] == [2, 1, None]
    assert len({item["id"] for item in first["items"] + rest["items"]}) == 3
    for query in ("limit=0", "limit=51", "limit=x", "cursor=", "cursor=nonsense"):
        answer = await world.http.get(f"/api/v1/orders?{query}", headers=buyer.auth)
        assert (answer.status_code, answer.json()["field"]) == (400, query.partition("=")[0])
