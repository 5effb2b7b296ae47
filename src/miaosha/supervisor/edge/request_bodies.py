"""Request bodies: one table of the requests that may bring a body through the edge.

nginx refuses a body that is announced anywhere else with 400, and no role hears of it. The table
follows the API's document (a test compares the two), the gateway and the sandbox's bank.
"""

import re
from collections.abc import Iterator
from typing import Final

# method and path as OpenAPI writes it; a path may end in a slash
BODIES: Final = (
    ("POST", "/api/v1/sales/{sale_id}/purchases"),
    ("POST", "/socket.io"),
    ("POST", "/api/v1/sales/{sale_id}/checkout"),
    ("POST", "/api/v1/sessions"),
    ("POST", "/api/v1/accounts"),
    ("POST", "/api/v1/payments/webhook/{provider}"),
    ("POST", "/sandbox/{secret}"),
    ("POST", "/api/v1/admin/products"),
    ("POST", "/api/v1/admin/sales"),
    ("POST", "/api/v1/admin/sales/{sale_id}/stock"),
    ("PUT", "/api/v1/admin/products/{product_id}"),
    ("PUT", "/api/v1/admin/products/{product_id}/picture"),
    ("PUT", "/api/v1/admin/sales/{sale_id}"),
)
_PARAMETER: Final = re.compile(r"\\\{\w+\\\}")


def body_lines() -> str:
    """Entries of the map from `METHOD:path` to whether a body there is stray, one a method."""
    return "\n".join(f'        "~^{method}:(?:{paths})/?\\z" 0;' for method, paths in _by_method())


def _by_method() -> Iterator[tuple[str, str]]:
    for method in dict.fromkeys(method for method, _ in BODIES):
        paths = [re.escape(path) for known, path in BODIES if known == method]
        yield method, "|".join(_PARAMETER.sub("[^/]+", path) for path in paths)
