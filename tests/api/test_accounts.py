"""Sign up, sign in, refresh over HTTP: bodies, limits, and who somebody is."""

from typing import Any

import pytest

from tests.api.world import World, open_world

SIGN_UP = {"email": "Ada@Example.Test", "password": "a purple teapot", "name": "Ada"}


def fresh(**changes: Any) -> dict[str, Any]:
    fresh.count += 1  # type: ignore[attr-defined]
    return SIGN_UP | {"email": f"Ada{fresh.count}@Example.Test"} | changes  # type: ignore[attr-defined]


fresh.count = 0  # type: ignore[attr-defined]


async def test_sign_up_makes_a_buyer_signed_in_at_once(world: World) -> None:
    body = fresh()
    made = await world.http.post("/api/v1/accounts", json=body)
    assert made.status_code == 201
    answer = made.json()
    assert answer["user"] | {"id": 0} == {
        "id": 0,
        "name": "Ada",
        "email": body["email"].lower(),
        "role": "buyer",
    }
    orders = await world.http.get(
        "/api/v1/orders", headers={"authorization": f"Bearer {answer['access_token']}"}
    )
    assert orders.json() == {"items": [], "next_cursor": None}
    assert made.headers["cache-control"] == "no-store"


async def test_an_email_is_taken_in_any_case(world: World) -> None:
    body = fresh()
    await world.http.post("/api/v1/accounts", json=body)
    again = await world.http.post(
        "/api/v1/accounts", json=body | {"email": f" {body['email'].upper()} "}
    )
    assert (again.status_code, again.json()["code"]) == (409, "email_taken")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "nobody"}, "email"),
        ({"email": "a@b"}, "email"),
        ({"email": "a\r\nbcc: x@example.test"}, "email"),
        ({"email": f"{'a' * 250}@example.test"}, "email"),
        ({"email": 7}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"password": "Password1!"}, "password"),
        ({"password": "12345678"}, "password"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"role": "admin"}, "role"),
        ({"id": 1}, "id"),
        ({"password_hash": "x"}, "password_hash"),
    ],
)
async def test_a_bad_sign_up_names_the_field(
    world: World, change: dict[str, Any], field: str
) -> None:
    refused = await world.http.post("/api/v1/accounts", json=fresh(**change))
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    assert refused.json()["field"] == field
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("password", ["", "short", "x" * 129])
async def test_the_length_of_a_password_is_said_as_on_the_command_line(
    world: World, password: str
) -> None:
    refused = await world.http.post("/api/v1/accounts", json=fresh(password=password))
    assert refused.json()["detail"] == "A password has 8 to 128 characters."


async def test_a_missing_field_is_named(world: World) -> None:
    body = fresh()
    del body["name"]
    refused = await world.http.post("/api/v1/accounts", json=body)
    assert (refused.status_code, refused.json()["field"]) == (400, "name")


@pytest.mark.parametrize(
    ("content", "media", "status", "code"),
    [
        (b"{", "application/json", 400, "bad_request"),
        (b"", "application/json", 400, "bad_request"),
        (b"[" * 3_000, "application/json", 400, "bad_request"),
        (b"\xff\xfe", "application/json", 400, "bad_request"),
        (b'{"email":"\\ud800"}', "application/json", 400, "bad_request"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"{}", "", 415, "unsupported_media_type"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"x" * 4_097, "application/json", 413, "too_large"),
    ],
)
async def test_a_body_that_is_none(
    world: World, content: bytes, media: str, status: int, code: str
) -> None:
    headers = {"content-type": media} if media else {}
    refused = await world.http.post("/api/v1/accounts", content=content, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert refused.json()["detail"]


async def test_sign_in(world: World) -> None:
    person = await world.person()
    good = {"email": f" {person.email.upper()}", "password": "correct horse"}
    answer = await world.http.post("/api/v1/sessions", json=good)
    assert answer.status_code == 200
    assert answer.json()["user"]["id"] == person.id


async def test_a_wrong_password_and_an_unknown_email_read_the_same(world: World) -> None:
    person = await world.person()
    wrong = await world.http.post(
        "/api/v1/sessions", json={"email": person.email, "password": "incorrect"}
    )
    unknown = await world.http.post(
        "/api/v1/sessions", json={"email": "no@example.test", "password": "incorrect"}
    )
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong.json()["code"] == "bad_credentials"
    assert world.passwords.verified == ["plain$correct horse", None]  # the same work for both


async def test_a_forged_address_does_not_evade_the_limit(
    api_store_url: str, api_database_url: str
) -> None:
    async with open_world(api_store_url, api_database_url, sign_ups_per_min=2) as world:
        codes = [
            (
                await world.http.post(
                    "/api/v1/accounts",
                    json=fresh(),
                    headers={"x-real-ip": f"203.0.113.{n}", "x-forwarded-for": f"203.0.113.{n}"},
                )
            ).status_code
            for n in range(3)
        ]
    assert codes == [201, 201, 429]


async def test_behind_a_trusted_proxy_the_address_is_the_clients(
    api_store_url: str, api_database_url: str
) -> None:
    async with open_world(
        api_store_url, api_database_url, sign_ups_per_min=1, trusted_proxies="127.0.0.0/8"
    ) as world:
        codes = [
            (
                await world.http.post(
                    "/api/v1/accounts", json=fresh(), headers={"x-real-ip": address}
                )
            ).status_code
            for address in (
                "203.0.113.1",
                "203.0.113.2",
                "203.0.113.2",
                "2001:db8::1",
                "2001:db8::2",
            )
        ]
    assert codes == [201, 201, 429, 201, 429]  # of IPv6 a /64 is one client


async def test_refresh_carries_the_present_role(world: World) -> None:
    person = await world.person("admin")
    stale = world.parts.tokens.access(person.id, "buyer", world.clock.now_ms())
    fresh_one = await world.http.post(
        "/api/v1/sessions/refresh", headers={"authorization": f"Bearer {stale}"}
    )
    assert fresh_one.json()["user"]["role"] == "admin"
    gone = world.parts.tokens.access(987_654_321, "buyer", world.clock.now_ms())
    refused = await world.http.post(
        "/api/v1/sessions/refresh", headers={"authorization": f"Bearer {gone}"}
    )
    assert refused.json()["code"] == "unauthorized"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer nonsense", "Basic YTpi", "bearer\tx", "Bearer a b"]
)
async def test_without_a_good_token_nothing_personal(world: World, header: str) -> None:
    headers = {"authorization": header} if header else {}
    for method, path in [
        ("GET", "/orders"),
        ("GET", "/sales/1/purchases/mine"),
        ("DELETE", "/sales/1/purchases/mine"),
        ("POST", "/sales/1/purchases/mine/extend"),
        ("GET", "/sales/1/question"),
        ("POST", "/sessions/refresh"),
        ("POST", "/sales/1/checkout"),
        ("GET", "/admin/sales"),
    ]:
        refused = await world.http.request(method, f"/api/v1{path}", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized"), path
        assert refused.headers["www-authenticate"] == "Bearer"


async def test_an_expired_token(world: World) -> None:
    person = await world.person()
    world.clock.advance(28_801_000)
    refused = await world.http.get("/api/v1/orders", headers=person.auth)
    assert refused.status_code == 401
