"""What nginx says by itself is a problem of ours, whatever went wrong."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from miaosha.domain.errors import CODES
from miaosha.settings import Settings
from miaosha.supervisor.edge.nginx_config import nginx_binary
from miaosha.supervisor.edge.problem_pages import PROBLEMS
from tests.e2e.test_edge_tls import certificate
from tests.kit.running import free_port
from tests.supervisor.edge.test_edge import PURCHASES
from tests.supervisor.edge.test_upstreams import small_edge

GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
LONG = b"x" * 9_000
PROVOKED = {
    "a bad request line": (b"hello\r\n\r\n", "bad_request"),
    "a path that leaves": (GET.replace(b"/ ", b"/../up ") + b"\r\n", "bad_request"),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", "bad_request"),
    "a bad length": (GET + b"Content-Length: x\r\n\r\n", "bad_request"),
    "a long address": (GET.replace(b"/ ", b"/" + LONG + b" ") + b"\r\n", "bad_request"),
    "nothing here": (GET.replace(b"/ ", b"/nothing ") + b"\r\n", "not_found"),
    "a folder": (GET.replace(b"/ ", b"/assets ") + b"\r\n", "not_found"),
    "a folder with its slash": (GET.replace(b"/ ", b"/assets/ ") + b"\r\n", "not_found"),
    "a place of its own": (GET.replace(b"/ ", b"/~payload ") + b"\r\n", "not_found"),
    "a method for a page": (GET.replace(b"GET", b"DELETE") + b"\r\n", "method_not_allowed"),
    "TRACE": (GET.replace(b"GET", b"TRACE") + b"\r\n", "method_not_allowed"),
    "a condition": (
        GET + b"If-Unmodified-Since: Mon, 01 Jan 1990 00:00:00 GMT\r\n\r\n",
        "precondition_failed",
    ),
    "a large body": (
        b"POST /api/v1/accounts HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n",
        "too_large",
    ),
    "a large payload": (
        b"POST /socket.io/?EIO=4 HTTP/1.1\r\nHost: x\r\nContent-Length: 4097\r\n\r\n",
        "too_large",
    ),
    "a range": (GET + b"Range: bytes=9999999-\r\n\r\n", "range_not_satisfiable"),
    "a long header": (GET + b"X-A: " + LONG + b"\r\n\r\n", "headers_too_large"),
    "many headers": (GET + (b"X-A: " + b"x" * 7_000 + b"\r\n") * 6 + b"\r\n", "headers_too_large"),
    "an unknown coding": (GET + b"Transfer-Encoding: gzip\r\n\r\n", "not_implemented"),
    "another version": (GET.replace(b"1.1", b"2.0") + b"\r\n", "version_not_supported"),
    "a role that is away": (GET.replace(b"/ ", b"/api/v1/time ") + b"\r\n", "unavailable"),
    "a body that cannot be kept": (
        b"POST /api/v1/accounts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Content-Length: 60000\r\n\r\n" + b"x" * 60_000,
        "internal",
    ),
}


async def said(port: int, request: bytes) -> bytes:
    """The answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            assert length, head
            return head + await reader.readexactly(int(length[1]))
    finally:
        writer.transport.abort()


def check(answer: bytes, code: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = CODES[code][0]
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert b"\r\nContent-Type: application/problem+json\r\n" in head
    problem = msgspec.json.decode(body)
    assert (problem["code"], problem["status"]) == (code, status)


@pytest.fixture
async def lonely(run_dir: Path) -> AsyncIterator[int]:
    """The edge with all its roles away, and no place for a large body."""
    addresses = {role: [f"unix:{run_dir}/away"] for role in ("publisher", "gateway", "api")}
    async with small_edge(run_dir, addresses) as port:
        shutil.rmtree(run_dir / "edge-body")
        yield port


async def test_every_fault_that_can_be_provoked_is_a_problem(lonely: int) -> None:
    for name, (request, code) in PROVOKED.items():
        try:
            check(await said(lonely, request), code)
        except Exception as error:
            error.add_note(name)
            raise


def test_every_page_in_nginx_itself_has_a_problem_instead() -> None:
    pages = re.findall(rb"<title>([45][0-9]{2}) ", Path(nginx_binary()).read_bytes())
    ours = [status for problem in PROBLEMS for status in problem.statuses]
    assert len(pages) > 20 and {int(page) for page in pages} <= set(ours)
    assert {494, 495, 496, 497} <= set(ours), "its own names for four kinds of 400"
    assert len(ours) == len(set(ours))


async def test_plain_http_on_the_tls_port_and_the_redirect(run_dir: Path) -> None:
    files, _ = certificate(run_dir)
    addresses = {role: [f"unix:{run_dir}/away"] for role in ("publisher", "gateway", "api")}
    settings = Settings(
        public_url="https://shop.example",
        redirect_port=free_port(),
        **files,  # type: ignore[arg-type]
    )
    async with small_edge(run_dir, addresses, settings=settings) as port:
        check(await said(port, GET + b"\r\n"), "bad_request")
        for name in ("a bad request line", "a long header", "another version", "a bad length"):
            check(await said(settings.redirect_port, PROVOKED[name][0]), PROVOKED[name][1])
        for ask in (GET + b"\r\n", GET.replace(b"GET", b"POST") + b"Content-Length: 0\r\n\r\n"):
            answer = await said(settings.redirect_port, ask)
            assert answer.startswith(b"HTTP/1.1 308 ") and b"https://shop.example/" in answer


async def test_a_stray_body_is_told_apart(lonely: int) -> None:
    answer = await said(lonely, GET + b"Content-Length: 1\r\n\r\nx")
    check(answer, "bad_request")
    assert b'"detail":"No body is taken here with this method."' in answer


@pytest.mark.parametrize(
    ("path", "code"), [(b"/nothing", "not_found"), (b"/api/v1/time", "unavailable")]
)
async def test_a_person_gets_a_page_and_without_pages_a_problem(
    run_dir: Path, path: bytes, code: str
) -> None:
    addresses = {role: [f"unix:{run_dir}/away"] for role in ("publisher", "gateway", "api")}
    asked = GET.replace(b"/ ", path + b" ") + b"Accept: text/html,*/*\r\n"
    for static in (None, run_dir / "none"):
        home = run_dir / ("with" if static is None else "without")
        home.mkdir()
        async with small_edge(home, addresses, static=static) as port:
            answer = await said(port, asked + b"\r\n")
        if static is None:
            assert answer.startswith(b"HTTP/1.1 %d " % CODES[code][0])
            assert b"Content-Type: text/html" in answer and b"<center>" not in answer
        else:
            check(answer, code)


async def test_a_press_of_a_sale_that_is_over_is_a_problem(lonely: int, run_dir: Path) -> None:
    (run_dir / "over" / "7").touch()
    press = (
        f"POST {PURCHASES} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
    )
    check(await said(lonely, press.encode() + b"{}"), "closed")
