"""A Socket.IO server that echoes, made of `miaosha.sockets` alone.

    .venv/bin/python examples/socketio_echo.py --port 3000

Namespaces `/` and `/custom`. A client that connects is sent `auth` with the payload it connected
with; `message` is answered by the event `message-back` with the same arguments, `message-with-ack`
by an acknowledgement with them (binary included). `--engineio` serves bare Engine.IO instead, on
/engine.io/, and sends every message back.
"""

import argparse
import contextlib
import time
from collections.abc import Sequence
from typing import Any

import uvloop

from miaosha.sockets import engine_packets, packets
from miaosha.sockets.application import ConnectRefused, Limits
from miaosha.sockets.engine_packets import Outbound
from miaosha.sockets.handshake import Rules
from miaosha.sockets.listening import listening
from miaosha.sockets.packets import Packet, PacketType
from miaosha.sockets.server import SocketServer
from miaosha.sockets.session import Session

NAMESPACES = ("/", "/custom")


class Echo:
    """A `miaosha.sockets.application.Application`."""

    def connect(self, session: Session, namespace: str, auth: Any) -> Sequence[Outbound]:
        if namespace not in NAMESPACES:
            raise ConnectRefused("Invalid namespace")
        return packets.encode(Packet(PacketType.EVENT, namespace, ["auth", auth or {}]))

    def event(
        self, session: Session, namespace: str, name: str, args: list[Any], ack_id: int | None
    ) -> None:
        if name == "message":
            session.emit(namespace, "message-back", *args)
        elif name == "message-with-ack" and ack_id is not None:
            session.acknowledge(namespace, ack_id, *args)

    def acked(self, session: Session, namespace: str, ack_id: int, args: list[Any]) -> None:
        """Nothing is ever asked of a client here."""

    def disconnected(self, session: Session, namespace: str) -> None:
        """Nothing was kept."""


def echo(session: Session, message: str | bytes) -> None:
    """Bare Engine.IO: every message goes back."""
    if isinstance(message, bytes):
        session.send(engine_packets.message(message, binary=True))
    else:
        session.send(engine_packets.message(message.encode()))


async def serve(options: argparse.Namespace) -> None:
    server = SocketServer(
        Echo(),
        Limits(
            message_max=options.max_payload,
            buffer_max=4 * options.max_payload,
            rate_per_s=0,
            ping_interval_s=options.ping_interval_ms / 1000,
            ping_timeout_s=options.ping_timeout_ms / 1000,
        ),
        Rules(b"/engine.io/" if options.engineio else b"/socket.io/", frozenset({"*"})),
        monotonic=time.monotonic,
        now_s=lambda: int(time.time()),
        counters={},
        raw=echo if options.engineio else None,
    )
    async with listening(server, f"{options.host}:{options.port}") as listener:
        port = listener.sockets[0].getsockname()[1]
        print(f"listening on port {port}", flush=True)  # noqa: T201
        await server.wheel.run()


def main() -> None:
    parser = argparse.ArgumentParser(description="A Socket.IO server that echoes.")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=3000, help="0: any that is free")
    parser.add_argument("--ping-interval-ms", type=int, default=25_000)
    parser.add_argument("--ping-timeout-ms", type=int, default=20_000)
    parser.add_argument("--max-payload", type=int, default=1_000_000, help="bytes of a message")
    parser.add_argument("--engineio", action="store_true", help="bare Engine.IO on /engine.io/")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(options))


if __name__ == "__main__":
    main()
