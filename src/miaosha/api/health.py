"""Health: the API's probes, /healthz (the process lives) and /readyz (it can work)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from litestar import Response

from miaosha.api.context import context_of
from miaosha.api.declare import Req, Who, operation

CHECK_TIMEOUT_S: Final = 2.0
TAG = "Probes"


class Liveness(msgspec.Struct, frozen=True):
    status: str


class Readiness(msgspec.Struct, frozen=True):
    """Each dependency: ok, or away."""

    status: str
    checks: dict[str, str]


@operation("GET", "/healthz", who=Who.ANYONE, tag=TAG, summary="Alive", answer=Liveness)
async def healthz(request: Req) -> Liveness:
    """Asks no other part."""
    return Liveness("ok")


@operation(
    "GET",
    "/readyz",
    who=Who.ANYONE,
    tag=TAG,
    summary="Ready",
    answer=Readiness,
    answers={503: Readiness},
)
async def readyz(request: Req) -> Response[Readiness]:
    """503 while a dependency does not answer within two seconds."""
    checks = context_of(request).parts.checks
    states = await asyncio.gather(*(_run(check) for check in checks.values()))
    good = all(state == "ok" for state in states)
    body = Readiness("ok" if good else "not_ready", dict(zip(checks, states, strict=True)))
    return Response(body, status_code=200 if good else 503)


async def _run(check: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except Exception:
        return "away"
    return "ok"


ROUTES = [healthz, readyz]
