"""The API's own pages: the OpenAPI document, and a page that reads it without any script or CDN."""

import base64
import hashlib
import html
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from miaosha.api.declare import JSON, Operation, Req, Who, operation
from miaosha.api.openapi import codes_of, render
from miaosha.domain.errors import CODES

TAG = "Documentation"
STYLE: Final = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h2{margin-top:2.5rem}details{border:1px solid var(--line);border-radius:.5rem;margin:.5rem 0}
summary{cursor:pointer;padding:.5rem .8rem}details>div{padding:0 .8rem .8rem}
code{font:.9em ui-monospace,monospace;background:var(--soft);padding:.1em .3em;border-radius:.2em}
.method{display:inline-block;min-width:4.2rem;font-weight:700}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .6rem .2rem 0}
td{border-top:1px solid var(--line);vertical-align:top}
"""
_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CSP: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_WHO = {
    Who.ANYONE: "anyone",
    Who.BUYER: "signed in (bearer token)",
    Who.ADMIN: "role admin (bearer token)",
}


def documentation(routes: Sequence[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """The routes that show `routes`. Both answers are made once, here."""
    raw = render(routes)
    page = _page(routes).encode()

    @operation(
        "GET",
        "/api/docs/openapi.json",
        who=Who.ANYONE,
        tag=TAG,
        summary="The OpenAPI 3.1 document",
        answer=dict[str, Any],
        cache="public, max-age=60",
    )
    async def openapi_json(request: Req) -> Response[bytes]:
        return Response(raw, media_type=JSON)

    @operation(
        "GET",
        "/api/docs",
        who=Who.ANYONE,
        tag=TAG,
        summary="The documentation",
        answer=str,
        gives="text/html",
        cache="public, max-age=60",
    )
    async def docs_page(request: Req) -> Response[bytes]:
        return Response(
            page,
            media_type="text/html",
            headers={"content-security-policy": CSP},
        )

    return [openapi_json, docs_page]


def _page(routes: Sequence[HTTPRouteHandler]) -> str:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for handler in routes:
        made: Operation = handler.opt["operation"]
        for path in sorted(handler.paths):
            method = min(str(m) for m in handler.http_methods)
            groups[made.tag].append(_entry(method, path, made))
    body = "".join(
        f"<h2>{html.escape(tag)}</h2>{''.join(entries)}" for tag, entries in groups.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Miaosha API</title><style>{STYLE}</style></head><body><h1>Miaosha API</h1>"
        '<p>The exact schemas are in <a href="/api/docs/openapi.json">openapi.json</a> '
        "(OpenAPI 3.1). Errors are problem details with a stable <code>code</code>.</p>"
        f"{body}</body></html>"
    )


def _entry(method: str, path: str, made: Operation) -> str:
    shown = html.escape("/api/v1" + path.replace(":int", "").replace(":str", ""))
    rows = [("Who", _WHO[made.who])]
    if made.query is not None:
        rows.append(("Query", ", ".join(made.query.__struct_fields__)))
    if made.body is not None:
        fields = getattr(made.body, "__struct_fields__", ())
        rows.append(("Body", ", ".join(fields) or " or ".join(made.takes)))
    for status, kind in {made.status: made.answer, **made.answers}.items():
        fields = getattr(kind, "__struct_fields__", ())
        what = ", ".join(fields) or ("" if kind is None else made.gives)
        rows.append((str(status), what))
    for code in sorted(set(codes_of(path, made)), key=lambda c: (CODES[c][0], c)):
        rows.append((str(CODES[code][0]), f"{code}: {CODES[code][1]}"))
    cells = "".join(
        f"<tr><td>{html.escape(left)}</td><td>{html.escape(right)}</td></tr>"
        for left, right in rows
    )
    return (
        f'<details><summary><span class="method">{method}</span> <code>{shown}</code> '
        f"{html.escape(made.summary)}</summary><div><p>{html.escape(made.description)}</p>"
        f"<table>{cells}</table></div></details>"
    )
