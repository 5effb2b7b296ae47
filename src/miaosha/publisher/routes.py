"""Router: where a request goes: purchases, health, or nothing here.

An ordinary purchase costs one dict lookup; everything else may be slow.
"""

import re
from collections.abc import MutableMapping
from typing import Final

from miaosha.publisher.http_connection import HttpConnection
from miaosha.publisher.http_request import RequestRefused
from miaosha.publisher.intake import Intake
from miaosha.publisher.live_sales import LiveSales
from miaosha.publisher.responses import HEALTHY, PROBLEMS, without_body
from miaosha.serving.http_response import problem
from miaosha.serving.readiness import ready_response

PURCHASES: Final = re.compile(rb"/api/v1/sales/[0-9]{1,18}/purchases")
JSON: Final = b"application/json"
ONLY_POST: Final = problem("method_not_allowed", "Only POST is taken here.", allow="POST")
ONLY_GET: Final = problem("method_not_allowed", "Only GET is taken here.", allow="GET, HEAD")


class Router:
    """Answers a request that a connection has read, or hands it to the intake."""

    def __init__(
        self, board: LiveSales, intake: Intake, counters: MutableMapping[str, float]
    ) -> None:
        self._board = board
        self._press = intake.press
        self._counters = counters

    def __call__(self, connection: HttpConnection, number: int) -> bytes | None:
        """The answer; None: it comes later. Raises RequestRefused: the connection must end."""
        live = self._board.by_path.get(connection.url)
        method = connection.method()
        if live is None or method != b"POST":
            path = connection.url.partition(b"?")[0]
            live = self._board.by_path.get(path)
            if method != b"POST" or not (live or PURCHASES.fullmatch(path)):
                if connection.length > 0:  # a body that nobody reads
                    raise RequestRefused("not_found" if method == b"POST" else "bad_request")
                return self._elsewhere(method, path)
        if connection.content_type != JSON and not _is_json(connection.content_type):
            return self._refuse("unsupported_media_type")
        if connection.length < 0:
            return self._refuse("length_required")
        token = connection.authorization
        if token is not None:
            token = token[7:] if token[:7] == b"Bearer " else _bearer(token)
        return self._press(live, token, connection.body, connection, number)

    def _elsewhere(self, method: bytes, path: bytes) -> bytes:
        if path[:1] != b"/":  # absolute, authority and asterisk forms are for proxies
            raise RequestRefused("bad_request")
        answer = self._answer(method, path)
        return without_body(answer) if method == b"HEAD" else answer

    def _answer(self, method: bytes, path: bytes) -> bytes:
        if PURCHASES.fullmatch(path):
            self._counters["refused_method_not_allowed"] += 1
            return ONLY_POST
        if path not in (b"/healthz", b"/readyz"):
            return self._refuse("not_found")
        if method not in (b"GET", b"HEAD"):
            self._counters["refused_method_not_allowed"] += 1
            return ONLY_GET
        return HEALTHY if path == b"/healthz" else ready_response(self._board.report())

    def _refuse(self, code: str) -> bytes:
        self._counters["refused_" + code] += 1
        return PROBLEMS[code]


def _is_json(content_type: bytes | None) -> bool:
    return content_type is not None and content_type.partition(b";")[0].strip().lower() == JSON


def _bearer(authorization: bytes) -> bytes | None:
    """The token, where the scheme is written in another case or with more spaces."""
    scheme, _, token = authorization.strip().partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else None
