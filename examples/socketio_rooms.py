"""A chat: rooms and acknowledgements on a Socket.IO server made of `miaosha.sockets` alone.

    .venv/bin/python examples/socketio_rooms.py localhost:3000

A client connects with `{name}`. `join` (room) and `leave` (room) are acknowledged with the number
of members. `say` (room, text) sends `said` (name, text) to all members and is acknowledged with
their number. A member acknowledges `said` with the room; all of them then hear `read` (name).
"""

import sys
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
from miaosha.sockets.rooms import Room, Rooms
from miaosha.sockets.server import SocketServer
from miaosha.sockets.session import Session

SAID = 1  # the ack id of every `said`


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
            case "leave", [str(key)]:
                self._rooms.leave(session, key)
                members = len(self._rooms.get(key) or ())
            case "say", [str(key), str(text)] if (room := self._rooms.get(key)) in session.rooms:
                members = len(room)
                tell(room, "said", session.context, text, ack_id=SAID)
        if ack_id is not None:
            session.acknowledge(namespace, ack_id, members)

    def acked(self, session: Session, namespace: str, ack_id: int, args: list[Any]) -> None:
        match args:
            case [str(key)] if (room := self._rooms.get(key)) in session.rooms:
                tell(room, "read", session.context)

    def disconnected(self, session: Session, namespace: str) -> None:
        self._rooms.leave_all(session)


def tell(room: Room[str], *event: Any, ack_id: int | None = None) -> None:
    """Send an event to a room: it is encoded once for all members."""
    parts = packets.encode(Packet(PacketType.EVENT, "/", list(event), ack_id))
    for member in room:
        member.send(*parts)


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
    uvloop.run(serve(sys.argv[1]))
