"""The edge of a deployment: `miaosha edge run` with TLS in front of roles that listen on TCP.

The stores and the remaining roles are those of a `miaosha up`, whose own edge is left aside.
"""

import contextlib
import http.client
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
import websockets

from tests.kit.running import MIAOSHA, STOP_S, Answer, Up, environ, free_port, miaosha, running
from tests.kit.waits import eventually

SOMEBODY_ELSE = "127.0.0.9"  # another address of this machine, as a client
SLOW_MS = 1_000
RATE_PER_S, BURST = 100, 100
FLOOD = 500
PRESS = "/api/v1/sales/1/purchases"


class Deployed:
    """The edge under test and what is behind it."""

    def __init__(self, up: Up, port: int, redirect_port: int, trust: ssl.SSLContext) -> None:
        self.up = up
        self.port = port
        self.redirect_port = redirect_port
        self.trust = trust

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        source: str = "127.0.0.1",
    ) -> Answer:
        connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=20, context=self.trust, source_address=(source, 0)
        )
        sent = {"Content-Type": "application/json", **(headers or {})}
        try:
            connection.request(
                method, path, None if body is None else msgspec.json.encode(body), sent
            )
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def buyer(self, name: str) -> dict[str, str]:
        """The Authorization of a new account."""
        account = {"email": f"{name}@example.org", "password": "correct horse 9", "name": name}
        answer = self.ask("/api/v1/accounts", "POST", account)
        assert answer.status == 201, answer.body
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def certificate(home: Path) -> tuple[dict[str, str], ssl.SSLContext]:
    """Settings of the edge, and what a client must trust."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(str(home / "key.pem"))
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(str(home / "chain.pem"), append=number > 0)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    settings = {"tls_certificate": str(home / "chain.pem"), "tls_key": str(home / "key.pem")}
    return settings, trust


@contextlib.contextmanager
def process(out: Path, *arguments: str, settings: Mapping[str, str]) -> Iterator[None]:
    """A `miaosha …` until the end of the context."""
    with out.open("w") as log:
        running = subprocess.Popen(
            [MIAOSHA, *arguments],
            env=environ(**settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(STOP_S)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def stores(up: Up, public_url: str) -> dict[str, str]:
    """Settings of a role on the same stores, behind an edge on another machine."""
    state = up.state()
    urls = {name: str(state[name]) for name in ("redis_url", "broker_url", "database_url")}
    return urls | {
        "files_url": str(state["files_url"]),
        "secret_keys": (up.data / "secret.keys").read_text().strip(),
        "public_url": public_url,
        "trusted_proxies": "127.0.0.1",
    }


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    home = tmp_path_factory.mktemp("tls")
    tls, trust = certificate(home)
    port, redirect_port = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        up = stack.enter_context(running(home))
        settings = stores(up, f"https://localhost:{port}")
        at = {role: f"127.0.0.1:{free_port()}" for role in ("publisher", "gateway", "api")}
        for role, address in at.items():
            command = ["run", role, "--listen", address, "--instance", "0"]
            stack.enter_context(process(home / role, *command, settings=settings))
        command = ["edge", "run", *(word for role in at for word in (f"--{role}", at[role]))]
        own = settings | tls | {"port": str(port), "redirect_port": str(redirect_port)}
        own |= {"trusted_proxies": "", "request_timeout_ms": str(SLOW_MS)}
        own |= {"edge_rate_per_s": str(RATE_PER_S), "edge_burst": str(BURST)}
        stack.enter_context(process(home / "edge", *command, settings=own))
        deployed = Deployed(up, port, redirect_port, trust)
        eventually(lambda: ready(deployed, home), what="the edge and the roles behind it")
        yield deployed


def ready(shop: Deployed, home: Path) -> bool:
    said = (home / "edge").read_text()
    assert "miaosha:" not in said, said
    with contextlib.suppress(OSError):
        polling = shop.ask("/socket.io/?EIO=4&transport=polling").status
        press = shop.ask("/api/v1/sales/9/purchases", "POST", {}).status
        return (shop.ask("/readyz").status, polling, press) == (200, 200, 401)
    return False


def test_pages_come_over_tls_alone(shop: Deployed) -> None:
    page = shop.ask("/")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html")
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert f"wss://localhost:{shop.port}" in page.headers["Content-Security-Policy"]
    plain = http.client.HTTPConnection("127.0.0.1", shop.redirect_port, timeout=20)
    plain.request("GET", "/sales/1?a=b", headers={"Host": "evil.example"})
    answer = plain.getresponse()
    assert answer.status == 308
    assert answer.headers["Location"] == f"https://localhost:{shop.port}/sales/1?a=b"
    plain.close()


def test_old_tls_is_refused_and_http2_is_offered(shop: Deployed) -> None:
    def shaken(change: Any) -> tuple[str | None, str | None]:
        trust = ssl.create_default_context()
        trust.check_hostname = False
        trust.verify_mode = ssl.CERT_NONE
        change(trust)
        with (
            socket.create_connection(("127.0.0.1", shop.port), 20) as plain,
            trust.wrap_socket(plain) as secure,
        ):
            return secure.version(), secure.selected_alpn_protocol()

    def weak(trust: ssl.SSLContext) -> None:
        trust.maximum_version = ssl.TLSVersion.TLSv1_2
        trust.set_ciphers("AES256-SHA:AES128-SHA:@SECLEVEL=0")

    assert shaken(lambda trust: trust.set_alpn_protocols(["h2"])) == ("TLSv1.3", "h2")
    with pytest.raises(ssl.SSLError):
        shaken(weak)


def test_a_sale_through_it(shop: Deployed) -> None:
    """Pressed, decided, closed; then the edge itself says so, even to somebody without a token."""
    command = ["sale", "create", "--title", "Lamp", "--price", "19.90 USD", "--stock", "3"]
    command += ["--ask", "Which? | wrong | *right", "--opens", "+0"]
    made = miaosha(*command, "--data-dir", str(shop.up.data))
    assert made.returncode == 0, made.stderr
    token = shop.buyer("ada")

    def press() -> Answer:
        return shop.ask(PRESS, "POST", {"answer": "b"}, headers=token)

    eventually(lambda: press().status == 202, what="open at the publisher")
    mine = f"{PRESS}/mine"
    eventually(lambda: shop.ask(mine, headers=token).json()["state"] == "held", what="held")
    assert shop.ask(PRESS, "POST", {}).status == 401
    closed = miaosha("sale", "close", "1", "--data-dir", str(shop.up.data))
    assert closed.returncode == 0, closed.stderr
    eventually(lambda: shop.ask(PRESS, "POST", {}).status == 409, what="over at the edge")
    eventually(
        lambda: shop.up.get(PRESS, "POST", b"{}").status == 409, what="over at the other edge"
    )
    assert shop.ask(PRESS, "POST", {}).json()["code"] == "closed"
    assert shop.ask(mine, headers=token).json()["state"] == "held", "who won may still pay"


async def test_a_socket_through_it(shop: Deployed) -> None:
    url = f"wss://localhost:{shop.port}/socket.io/?EIO=4&transport=websocket"
    async with websockets.connect(url, ssl=shop.trust, open_timeout=20) as client:
        assert str(await client.recv()).startswith("0{")
        await client.send("40")
        assert str(await client.recv()).startswith("40{")


def test_a_slow_client_is_cut_off(shop: Deployed) -> None:
    began = time.monotonic()
    with (
        socket.create_connection(("127.0.0.1", shop.port), 20) as plain,
        shop.trust.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        secure.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        with contextlib.suppress(ConnectionResetError):
            answer = secure.recv(4096)
            assert answer == b"" or b" 408 " in answer
    assert SLOW_MS / 1000 * 0.9 <= time.monotonic() - began < 15


def test_one_address_is_limited_whatever_it_says(shop: Deployed) -> None:
    with (
        socket.create_connection(
            ("127.0.0.1", shop.port), 20, source_address=(SOMEBODY_ELSE, 0)
        ) as plain,
        shop.trust.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        asked = [
            f"GET /favicon.ico HTTP/1.1\r\nHost: localhost\r\n"
            f"X-Forwarded-For: 203.0.113.{number % 250}\r\n"
            f"X-Real-IP: 203.0.113.{number % 250}\r\n"
            f"Connection: {'keep-alive' if number else 'close'}\r\n\r\n"
            for number in reversed(range(FLOOD))
        ]
        secure.sendall("".join(asked).encode())
        said = b"".join(iter(lambda: secure.recv(65_536), b""))
    assert said.count(b"HTTP/1.1 429") > FLOOD // 2, "its own words count for nothing"
    assert shop.ask("/").status == 200, "and nobody else is"
