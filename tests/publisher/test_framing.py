"""Byte sequences and the exact answers to them: whole, split at every byte, and behind others."""

from pathlib import Path

import pytest

from miaosha.publisher.shared import ROUND_TICKS
from tests.kit.waits import until
from tests.publisher.world import (
    GET_HEALTH,
    Wire,
    World,
    client,
    listening,
    request,
    world,
)

PRESS = request()
ROUTE = b"/api/v1/sales/7/purchases"
HEAD = b"POST " + ROUTE + b" HTTP/1.1\r\nHost: shop\r\n"
BODY = b'{"answer":"B"}'
HEADER_MAX = 1024
# What counts: the target, and each header as its name, its value and four bytes.
LONGEST = HEADER_MAX - len(ROUTE) - sum(len(line) + 2 for line in PRESS.split(b"\r\n")[1:5]) - 7


def with_headers(*lines: bytes, body: bytes = b"") -> bytes:
    return HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def get(path: bytes, method: bytes = b"GET") -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\nHost: shop\r\n\r\n"


# name: (bytes, statuses, does the connection end)
CASES: dict[str, tuple[bytes, list[int], bool]] = {
    "a press": (PRESS, [202], False),
    "two presses": (PRESS + request(user=2), [202, 202], False),
    "a press, a question, a press": (PRESS + GET_HEALTH + request(user=2), [202, 200, 202], False),
    "blank lines before": (b"\r\n\r\n" + PRESS, [202], False),
    "names in any case": (
        b"POST " + ROUTE + b" HTTP/1.1\r\nhOST: a\r\nAUTHORIZATION: bEARER  user-4 \r\n"
        b"content-TYPE: Application/JSON; charset=utf-8 \r\ncontent-length: 14 \r\n\r\n" + BODY,
        [202],
        False,
    ),
    "a query": (PRESS.replace(ROUTE, ROUTE + b"?from=mail"), [202], False),
    "close": (request(headers=("Connection: close",)), [202], True),
    "close, and more": (request(headers=("Connection: close",)) + PRESS, [202], True),
    "keep-alive": (request(headers=("Connection: keep-alive",)), [202], False),
    "1.0": (request(version="1.0"), [202], True),
    "1.0 without Host": (b"GET /healthz HTTP/1.0\r\n\r\n", [200], True),
    "1.0 keep-alive, and more": (
        request(version="1.0", headers=("Connection: keep-alive",)) + PRESS,
        [202],
        True,
    ),
    "0.9": (b"GET /healthz\r\n\r\n", [400], True),
    "2.0": (b"GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", [400], True),
    "2.0 keep-alive": (
        b"GET /healthz HTTP/2.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        [400],
        True,
    ),
    "1.2": (b"GET /healthz HTTP/1.2\r\nHost: a\r\n\r\n", [400], True),
    "HTTP/2 by prior knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400], True),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [400], True),
    "garbage": (b"hello?\r\n\r\n", [400], True),
    "a press, then garbage": (PRESS + b"\x00\x01\x02\x03", [202, 400], True),
    "an unknown method": (b"BUY / HTTP/1.1\r\nHost: a\r\n\r\n", [400], True),
    "a method in lower case": (b"post / HTTP/1.1\r\nHost: a\r\n\r\n", [400], True),
    "a blank in the target": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", [400], True),
    "bytes in the target": (b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n", [400], True),
    "absolute form": (b"GET http://shop/healthz HTTP/1.1\r\nHost: shop\r\n\r\n", [400], True),
    "absolute form, 1.0": (b"GET http://shop/healthz HTTP/1.0\r\n\r\n", [400], True),
    "asterisk form": (b"OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n", [400], True),
    "authority form": (b"CONNECT shop:80 HTTP/1.1\r\nHost: shop\r\n\r\n", [400], True),
    "no Host": (b"GET /healthz HTTP/1.1\r\n\r\n", [400], True),
    "two Hosts": (b"GET /healthz HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", [400], True),
    "two Authorizations": (request(headers=("authorization: Bearer user-2",)), [400], True),
    "two Content-Types": (request(headers=("content-type: text/plain",)), [400], True),
    "two lengths": (
        with_headers(b"Content-Length: 14", b"Content-Length: 14", body=BODY),
        [400],
        True,
    ),
    "conflicting lengths": (
        with_headers(b"Content-Length: 14", b"content-length: 3", body=BODY),
        [400],
        True,
    ),
    "a list of lengths": (with_headers(b"Content-Length: 14, 14", body=BODY), [400], True),
    "a signed length": (with_headers(b"Content-Length: +14", body=BODY), [400], True),
    "a hexadecimal length": (with_headers(b"Content-Length: 0xe", body=BODY), [400], True),
    "an empty length": (with_headers(b"Content-Length:", body=BODY), [400], True),
    "a huge length": (with_headers(b"Content-Length: 99999999999999999999"), [400], True),
    "length and coding": (
        with_headers(b"Content-Length: 3", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        [400],
        True,
    ),
    "coding and length": (
        with_headers(b"Transfer-Encoding: chunked", b"Content-Length: 3", body=b"0\r\n\r\n"),
        [400],
        True,
    ),
    "an unknown coding": (with_headers(b"Transfer-Encoding: gzip"), [411], True),
    "chunked last but not only": (
        with_headers(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
        [400],
        True,
    ),
    "chunked": (
        with_headers(b"Transfer-Encoding: chunked", body=b"e\r\n" + BODY + b"\r\n0\r\n\r\n"),
        [411],
        True,
    ),
    "a folded header": (with_headers(b"X-A: b", b" c"), [400], True),
    "a blank before the colon": (with_headers(b"Content-Length : 0"), [400], True),
    "a header without a name": (with_headers(b": b"), [400], True),
    "a NUL in a header": (with_headers(b"X-A: b\x00c"), [400], True),
    "a bare CR": (with_headers(b"X-A: b\rX-B: c"), [400], True),
    "a bare LF": (HEAD + b"X-A: b\nContent-Length: 0\r\n\r\n", [400], True),
    "Expect": (request(headers=("Expect: 100-continue",)), [417], True),
    "an unheard-of Expect": (request(headers=("Expect: tea",)), [417], True),
    "Upgrade": (
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        [200],
        True,
    ),
    "Upgrade without Connection": (
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n",
        [200],
        False,
    ),
    "Upgrade with a body": (
        request(headers=("Upgrade: h2c", "Connection: Upgrade")),
        [400],
        True,
    ),
    "a body on GET": (
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + PRESS,
        [400],
        True,
    ),
    "an empty body on GET": (
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" + PRESS,
        [200, 202],
        False,
    ),
    "a body on DELETE": (
        with_headers(b"Content-Length: 3", body=b"abc").replace(b"POST", b"DELETE"),
        [400],
        True,
    ),
    "no length": (HEAD + b"Content-Type: application/json\r\n\r\n", [411], False),
    "no type": (request(kind=None), [415], False),
    "another type": (request(kind="text/plain"), [415], False),
    "a form": (request(kind="application/x-www-form-urlencoded"), [415], False),
    "an unknown path": (get(b"/"), [404], False),
    "an unknown path, POST": (get(b"/healthz/", b"POST"), [404], False),
    "a path that is almost right": (PRESS.replace(ROUTE, ROUTE + b"/"), [404], True),
    "a sale that is no number": (PRESS.replace(b"sales/7", b"sales/x"), [404], True),
    "an unknown sale": (PRESS.replace(b"sales/7", b"sales/8"), [404], False),
    "an unknown sale without a token": (
        request(path="/api/v1/sales/8/purchases", user=None),
        [401],
        False,
    ),
    "GET": (get(ROUTE), [405], False),
    "GET of an unknown sale": (get(b"/api/v1/sales/8/purchases"), [405], False),
    "HEAD": (get(ROUTE, b"HEAD"), [405], False),
    "DELETE": (get(ROUTE, b"DELETE"), [405], False),
    "POST of health": (get(b"/healthz", b"POST"), [405], False),
    "health": (GET_HEALTH, [200], False),
    "health with a query": (get(b"/healthz?x=1"), [200], False),
    "ready": (get(b"/readyz"), [200], False),
    "an empty body": (request(body=b""), [400], False),
    "half a body": (PRESS[:-1], [], False),
    "half a head": (PRESS[:40], [], False),
    "the longest head": (request(headers=("X-A: " + "a" * LONGEST,)), [202], False),
    "a head too long": (request(headers=("X-A: " + "a" * (LONGEST + 1),)), [431], True),
    "a name too long": (request(headers=("X" * 2000 + ": a",)), [431], True),
    "a target too long": (get(b"/" + b"a" * 2000), [431], True),
    "too many headers": (request(headers=tuple(f"X-{n}: a" for n in range(200))), [431], True),
    "a head without an end": (with_headers()[:-2] + b"X-A: " + b"a" * 9000, [431], True),
    "a target without an end": (b"GET /" + b"a" * 9000, [431], True),
    "the longest body": (
        request(body=BODY + b" " * (512 - len(BODY))),
        [202],
        False,
    ),
    "a body too long": (request(body=BODY + b" " * (513 - len(BODY))), [413], True),
    "a body announced too long": (with_headers(b"Content-Length: 1000000"), [413], True),
}


async def small_world() -> World:
    return await world(header_max_bytes=HEADER_MAX, body_max_bytes=512)


async def answered(made: World, wire: Wire, count: int) -> None:
    """Everything that is under way has been answered."""
    await made.batcher.drain()
    assert made.batcher.waiting == 0
    assert len(wire.answers) == count


@pytest.mark.parametrize("name", CASES)
async def test_whole(name: str, run_dir: Path) -> None:
    raw, statuses, ends = CASES[name]
    made = await small_world()
    async with listening(made, run_dir) as path, client(path) as buyer:
        buyer.writer.write(raw)
        if b"HEAD" not in raw:
            answers = await buyer.answers(len(statuses))
            assert [answer.status for answer in answers] == statuses
            if answers:
                assert (answers[-1].headers.get("connection") == "close") == ends
        if ends:
            assert await buyer.end() == b""
        elif statuses and name != "HEAD":
            buyer.writer.write(GET_HEALTH)
            assert (await buyer.answer()).status == 200


@pytest.mark.parametrize("name", CASES)
async def test_split_anywhere(name: str) -> None:
    raw, statuses, ends = CASES[name]
    made = await small_world()
    if name == "HEAD":
        statuses = []  # its answer has no body to parse: see test_head
    cuts = range(1, len(raw)) if len(raw) < 700 else range(1, len(raw), 97)
    for cut in cuts:
        made.clock.advance(5_000)  # so that no press is a repeat
        await made.look()
        wire = made.wire()
        wire.send(raw[:cut])
        wire.send(raw[cut:])
        if statuses:
            await answered(made, wire, len(statuses))
            assert wire.statuses == statuses, cut
            assert wire.ended == ends, cut
        wire.lose()


@pytest.mark.parametrize("name", CASES)
async def test_byte_by_byte(name: str) -> None:
    raw, statuses, ends = CASES[name]
    made = await small_world()
    wire = made.wire()
    for byte in raw:
        wire.send(bytes([byte]))
    if name != "HEAD":
        await answered(made, wire, len(statuses))
        assert wire.statuses == statuses
    assert wire.ended == ends


@pytest.mark.parametrize("name", CASES)
async def test_behind_others(name: str) -> None:
    """The same after forty requests in the same bytes."""
    raw, statuses, ends = CASES[name]
    if name in ("blank lines before", "HEAD"):
        return
    made = await small_world()
    wire = made.wire()
    others = b"".join(request(user=100 + n) for n in range(40))
    wire.send(others + raw)
    await until(lambda: len(wire.answers) == 40 + len(statuses))
    assert wire.statuses == [202] * 40 + statuses
    assert wire.ended == ends
    assert made.counters["accepted"] == 40 + statuses.count(202)


async def test_head(run_dir: Path) -> None:
    """HEAD gets the headers of GET and no body."""
    made = await small_world()
    async with listening(made, run_dir) as path, client(path) as buyer:
        buyer.writer.write(get(b"/healthz", b"HEAD") + get(ROUTE, b"HEAD") + GET_HEALTH)
        buyer.writer.write_eof()
        raw = await buyer.end()
    heads = raw.split(b"\r\n\r\n")
    assert [head.split(b" ")[1] for head in heads[:3]] == [b"200", b"405", b"200"]
    assert b"Content-Length: 15" in heads[0]
    assert b"Allow: POST" in heads[1]


async def test_allow_names_the_methods() -> None:
    made = await small_world()
    wire = made.wire()
    wire.send(get(ROUTE) + get(b"/healthz", b"DELETE"))
    assert [answer.headers["allow"] for answer in wire.answers] == ["POST", "GET, HEAD"]


async def test_defects_are_answered_and_end_the_connection() -> None:
    made = await small_world()
    made.board.by_path = None  # type: ignore[assignment]  # as any defect would
    wire = made.wire()
    wire.send(PRESS)
    assert wire.statuses == [500]
    assert wire.ended


async def test_nothing_is_kept_of_a_closed_connection() -> None:
    made = await small_world()
    wires = [made.wire() for _ in range(10)]
    assert made.shared.connections == 10
    for wire in wires:
        wire.send(PRESS[:50])
        wire.lose()
    assert made.shared.connections == 0
    made.ticks(ROUND_TICKS + 1)
    assert set(made.shared.wheel) == set()


async def test_every_refusal_is_counted() -> None:
    made = await small_world()
    for name in ("GET", "no type", "no length", "an unknown path", "Expect", "garbage"):
        made.wire().send(CASES[name][0])
    codes = ["method_not_allowed", "unsupported_media_type", "length_required", "not_found"]
    codes += ["expectation_failed", "bad_request"]
    assert [made.counters[f"refused_{code}"] for code in codes] == [1] * 6
