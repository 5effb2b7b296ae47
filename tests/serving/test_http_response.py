"""Answers as bytes: what every one carries, and what a problem says."""

from http.client import HTTPResponse
from io import BytesIO
from typing import Any, cast

import msgspec
import pytest

from miaosha.api.problems import render
from miaosha.domain.errors import CODES, RETRY_AFTER_S, Problem
from miaosha.serving.http_response import problem, problem_body, response


class Wire:
    """What http.client reads from instead of a socket."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, _mode: str) -> BytesIO:
        return BytesIO(self._raw)


def parsed(raw: bytes) -> tuple[HTTPResponse, bytes]:
    answer = HTTPResponse(cast("Any", Wire(raw)))
    answer.begin()
    return answer, answer.read()


@pytest.mark.parametrize("keep", [True, False])
def test_an_answer_has_its_length_and_is_kept_by_nobody(keep: bool) -> None:
    answer, body = parsed(response(200, b"{}", b"X-More: 1\r\n", keep=keep))
    assert (answer.status, answer.reason, body) == (200, "OK", b"{}")
    assert answer.headers["Content-Length"] == "2"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-More"] == "1"
    assert answer.will_close is not keep


@pytest.mark.parametrize("code", CODES)
def test_a_problem_is_the_same_for_every_role(code: str) -> None:
    answer, body = parsed(problem(code, "Why.", field="x"))
    framework = render(Problem(code, "Why.", field="x"))
    assert (answer.status, body) == (framework.status_code, framework.content)
    assert answer.headers["Content-Type"] == framework.media_type
    for name in ("Retry-After", "WWW-Authenticate"):
        assert answer.headers[name] == framework.headers.get(name.lower())
    status, title = CODES[code]
    assert msgspec.json.decode(body) == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": code,
        "detail": "Why.",
        "field": "x",
    }


def test_without_a_detail_the_title_is_it() -> None:
    assert msgspec.json.decode(problem_body("closed"))["detail"] == CODES["closed"][1]


def test_whatever_may_pass_says_when_to_ask_again() -> None:
    assert {code for code, (status, _) in CODES.items() if status in (429, 503)} == set(
        RETRY_AFTER_S
    )
    assert parsed(problem("overloaded", retry_after_s=7))[0].headers["Retry-After"] == "7"


def test_a_405_names_the_methods() -> None:
    assert parsed(problem("method_not_allowed", allow="GET, HEAD"))[0].headers["Allow"] == (
        "GET, HEAD"
    )
