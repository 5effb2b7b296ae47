"""Rival: python-socketio on uvicorn, as `make bench-sockets` drives it.

A client that names a sale in the CONNECT joins its room and is told of it. A line on standard input
sends one `sale` event to the room.
"""

import asyncio
import sys
from typing import Any

import msgspec
import socketio
import uvicorn
import uvloop


async def main(port: int, sale: dict[str, Any]) -> None:
    io = socketio.AsyncServer(
        async_mode="asgi",
        transports=["websocket"],
        always_connect=True,  # the answer first, then what `connect` says
    )

    async def connect(sid: str, environ: dict[str, Any], auth: dict[str, Any]) -> None:
        await io.enter_room(sid, f"sale-{auth['watch']}")
        await io.emit("watched", {"ok": True, "sale": sale}, to=sid)

    io.on("connect", connect)
    config = uvicorn.Config(
        socketio.ASGIApp(io),
        port=port,
        loop="uvloop",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        backlog=4_096,
        log_level="error",
    )
    serving = asyncio.create_task(uvicorn.Server(config).serve())
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        await io.emit("sale", sale, room="sale-1")
    serving.cancel()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), msgspec.json.decode(sys.argv[2])))
