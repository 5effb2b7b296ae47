"""Sample sale: an admin and a buyer who can sign in, a crowd's accounts, a product and a sale.

Product and sale go in through the edge and the admin API, as an admin would do it.
"""

import asyncio
import importlib.resources
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from miaosha.domain.errors import MiaoshaError
from miaosha.trials.crowd.http_client import Http, Raw

if TYPE_CHECKING:
    from miaosha.bootstrap import ApiParts

TRIES = 10
ADMIN = "admin@demo.example"
BUYER = "buyer@demo.example"
PRODUCT = {
    "name": "Moon lamp",
    "description": "A porcelain moon, 15 cm, that glows for a month of evenings.",
    "list_price": {"amount": 4_900, "currency": "USD"},
}
QUESTIONS = [
    {
        "text": "What lights up on the lamp when it is touched?",
        "choices": [
            {"key": "a", "text": "The moon"},
            {"key": "b", "text": "The cable"},
            {"key": "c", "text": "Nothing"},
        ],
        "answer": "a",
    },
    {
        "text": "How long does its battery last?",
        "choices": [
            {"key": "a", "text": "An hour"},
            {"key": "b", "text": "A month of evenings"},
            {"key": "c", "text": "It has none"},
        ],
        "answer": "b",
    },
    {
        "text": "What is it made of?",
        "choices": [
            {"key": "a", "text": "Paper"},
            {"key": "b", "text": "Glass"},
            {"key": "c", "text": "Porcelain"},
        ],
        "answer": "c",
    },
]


class Login(NamedTuple):
    email: str
    password: str


class SampleSale(NamedTuple):
    sale_id: int
    opens_at_ms: int
    right: dict[int, str]  # question id → key of the right choice


async def logins(parts: "ApiParts") -> tuple[Login, Login]:
    """An admin and a buyer with passwords made for this demo."""
    from miaosha.usecases.accounts import Membership

    members = Membership(parts.accounts, parts.passwords, parts.tokens, parts.clock)
    admin = Login(ADMIN, secrets.token_urlsafe(9))
    buyer = Login(BUYER, secrets.token_urlsafe(9))
    await members.register(*admin, "Demo Admin", "admin")
    await members.register(*buyer, "Demo Buyer", "buyer")
    return admin, buyer


async def accounts(parts: "ApiParts", count: int) -> tuple[list[int], dict[int, str]]:
    """`count` buyers without a password, and an access token for each."""
    now = parts.clock.now_ms()
    people = [(f"buyer-{i}@crowd.example", f"Buyer {i}") for i in range(count)]
    ids = await parts.accounts.create_many(people, now) if people else []
    return ids, {user_id: parts.tokens.access(user_id, "buyer", now) for user_id in ids}


async def create_sale(
    host: str,
    port: int,
    admin: Login,
    *,
    stock: int,
    opens_in_s: float,
    open_for_s: float,
    pay_within_s: int,
    standby_limit: int | None = None,
) -> SampleSale:
    """Product and sale, published. Raises MiaoshaError with what the API answered instead.

    Args:
        standby_limit: None: what the API takes by itself.
    """
    http = Http(host, port, "127.0.0.1")
    try:
        session = await _send(http, "POST", "/api/v1/sessions", admin._asdict())
        http.token = session["access_token"]
        product = await _send(http, "POST", "/api/v1/admin/products", PRODUCT)
        path = f"/api/v1/admin/products/{product['id']}/picture"
        await _send(http, "PUT", path, Raw("image/jpeg", _picture()))
        clock = await _send(http, "GET", "/api/v1/time")
        opens_at_ms = clock["server_time_ms"] + round(opens_in_s * 1000)
        body = {
            "product_id": product["id"],
            "title": f"{stock:,} moon lamps at a tenth of the price",
            "price": {"amount": 490, "currency": "USD"},
            "stock": stock,
            "opens_at_ms": opens_at_ms,
            "closes_at_ms": opens_at_ms + round(open_for_s * 1000),
            "questions": QUESTIONS,
            "pay_within_s": pay_within_s,
            "standby_limit": standby_limit,
            "publish": True,
        }
        sale = await _send(http, "POST", "/api/v1/admin/sales", body)
    finally:
        http.close()
    right = {i: str(question["answer"]) for i, question in enumerate(QUESTIONS, 1)}
    return SampleSale(sale["id"], opens_at_ms, right)


def _picture() -> bytes:
    return importlib.resources.files("miaosha.trials").joinpath("moon-lamp.jpg").read_bytes()


async def _send(http: Http, method: str, path: str, body: object = None) -> dict[str, Any]:
    """The answer's body; a platform that is still warming up is asked again."""
    for _ in range(TRIES):
        answer = await http.request(method, path, body)
        if answer.status in (200, 201):
            found: dict[str, Any] = answer.body
            return found
        if answer.status not in (0, 503):
            break
        await asyncio.sleep(max(0.5, answer.retry_after_s))
    raise MiaoshaError(f"{method} {path} was answered {answer.status} {answer.code}")
