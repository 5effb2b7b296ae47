"""The upgrade request: what opens a socket and what every other request is answered."""

from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miaosha.sockets import handshake
from miaosha.sockets.engine_packets import Failure
from miaosha.sockets.handshake import (
    BadHead,
    Polled,
    Rejection,
    Rules,
    Upgrade,
    judge,
    listed_origins,
    parse,
)
from tests.sockets.wire import HEAD

RULES = Rules(b"/socket.io/", listed_origins("https://Shop.example/", "https://a.test:8443", 8000))
GOOD = HEAD.rstrip(b"\r\n")


def status(head: bytes) -> int:
    verdict = judge(parse(head), RULES)
    assert not isinstance(verdict, Polled)
    return int(verdict.response.split()[1])


def test_a_good_request() -> None:
    verdict = judge(parse(GOOD), RULES)
    assert isinstance(verdict, Upgrade)
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in verdict.response


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b"/socket.io/", b"/socket.io", 101),
        (b"Upgrade: websocket", b"UPGRADE:WebSocket", 101),
        (b"/socket.io/", b"/other/", 404),
        (b"EIO=4", b"EIO=3", 400),
        (b"EIO=4&", b"", 400),
        (b"transport=websocket", b"transport=carrier-pigeon", 400),
        (b"transport=websocket", b"", 400),
        (b"transport=websocket", b"transport=websocket&sid=abc", 101),
        (b"GET ", b"POST ", 400),
        (b"Upgrade: websocket", b"Upgrade: h2c", 400),
        (b"keep-alive, Upgrade", b"keep-alive", 400),
        (b"Version: 13", b"Version: 8", 426),
        (b"Sec-WebSocket-Version: 13\r\n", b"", 426),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhl", 400),
        (b"Host: localhost\r\n", b"", 400),
        (b"HTTP/1.1", b"HTTP/1.0", 400),
    ],
)
def test_verdicts(old: bytes, new: bytes, expected: int) -> None:
    assert old in GOOD
    assert status(GOOD.replace(old, new)) == expected


def test_refusals_are_told_in_engine_io_words() -> None:
    request = parse(GOOD.replace(b"transport=websocket", b"transport=pigeon"))
    verdict = judge(request, RULES)
    assert isinstance(verdict, Rejection)
    assert verdict.response.endswith(b'{"code":0,"message":"Transport unknown"}')


@pytest.mark.parametrize(
    ("method", "query", "expected"),
    [
        (b"GET", b"EIO=4&transport=polling", Polled(b"GET", b"")),
        (b"GET", b"EIO=4&transport=polling&sid=0-a&t=x", Polled(b"GET", b"0-a")),
        (b"POST", b"EIO=4&transport=polling&sid=0-a", Polled(b"POST", b"0-a")),
        (b"OPTIONS", b"EIO=4&transport=polling&sid=0-a", Polled(b"OPTIONS", b"0-a")),
        (b"POST", b"EIO=4&transport=polling", Failure.METHOD),
        (b"PUT", b"EIO=4&transport=polling&sid=0-a", Failure.METHOD),
        (b"GET", b"transport=polling", Failure.VERSION),
        (b"OPTIONS", b"EIO=4&transport=websocket", Failure.METHOD),
    ],
)
def test_polling(method: bytes, query: bytes, expected: object) -> None:
    verdict = judge(parse(method + b" /socket.io/?" + query + b" HTTP/1.1"), RULES)
    if isinstance(verdict, Polled):
        assert verdict == expected
    else:
        code, message = cast(tuple[int, str], expected)
        assert verdict.response.endswith(b'{"code":%d,"message":"%b"}' % (code, message.encode()))


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (b"Content-Length: 10", ""),
        (b"Content-Length: 0", ""),
        (b"Content-Length: 11", "too_large"),
        (b"X: y", "length_required"),
    ],
)
def test_bodies(headers: bytes, code: str) -> None:
    assert handshake.unfit_body(parse(b"POST / HTTP/1.1\r\n" + headers), 10) == code


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (b"Content-Length: " + b"9" * 30, "bad_request"),
        (b"Content-Length: -1", "bad_request"),
        (b"Content-Length: 1, 1", "bad_request"),
        (b"Content-Length: 1\r\nContent-Length: 1", "bad_request"),
        (b"Content-Length:", "bad_request"),
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked", "length_required"),
        (b"Content-Length: 3\r\nExpect: 100-continue", "expectation_failed"),
    ],
)
def test_where_a_body_ends_is_certain(headers: bytes, code: str) -> None:
    with pytest.raises(BadHead) as refused:
        parse(b"POST / HTTP/1.1\r\n" + headers)
    assert refused.value.code == code


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"BREW"])
@pytest.mark.parametrize(
    "headers", [b"Content-Length: 1", b"Content-Length: x", b"Transfer-Encoding: chunked"]
)
def test_only_a_post_has_a_body(method: bytes, headers: bytes) -> None:
    with pytest.raises(BadHead):
        parse(method + b" / HTTP/1.1\r\n" + headers)
    assert parse(method + b" / HTTP/1.1\r\nContent-Length: 0").length == 0


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"GET / HTTP/1.1", True),
        (b"GET / HTTP/1.1\r\nConnection: keep-alive, Close", False),
        (b"GET / HTTP/1.0", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive", False),
        (b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c", False),
    ],
)
def test_connections_are_kept(head: bytes, keeps: bool) -> None:
    assert parse(head).keeps is keeps


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, 101),
        (b"https://shop.example", 101),
        (b"https://SHOP.example:443", 101),
        (b"https://a.test:8443", 101),
        (b"http://localhost:8000", 101),
        (b"http://127.0.0.1:8000", 101),
        (b"http://localhost:8001", 403),
        (b"http://shop.example", 403),
        (b"https://shop.example.evil.test", 403),
        (b"https://evil.test/https://shop.example", 403),
        (b"null", 403),
        (b"", 403),
    ],
)
def test_origins(origin: bytes | None, expected: int) -> None:
    head = GOOD if origin is None else GOOD + b"\r\nOrigin: " + origin
    assert status(head) == expected


def test_every_origin_may_be_allowed() -> None:
    rules = Rules(b"/socket.io/", listed_origins("http://x", "*", 1))
    verdict = judge(parse(GOOD + b"\r\nOrigin: https://any.test"), rules)
    assert isinstance(verdict, Upgrade) and verdict.response[9:12] == b"101"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET",
        b"GET / HTTP/2.0",
        b"GET  / HTTP/1.1",
        b"GET http://x/ HTTP/1.1",
        b"get / HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET / HTTP/1.1\r\nno colon",
        b"GET / HTTP/1.1\r\nspace : x",
        b"GET / HTTP/1.1\r\n folded: x",
        b"GET / HTTP/1.1\r\na: b\nc: d",
        b"GET / HTTP/1.1\r\na: \x00",
        b"GET / HTTP/1.1\r\nHost: a\r\nhost: b",
        b"GET / HTTP/1.1\r\nOrigin: a\r\nOrigin: b",
        b"GET / HTTP/1.1" + b"\r\na: b" * 65,
    ],
)
def test_bad_heads(head: bytes) -> None:
    with pytest.raises(BadHead):
        parse(head)


def test_repeated_headers_are_joined() -> None:
    request = parse(b"GET /?a=1&b HTTP/1.1\r\nConnection: a\r\nconnection:  b \r\nX: \t")
    assert request.headers == {b"connection": b"a, b", b"x": b""}
    assert request.query == {b"a": b"1", b"b": b""}


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_garbage(data: bytes) -> None:
    for head in (data, GOOD + b"\r\n" + data, b"GET /" + data + b" HTTP/1.1"):
        try:
            verdict = judge(parse(head), RULES)
        except BadHead:
            continue
        assert isinstance(verdict, Polled) or verdict.response.startswith(b"HTTP/1.1 ")


def test_refusals_say_when_to_come_back() -> None:
    response = handshake.problem("overloaded", 5).response
    assert response.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 5\r\n" in response
    assert b'"code":"overloaded"' in response
