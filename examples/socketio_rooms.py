"""A chat: rooms and acknowledgements on a Socket.IO server made of `miaosha.sockets` alone.

    .venv/bin/python examples/socketio_rooms.py

A client connects with `{name}`. `join` (room) is acknowledged with the number of members. `say`
(room, text) sends `said` (name, text) to all of them, and is acknowledged with their number, 0 for
a room that the client is not in.
"""

import argparse
import contextlib
import time
from collections.abc import Sequence
from typing import Any

import uvloop

from miaosha.sockets import packets
from miaosha.sockets.application import ConnectRefused, Limits
from miaosha.sockets.engine_packets import Outbound
from miaosha.sockets.handshake import Rules
from miaosha.sockets.listening import listening
from miaosha.sockets.packets import Packet, PacketType
from miaosha.sockets.rooms import Rooms
from miaosha.sockets.server import SocketServer
from miaosha.sockets.session import Session


class Chat:
    """A `miaosha.sockets.application.Application`. A session's context is its user's name."""

    def __init__(self) -> None:
        self._rooms: Rooms[str] = Rooms()

    def connect(self, session: Session, namespace: str, auth: Any) -> Sequence[Outbound]:
        if namespace != "/" or not auth or not isinstance(auth.get("name"), str):
            raise ConnectRefused("A name is required")
        session.context = auth["name"]
        return ()

    def event(
        self, session: Session, namespace: str, name: str, args: list[Any], ack_id: int | None
    ) -> None:
        members = 0
        match name, args:
            case "join", [str(key)]:
                members = len(self._rooms.enter(session, key))
            case "say", [str(key), str(text)] if (room := self._rooms.get(key)) in session.rooms:
                members = len(room)
                said = Packet(PacketType.EVENT, "/", ["said", session.context, text])
                parts = packets.encode(said)  # once for all members
                for member in room:
                    member.send(*parts)
        if ack_id is not None:
            session.acknowledge(namespace, ack_id, members)

    def acked(self, session: Session, namespace: str, ack_id: int, args: list[Any]) -> None:
        """Nothing is ever asked of a client here."""

    def disconnected(self, session: Session, namespace: str) -> None:
        self._rooms.leave_all(session)


async def serve(address: str) -> None:
    server = SocketServer(
        Chat(),
        Limits(),
        Rules(b"/socket.io/", frozenset({"*"})),
        monotonic=time.monotonic,
        now_s=lambda: int(time.time()),
        counters={},
    )
    async with listening(server, address) as listener:
        print(f"listening on port {listener.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201
        await server.wheel.run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A chat with rooms on Socket.IO.")
    parser.add_argument("address", nargs="?", default="localhost:3000", help="host:port to listen")
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(parser.parse_args().address))
