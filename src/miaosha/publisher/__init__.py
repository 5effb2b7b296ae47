"""The publisher role: takes presses, and returns 202 once the broker has them durably.

It speaks HTTP/1.1 by an `asyncio.Protocol` of its own, since a press may cost some 25 µs here. It
decides nothing: what it refuses by itself it knows from its copy of the board and of readings.

Reading order: `publisher`, `http_connection`, `http_request`, `routes`, `intake` (the checks in
their order), `batcher`, `sale_queue`; `live_sales` for what it knows, `shared` for what bounds
all connections.
"""
