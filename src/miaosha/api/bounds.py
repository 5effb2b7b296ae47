"""What bounds one API process: requests under way at once, and the time until an answer begins.
HEAD is answered as GET without the body.

A handler that is cancelled by the clock has done nothing half: every change is one transaction, and
a payment it leaves pinned is settled by the scheduler.
"""

import asyncio
from typing import Final, cast

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from miaosha.api.problems import render
from miaosha.domain.errors import Problem

REQUESTS_MAX: Final = 1_000  # under way at once; above it 503 overloaded
ANSWER_WITHIN_S: Final = 60.0  # the slowest card and an audit take less


class Bounded:
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


async def _refuse(problem: Problem, send: Send) -> None:
    response = render(problem)
    headers = [(k.encode(), str(v).encode()) for k, v in response.headers.items()]
    headers += [
        (b"content-type", str(response.media_type).encode()),
        (b"content-length", str(len(response.content)).encode()),
        (b"cache-control", b"no-store"),
    ]
    status = response.status_code or 503
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": response.content, "more_body": False})
