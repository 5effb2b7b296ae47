"""`miaosha openapi`: the API's description, for client generators."""

import sys


def openapi() -> None:
    """Print the OpenAPI 3.1 document of the HTTP API as JSON."""
    from miaosha.api.app import routes
    from miaosha.api.openapi import render

    sys.stdout.write(render(routes()).decode())
