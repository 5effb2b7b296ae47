"""The document is current, complete and served; schemathesis holds that it is true."""

from pathlib import Path
from typing import Any

from miaosha.api.app import routes
from miaosha.api.declare import Operation, Who
from miaosha.api.openapi import document, render
from tests.api.world import World

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_the_committed_document_is_current() -> None:
    assert DOCUMENT.read_bytes() == render(routes()), (
        "run: .venv/bin/miaosha openapi > docs/openapi.json"
    )


def test_every_route_is_declared_and_named_once() -> None:
    seen: set[str] = set()
    for route in routes():
        declared: Operation = route.opt["operation"]
        assert declared.summary and declared.description, route.paths
        assert route.handler_name not in seen
        seen.add(route.handler_name)
        assert (declared.who is Who.ANYONE) == ("security" not in _entry(route)), route.paths


def _entry(route: Any) -> dict[str, Any]:
    made = document([route])
    entry: dict[str, Any] = next(iter(next(iter(made["paths"].values())).values()))
    return entry


def test_the_table_of_the_design_is_there() -> None:
    paths = document(routes())["paths"]
    for method, path, statuses in [
        ("post", "/accounts", {"201", "400", "409", "413", "415", "429", "503"}),
        ("post", "/sessions", {"200", "400", "401", "429", "503"}),
        ("post", "/sessions/refresh", {"200", "401"}),
        ("get", "/time", {"200"}),
        ("get", "/sales", {"200"}),
        ("get", "/sales/{sale_id}", {"200", "404"}),
        ("get", "/sales/{sale_id}/question", {"200", "401", "404"}),
        (
            "post",
            "/sales/{sale_id}/purchases",
            {"202", "400", "401", "403", "404", "409", "410", "411", "413", "429", "503"},
        ),
        ("get", "/sales/{sale_id}/purchases/mine", {"200", "401", "404", "503"}),
        ("delete", "/sales/{sale_id}/purchases/mine", {"204", "401", "409", "503"}),
        ("post", "/sales/{sale_id}/checkout", {"201", "202", "401", "402", "409", "410"}),
        ("post", "/payments/webhook/{provider}", {"204", "401", "404"}),
        ("get", "/orders", {"200", "400", "401"}),
        ("get", "/orders/{order_id}", {"200", "401", "404"}),
        ("put", "/admin/products/{product_id}/picture", {"200", "403", "413", "415"}),
        ("post", "/admin/sales/{sale_id}/pause", {"200", "403", "409"}),
        ("post", "/admin/sales/{sale_id}/resume", {"200", "403", "409"}),
        ("post", "/admin/sales/{sale_id}/close", {"200", "403", "409"}),
        ("post", "/admin/sales/{sale_id}/stock", {"200", "400", "403", "409"}),
        ("get", "/admin/sales/{sale_id}/stats", {"200", "403"}),
        ("get", "/admin/sales/{sale_id}/audit", {"200", "403"}),
        ("get", "/admin/orders", {"200", "403"}),
        ("get", "/admin/orders.csv", {"200", "403"}),
        ("get", "/admin/users/{user_id}/story", {"200", "403", "404"}),
        ("get", "/admin/parked", {"200", "403"}),
        ("get", "/admin/audit-trail", {"200", "403"}),
    ]:
        declared = set(paths[f"/api/v1{path}"][method]["responses"])
        assert statuses <= declared, (path, statuses - declared)


async def test_the_api_serves_the_document_and_the_edge_its_page(world: World) -> None:
    served = await world.http.get("/api/docs/openapi.json")
    assert served.content == DOCUMENT.read_bytes()
    assert served.headers["content-type"] == "application/json"
    page = await world.http.get("/api/docs")
    assert (page.status_code, page.json()["code"]) == (404, "not_found")
