"""The edge by itself: real nginx on the generated configuration, in front of stand-in roles."""

import asyncio
import http.client
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from miaosha.domain.errors import SettingsError
from miaosha.settings import Settings
from miaosha.supervisor import process_plan
from miaosha.supervisor.child_spec import Health
from miaosha.supervisor.children import Child
from miaosha.supervisor.edge import nginx_config
from miaosha.supervisor.edge.nginx_log import kept_small
from tests.kit.running import Answer, free_port

PURCHASES = "/api/v1/sales/7/purchases"


class StandIn:
    """Answers every request on a unix socket with its own name and what it was asked."""

    def __init__(self, name: str, socket: Path) -> None:
        self.name = name
        self.socket = socket
        self.asked: list[str] = []
        self.heads: list[str] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self.socket))

    async def stop(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        self.socket.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if sent := re.search(r"(?i)content-length: (\d+)", head):
                await reader.readexactly(int(sent[1]))
            self.asked.append(" ".join(head.split()[:2]))
            self.heads.append(head)
            body = f'{{"by":"{self.name}","padding":"{"x" * 600}"}}'.encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer: secret\r\n"
                b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Edge:
    def __init__(
        self, port: int, roles: dict[str, StandIn], run_dir: Path, nginx: Child | None = None
    ) -> None:
        self.port = port
        self.roles = roles
        self.nginx = nginx
        self.files = run_dir / "files"

    async def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        def talk() -> Answer:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                connection.request(method, path, body, headers or {})
                answer = connection.getresponse()
                return Answer(answer.status, answer.headers, answer.read())
            finally:
                connection.close()

        return await asyncio.to_thread(talk)

    async def by(self, path: str, method: str = "GET") -> str:
        answer = await self.ask(path, method, body=b"{}" if method == "POST" else None)
        return str(answer.json()["by"]) if answer.status == 200 else str(answer.status)


@asynccontextmanager
async def started(run_dir: Path, settings: Settings) -> AsyncIterator[Edge]:
    (run_dir / "files").mkdir()
    settings = msgspec.structs.replace(settings, files_url=f"file:{run_dir / 'files'}")
    places = process_plan.Places(run_dir, run_dir)
    roles = {
        role: StandIn(role, places.socket(f"{role}-0")) for role in ("publisher", "gateway", "api")
    }
    for role in roles.values():
        await role.start()
    child = Child(process_plan.edge_spec(settings, places), lambda text: None)
    await child.start()
    try:
        async with asyncio.timeout(30):
            while child.health is not Health.READY:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        yield Edge(settings.port, roles, run_dir, child)
    finally:
        await child.stop()
        for role in roles.values():
            await role.stop()


@pytest.fixture
async def at_edge(run_dir: Path) -> AsyncIterator[Edge]:
    async with started(run_dir, Settings(port=free_port())) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("POST", PURCHASES, "publisher"),
        ("GET", PURCHASES, "publisher"),
        ("POST", "/api/v1/sales/x/purchases", "publisher"),
        ("GET", f"{PURCHASES}/mine", "api"),
        ("DELETE", f"{PURCHASES}/mine", "api"),
        ("GET", "/api/v1/sales/7/question", "api"),
        ("POST", "/api/v1/sales/7/checkout", "api"),
        ("GET", "/api/v1/sales", "api"),
        ("GET", "/api/v1/time", "api"),
        ("GET", "/api/docs/openapi.json", "api"),
        ("GET", "/sandbox/pay/x", "api"),
        ("GET", "/healthz", "api"),
        ("GET", "/readyz", "api"),
        ("GET", "/socket.io/?EIO=4&transport=polling", "gateway"),
        ("GET", "/metrics", "404"),
        ("GET", "/apiary", "404"),
    ],
)
async def test_paths_go_to_their_roles(at_edge: Edge, method: str, path: str, role: str) -> None:
    assert await at_edge.by(path, method) == role


async def test_sales_are_asked_for_once_a_second(at_edge: Edge) -> None:
    answers = await asyncio.gather(*(at_edge.ask("/api/v1/sales") for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert at_edge.roles["api"].asked.count("GET /api/v1/sales") <= 2
    assert "Authorization" not in at_edge.roles["api"].heads[0]


async def test_what_was_cached_is_told_only_to_who_asked_the_same(at_edge: Edge) -> None:
    """nginx reads all of these as one address; whether the api does is the api's business."""
    paths = ["/api/v1/sales/7", "/api/v1/sales/8/../7", "/api/v1/sales/%37", "/api/v1/sales/7?a"]
    for path in paths:
        assert await at_edge.by(path) == "api"
    assert at_edge.roles["api"].asked == [f"GET {path}" for path in paths]


async def test_json_is_compressed_and_servers_do_not_name_themselves(at_edge: Edge) -> None:
    answer = await at_edge.ask("/api/v1/time", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Server"] == "nginx"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_role_that_is_away_is_a_problem_with_retry_after(at_edge: Edge) -> None:
    await at_edge.roles["publisher"].stop()
    answer = await at_edge.ask(PURCHASES, "POST", body=b"{}")
    assert answer.status == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["code"] == "unavailable"
    await at_edge.roles["publisher"].start()
    assert await at_edge.by(PURCHASES, "POST") == "publisher"


async def test_bodies_have_limits(at_edge: Edge) -> None:
    for path, size in ((PURCHASES, 9_000), ("/api/v1/accounts", 70_000)):
        answer = await at_edge.ask(path, "POST", body=b"x" * size)
        assert (answer.status, answer.json()["code"]) == (413, "too_large"), path
    picture = "/api/v1/admin/products/1/picture"
    assert (await at_edge.ask(picture, "PUT", body=b"x" * 2_500_000)).status == 200


async def test_a_large_body_for_a_role_that_is_away_is_a_problem(at_edge: Edge) -> None:
    await at_edge.roles["api"].stop()
    answer = await at_edge.ask("/api/v1/admin/products/1/picture", "PUT", body=b"x" * 2_500_000)
    assert (answer.status, answer.json()["code"]) == (503, "unavailable")


async def test_the_edges_own_errors_are_problems(at_edge: Edge) -> None:
    assert (await at_edge.ask("/nothing")).json()["code"] == "not_found"
    long = await at_edge.ask("/", headers={"X-Long": "x" * 40_000})
    assert (long.status, long.json()["code"]) == (431, "headers_too_large")
    assert (await at_edge.ask("/../up")).json()["code"] == "bad_request"


async def test_one_address_is_limited(run_dir: Path) -> None:
    settings = Settings(port=free_port(), edge_rate_per_s=1, edge_burst=5)
    async with started(run_dir, settings) as tight:
        answers = [await tight.ask("/api/v1/time") for _ in range(10)]
        refused = [answer for answer in answers if answer.status == 429]
        assert len(refused) >= 3
        assert refused[0].json()["code"] == "rate_limited"
        assert refused[0].headers["Retry-After"] == "1"


async def test_only_a_trusted_proxy_may_name_the_client(run_dir: Path) -> None:
    said = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    settings = Settings(port=free_port(), trusted_proxies="127.0.0.0/8")
    async with started(run_dir, settings) as trusting:
        await trusting.ask("/api/v1/time", headers=said)
        head = trusting.roles["api"].heads[0]
        assert "X-Forwarded-For: 203.0.113.9" in head and "X-Forwarded-Proto: https" in head
        assert "X-Real-IP: 203.0.113.9\r\n" in head


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("/api/v1/accounts", "api"),
        ("/api/v1/sales", "api"),
        (PURCHASES, "publisher"),
        ("/socket.io/?EIO=4", "gateway"),
    ],
)
async def test_nobody_else_may_name_the_client(at_edge: Edge, path: str, role: str) -> None:
    said = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "https",
        "X-Real-IP": "203.0.113.9",
    }
    await at_edge.ask(path, headers=said)
    head = at_edge.roles[role].heads[0]
    assert "X-Forwarded-For: 127.0.0.1\r\n" in head and "X-Forwarded-Proto: http\r\n" in head
    assert "X-Real-IP: 127.0.0.1\r\n" in head and "203.0.113.9" not in head
    assert f"Host: 127.0.0.1:{at_edge.port}\r\n" in head


async def test_pages_of_listed_origins_may_read_every_answer(run_dir: Path) -> None:
    shop = "https://shop.example"
    settings = Settings(port=free_port(), allowed_origins=shop)
    async with started(run_dir, settings) as running:
        for origin, allowed in (("https://evil.example", None), (shop, shop)):
            for path in ("/api/v1/sales", PURCHASES, "/api/nothing", "/nothing"):
                answer = await running.ask(path, headers={"Origin": origin})
                assert answer.headers["Access-Control-Allow-Origin"] == allowed, (origin, path)
                assert "Origin" in str(answer.headers.get_all("Vary"))
        assert await running.by(PURCHASES, "OPTIONS") == "api"


async def test_https_is_remembered_where_it_is_spoken(run_dir: Path) -> None:
    settings = Settings(port=free_port(), public_url="https://shop.example")
    async with started(run_dir, settings) as running:
        for path in ("/", "/api/v1/time", "/nothing"):
            answer = await running.ask(path)
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000", path


async def test_a_buyer_who_comes_back_from_paying_finds_a_page(at_edge: Edge) -> None:
    answer = await at_edge.ask("/sales/7?payment=returned")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html"


async def test_pictures_are_served_as_nothing_but_pictures(at_edge: Edge) -> None:
    (at_edge.files / "lamp.png").write_bytes(b"\x89PNG")
    (at_edge.files / "outside.png").symlink_to("/etc/hostname")
    answer = await at_edge.ask("/files/lamp.png")
    assert answer.headers["Content-Type"] == "image/png"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert (await at_edge.ask("/files/outside.png")).status == 404
    assert (await at_edge.ask("/files/")).status == 404


def test_bad_proxies_are_named(tmp_path: Path) -> None:
    addresses = {role: [f"unix:{tmp_path / role}"] for role in ("publisher", "gateway", "api")}
    with pytest.raises(SettingsError, match="MIAOSHA_TRUSTED_PROXIES"):
        nginx_config.write_config(
            Settings(trusted_proxies="10.0.0.0/8,nonsense"),
            tmp_path,
            addresses,
            nginx_config.Site(
                run=tmp_path, files=tmp_path, error_log=tmp_path / "l", over=tmp_path / "o"
            ),
        )


async def test_a_log_that_grew_is_begun_anew(at_edge: Edge, run_dir: Path) -> None:
    log, before = run_dir / "edge.log", run_dir / "edge.log.1"
    await at_edge.roles["api"].stop()
    assert at_edge.nginx is not None
    async with kept_small(log, at_edge.nginx, bytes_max=2_000, look_s=0.02):
        async with asyncio.timeout(30):
            while not before.exists():
                assert await at_edge.by("/api/v1/time") == "503"
            text = before.read_text()
            while not log.exists() or not log.read_text():  # nginx writes to the new one
                assert await at_edge.by("/api/v1/time") == "503"
    assert "edge.log" not in text and "connect() to unix:" in text
    assert log.stat().st_size < 2_500
