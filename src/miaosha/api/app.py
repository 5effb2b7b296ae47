"""App: the HTTP API as one ASGI application, `create_app(parts, settings)`.

Everything is passed in; nothing is opened or closed here.
"""

from collections.abc import MutableMapping
from typing import Any

from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler

from miaosha.api import (
    accounts,
    admin_exports,
    admin_orders,
    admin_products,
    admin_sales,
    admin_support,
    admin_watch,
    checkout,
    health,
    orders,
    purchases,
    sales,
    sandbox,
    webhooks,
)
from miaosha.api.auth import gate
from miaosha.api.context import make_context
from miaosha.api.docs import documentation
from miaosha.api.headers import finish
from miaosha.api.problems import handle
from miaosha.bootstrap import ApiParts
from miaosha.settings import Settings, origins

PREFIX = "/api/v1"


def routes() -> list[HTTPRouteHandler]:
    """Every route below PREFIX, in the order of the documentation."""
    nouns: list[Any] = [
        accounts,
        sales,
        purchases,
        checkout,
        orders,
        webhooks,
        admin_products,
        admin_sales,
        admin_watch,
        admin_orders,
        admin_exports,
        admin_support,
    ]
    return [route for noun in nouns for route in noun.ROUTES]


def create_app(
    parts: ApiParts, settings: Settings, counters: MutableMapping[str, float] | None = None
) -> Litestar:
    """The application.

    Args:
        counters: where responses are counted; by default nobody reads them.

    Raises:
        SettingsError: allowed_origins or trusted_proxies are not what they should be.
    """
    context = make_context(parts, settings, {} if counters is None else counters)
    return Litestar(
        [
            Router(PREFIX, route_handlers=routes()),
            *health.ROUTES,
            *sandbox.ROUTES,
            documentation(routes()),
        ],
        guards=[gate],
        exception_handlers={Exception: handle},
        before_send=[finish],
        cors_config=_cors(settings),
        state=State({"context": context}),
        openapi_config=None,
        logging_config=None,
        debug=False,
    )


def _cors(settings: Settings) -> CORSConfig:
    return CORSConfig(
        allow_origins=origins(settings),
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["authorization", "content-type"],
        allow_credentials=False,
        expose_headers=["retry-after", "x-request-id"],
        max_age=600,
    )
