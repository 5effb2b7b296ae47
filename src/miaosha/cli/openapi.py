"""OpenAPI command: `miaosha openapi` prints the API's description, for client generators."""

from miaosha.serving.screen import write_encoded


def openapi() -> None:
    """Print the OpenAPI 3.1 document of the HTTP API as JSON."""
    from miaosha.api.app import routes
    from miaosha.api.openapi import render

    write_encoded(render(routes()))
