"""A request hidden behind another one is never answered by the API, however it is framed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from miaosha.api.uvicorn_server import listen
from miaosha.serving.process import Process
from miaosha.settings import Settings
from tests.api.world import Person, World
from tests.kit.hidden import HONEST, LAST, WAYS, Dialogue, every, hiding

MARK = b"hidden=1"
HIDDEN = b"GET /api/v1/time?" + MARK + b" HTTP/1.1\r\nHost: x\r\n\r\n"
VISIT = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HEADER_MAX = 8_192
# target: the methods that take a body there
TARGETS: dict[str, set[bytes]] = {
    "/api/v1/accounts": {b"POST"},
    "/api/v1/sessions/refresh": set(),
    "/api/v1/sales": set(),
    "/api/v1/sales/1/checkout": {b"POST"},
    "/api/v1/sales/1/purchases/mine": set(),
    "/api/v1/payments/webhook/sandbox": {b"POST"},
    "/api/v1/admin/products/1/picture": {b"PUT"},
    "/api/docs/openapi.json": set(),
    "/sandbox/x": {b"POST"},
    "/healthz": set(),
    "/nothing": set(),
    "http://localhost/healthz": set(),
    "*": set(),
}
# ways in which every parser sees the same body, and no upgrade or Expect is asked for
PLAIN = {name for name in HONEST if "length" in name and "," not in name}


class Asked:
    """The application, and what has been asked of it."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.queries: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.queries.append(scope["query_string"])
        await self._app(scope, receive, send)


@asynccontextmanager
async def serving(world: World, run_dir: Path) -> AsyncIterator[tuple[Path, Asked]]:
    """The API on a unix socket."""
    asked = Asked(world.app)
    process = Process("api", "0", f"unix:{run_dir / 'api.sock'}")
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    settings = Settings(header_max_bytes=HEADER_MAX)
    running = asyncio.create_task(listen(cast("Any", asked), process, settings, bound.set_result))
    await asyncio.wait_for(bound, 10)
    try:
        yield run_dir / "api.sock", asked
    finally:
        process.stop.set()
        await asyncio.wait_for(running, 20)


@pytest.mark.parametrize("target", TARGETS)
async def test_nothing_hidden_is_answered(
    world: World, admin: Person, target: str, run_dir: Path
) -> None:
    signed = f"Authorization: Bearer {admin.token}\r\nContent-Type: application/json\r\n".encode()
    async with serving(world, run_dir) as (path, asked):
        for method, name, way in every(WAYS):
            async with Dialogue.on(asyncio.open_unix_connection(path)) as dialogue:
                answer = await dialogue.ask(hiding(way, method, target.encode(), HIDDEN, signed))
                if not answer.closes:
                    visit = await dialogue.ask(VISIT)
                    assert visit.body == b'{"status":"ok"}', (method, name)
            if name not in LAST:
                assert answer.status >= 400, (method, name)
            if method not in (b"POST", b"PUT") or name not in PLAIN:
                assert answer.closes, (method, name)
    assert MARK not in asked.queries


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"headers_too_large"),
        (b"GET / HTTP/1.1\r\nX-A: " + b"x" * 9_000 + b"\r\n\r\n", b"headers_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 2_000 + b"\r\n", b"headers_too_large"),
        (b"GET / HTTP/1.1\r\nX-A: " + b"x" * 300_000, b"headers_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"X" * 300_000, b"headers_too_large"),
        (b"hello?\r\n\r\n", b"bad_request"),
        (b"PUT /healthz HTTP/1.1\r\nContent-Length: 12000001\r\n\r\n", b"too_large"),
        (b"POST /healthz HTTP/1.1\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n", b"expect"),
    ],
)
async def test_heads_that_are_refused(
    world: World, said: bytes, code: bytes, run_dir: Path
) -> None:
    async with (
        serving(world, run_dir) as (path, asked),
        Dialogue.on(asyncio.open_unix_connection(path)) as dialogue,
    ):
        answer = await dialogue.ask(said)
    assert answer.closes and b'"code":"' + code in answer.body
    assert b"content-type: application/problem+json\r\n" in answer.head.lower()
    assert asked.queries == []


async def test_the_longest_head_is_read(world: World, run_dir: Path) -> None:
    room = HEADER_MAX - len("/healthz") - len("X-A") - 4
    async with serving(world, run_dir) as (path, _):
        for more, status in ((0, 200), (1, 431)):
            async with Dialogue.on(asyncio.open_unix_connection(path)) as dialogue:
                head = b"GET /healthz HTTP/1.1\r\nX-A: " + b"x" * (room + more) + b"\r\n\r\n"
                assert (await dialogue.ask(head)).status == status


async def test_a_body_is_taken_only_where_the_document_lists_one(
    world: World, admin: Person
) -> None:
    for method, path in (
        ("POST", "/api/v1/sessions/refresh"),
        ("POST", "/api/v1/admin/sales/1/close"),
        ("DELETE", "/api/v1/sales/1/purchases/mine"),
        ("GET", "/api/v1/orders"),
    ):
        answer = await world.http.request(method, path, headers=admin.auth, content=b"{}")
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), path
        assert answer.json()["detail"] == "No body is taken here."
