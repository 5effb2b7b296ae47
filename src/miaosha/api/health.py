"""Health: the API's probes, /healthz (the process lives) and /readyz (it can work)."""

import msgspec
from litestar import Response

from miaosha.api.context import context_of
from miaosha.api.declare import Req, Who, operation
from miaosha.serving.readiness import readiness

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
    good, states = await readiness(context_of(request).parts.checks)
    told = {name: "ok" if state == "ok" else "away" for name, state in states.items()}
    body = Readiness("ok" if good else "not_ready", told)
    return Response(body, status_code=200 if good else 503)


ROUTES = [healthz, readyz]
