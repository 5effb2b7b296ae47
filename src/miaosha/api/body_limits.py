"""Body limits: what bounds one API process: requests at once, time to an answer, and bodies.

Behind the edge the next request on a connection is another client's. The parser reads every body to
its end, wanted or not. What a proxy and this process could read in two ways is refused here. The
gate refuses a body that the route does not take. Both end the connection. HEAD is answered as GET
without the body.

A handler that is cancelled by the clock has done nothing half. Every change is one transaction, and
the scheduler settles a payment that a handler left pinned.
"""

import asyncio
from typing import Final, cast

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from miaosha.api.problems import render
from miaosha.domain.errors import Problem
from miaosha.ports.pictures import PICTURE_MAX_BYTES

REQUESTS_MAX: Final = 1_000  # under way at once; above it 503 overloaded
ANSWER_WITHIN_S: Final = 60.0  # the slowest card takes less; what takes longer goes on by itself
BODY_BYTES_MAX: Final = PICTURE_MAX_BYTES  # of any route; each has its own at most this
WITH_BODY: Final = frozenset({"POST", "PUT"})  # methods of routes that take one
VERSIONS: Final = frozenset({"1.0", "1.1"})


class BodyLimits:
    """The application within its bounds."""

    def __init__(
        self,
        app: ASGIApp,
        requests_max: int = REQUESTS_MAX,
        answer_within_s: float = ANSWER_WITHIN_S,
    ) -> None:
        self._app = app
        self._requests_max = requests_max
        self._answer_within_s = answer_within_s
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if code := unfit(scope):
            await _refuse(Problem(code), send, last=True)
            return
        if is_last(scope):
            send = last_answer(send)
        if scope.get("method") == "HEAD":
            scope = cast("Scope", {**scope, "method": "GET"})  # uvicorn leaves out the body
        if self._under_way >= self._requests_max:
            await _refuse(Problem("overloaded", "The limit is requests_max."), send)
            return
        self._under_way += 1
        try:
            await self._answer(scope, receive, send)
        finally:
            self._under_way -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False
        try:
            async with asyncio.timeout(self._answer_within_s) as limit:

                async def begin(message: Message) -> None:
                    nonlocal begun
                    if not begun:
                        begun = True
                        limit.reschedule(None)  # a long CSV may take its time
                    await send(message)

                await self._app(scope, receive, begin)
        except TimeoutError:
            if begun:
                raise
            await _refuse(Problem("unavailable", "This took too long."), send)


def unfit(scope: Scope) -> str:
    """Why a request is refused by its head alone, as a code of domain/errors.py; "" if it is not.

    llhttp has seen that a length is digits and comes once, and never with chunks.
    """
    if scope.get("http_version") not in VERSIONS:
        return "bad_request"
    code = ""
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value):
            if scope.get("method") == "OPTIONS":  # no gate sees a preflight
                return "bad_request"
            if int(value) > BODY_BYTES_MAX:
                return "too_large"
        elif name == b"transfer-encoding":  # the edge sends a length, whatever it got
            return "length_required" if scope.get("method") in WITH_BODY else "bad_request"
        elif name == b"expect":
            code = "expectation_failed"
    return code


def is_last(scope: Scope) -> bool:
    """Does the connection end with this request? It does if another protocol is asked for, which
    may already be behind the head, and after a body that no route reads."""
    odd = scope.get("method") not in WITH_BODY
    return any(
        name == b"upgrade" or (odd and name == b"content-length" and int(value))
        for name, value in scope["headers"]
    )


def last_answer(send: Send) -> Send:
    """`send`, whose answer ends the connection."""

    async def last(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    return last


async def _refuse(problem: Problem, send: Send, *, last: bool = False) -> None:
    response = render(problem)
    headers = [(k.encode(), str(v).encode()) for k, v in response.headers.items()]
    if last:
        headers.append((b"connection", b"close"))
    headers += [
        (b"content-type", str(response.media_type).encode()),
        (b"content-length", str(len(response.content)).encode()),
        (b"cache-control", b"no-store"),
    ]
    status = response.status_code or 503
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": response.content, "more_body": False})
