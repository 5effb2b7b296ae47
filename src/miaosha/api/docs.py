"""Documentation route: the OpenAPI document. The edge serves the page that shows it."""

from collections.abc import Sequence
from typing import Any

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from miaosha.api.declare import JSON, Req, Who, operation
from miaosha.api.openapi import render


def documentation(routes: Sequence[HTTPRouteHandler]) -> HTTPRouteHandler:
    """The route that serves the document of `routes`, which is made once, here."""
    raw = render(routes)

    @operation(
        "GET",
        "/api/docs/openapi.json",
        who=Who.ANYONE,
        tag="Documentation",
        summary="The OpenAPI 3.1 document",
        answer=dict[str, Any],
        cache="public, max-age=60",
    )
    async def openapi_json(request: Req) -> Response[bytes]:
        return Response(raw, media_type=JSON)

    return openapi_json
