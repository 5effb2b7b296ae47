"""The api role: HTTP for everything but the press, on Litestar and uvicorn.

A handler decodes, calls a use case, and encodes. What a route takes, returns and refuses stands
above it in `operation`; the gate, the router and the OpenAPI document all read that declaration.

Reading order: `declare`, `schemas`, `sales` and `purchases` as examples, `context`, `auth`,
`app`, `uvicorn_server`; what admins have is in the modules that start with admin_.
"""
