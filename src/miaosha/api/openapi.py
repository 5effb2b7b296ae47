"""OpenAPI: the 3.1 document, made from the operations' declarations and msgspec's own schemas.

`docs/openapi.json` is this document; a test keeps it current.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from litestar.handlers import HTTPRouteHandler

from miaosha.api.auth import ID_MAX
from miaosha.api.declare import Operation, Who
from miaosha.api.problems import PROBLEM_JSON, ProblemView
from miaosha.domain.errors import CODES

REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+):(\w+)\}")
_ABOUT = """Errors are RFC 9457 problem details with a stable `code`; 429 and 503 say in Retry-After
when to ask again. Times are Unix milliseconds, money is integer minor units with an ISO 4217 code.
A buyer is always the subject of the access token. Results are also pushed over Socket.IO."""


def document(handlers: Iterable[HTTPRouteHandler], prefix: str = "/api/v1") -> dict[str, Any]:
    """The document of these handlers, whose paths are below `prefix`."""
    declared = sorted(_declared(handlers), key=lambda entry: (entry[0], entry[1]))
    schemas = _Schemas([entry[2] for entry in declared])
    paths: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for path, method, operation, name in declared:
        paths[_PARAMETER.sub(r"{\1}", prefix + path)][method.lower()] = _operation(
            path, operation, name, schemas
        )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Miaosha", "version": "1", "description": " ".join(_ABOUT.split())},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in sorted({entry[2].tag for entry in declared})],
        "paths": dict(paths),
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "`access_token` of POST /accounts or POST /sessions",
                }
            },
        },
    }


def render(handlers: Iterable[HTTPRouteHandler]) -> bytes:
    """The document as the bytes of docs/openapi.json."""
    return msgspec.json.format(msgspec.json.encode(document(handlers)), indent=1) + b"\n"


def _declared(
    handlers: Iterable[HTTPRouteHandler],
) -> Iterator[tuple[str, str, Operation, str]]:
    for handler in handlers:
        for path in handler.paths:
            for method in handler.http_methods:
                yield path, str(method), handler.opt["operation"], handler.handler_name


class _Schemas:
    """Every type of every operation as JSON schema, those with names under components."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        kinds: list[Any] = [ProblemView]
        for op in operations:
            kinds += [op.answer, op.body, op.query, *op.answers.values()]
        self._kinds = [k for i, k in enumerate(kinds) if k and k not in kinds[:i]]
        found, self.components = msgspec.json.schema_components(
            [k for k in self._kinds if k is not bytes], ref_template=REF
        )
        self._found = dict(zip((k for k in self._kinds if k is not bytes), found, strict=True))

    def of(self, kind: Any) -> dict[str, Any]:
        return {} if kind is bytes else self._found[kind]

    def properties(self, kind: Any) -> dict[str, Any]:
        component = self.components[self.of(kind)["$ref"].rpartition("/")[2]]
        return dict(component["properties"])


def _operation(path: str, op: Operation, name: str, schemas: _Schemas) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": name,
        "tags": [op.tag],
        "summary": op.summary,
        "description": op.description,
        "responses": _responses(path, op, schemas),
    }
    parameters = _path_parameters(path) + _query_parameters(op, schemas)
    if parameters:
        made["parameters"] = parameters
    if op.body is not None:
        content = {media: {"schema": schemas.of(op.body)} for media in op.takes}
        made["requestBody"] = {"required": True, "content": content}
    if op.who is not Who.ANYONE:
        made["security"] = [{"bearer": []}]
    return made


def _path_parameters(path: str) -> list[dict[str, Any]]:
    kinds: dict[str, dict[str, Any]] = {
        "int": {"type": "integer", "minimum": 1, "maximum": ID_MAX},
        "str": {"type": "string", "minLength": 1},
    }
    return [
        {"name": name, "in": "path", "required": True, "schema": kinds[kind]}
        for name, kind in _PARAMETER.findall(path)
    ]


def _query_parameters(op: Operation, schemas: _Schemas) -> list[dict[str, Any]]:
    if op.query is None:
        return []
    parameters = []
    for name, schema in schemas.properties(op.query).items():
        present = [s for s in schema.get("anyOf", []) if s.get("type") != "null"]
        plain = present[0] if present else schema
        parameters.append({"name": name, "in": "query", "required": False, "schema": plain})
    return parameters


def _responses(path: str, op: Operation, schemas: _Schemas) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, kind in {op.status: op.answer, **op.answers}.items():
        responses[str(status)] = {"description": "Done" if status < 300 else "Not now"}
        if kind is not None:
            responses[str(status)]["content"] = {op.gives: {"schema": schemas.of(kind)}}
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for code in sorted(set(codes_of(path, op))):
        by_status[CODES[code][0]].append(code)
    for status, codes in sorted(by_status.items()):
        responses.setdefault(str(status), _problem(status, codes, schemas))
    return responses


def codes_of(path: str, op: Operation) -> list[str]:
    """Every code the operation may answer: its own, and those that follow from its declaration."""
    codes = [*op.codes, "rate_limited", "internal", "unavailable"]
    if op.who is not Who.ANYONE:
        codes.append("unauthorized")
    if op.who is Who.ADMIN:
        codes.append("forbidden")
    if "{" in path:
        codes.append("not_found")
    if op.body is not None:
        codes += ["bad_request", "too_large", "unsupported_media_type"]
    if op.query is not None:
        codes.append("bad_request")
    return codes


def _problem(status: int, codes: list[str], schemas: _Schemas) -> dict[str, Any]:
    schema = {"allOf": [schemas.of(ProblemView), {"properties": {"code": {"enum": codes}}}]}
    made: dict[str, Any] = {
        "description": "; ".join(f"`{code}`: {CODES[code][1]}" for code in codes),
        "content": {PROBLEM_JSON: {"schema": schema}},
    }
    if status in (429, 503):
        made["headers"] = {
            "Retry-After": {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}}
        }
    return made
