"""PollingSession: a session carried by HTTP requests (long polling) until a WebSocket takes over.

A GET waits until there is a packet to send; a POST brings the client's packets. Packets that wait
for the next GET are bounded by `buffer_max`; a client that does not fetch them is dropped. The
session is the same object before and after the upgrade, so the application learns nothing of it.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from miaosha.sockets import engine_packets, frames
from miaosha.sockets.closing import BYE, Close
from miaosha.sockets.engine_packets import Outbound
from miaosha.sockets.engine_session import EngineSession
from miaosha.sockets.frames import FrameReader
from miaosha.sockets.server import SocketServer
from miaosha.sockets.session import Stage
from miaosha.sockets.websocket_session import WebSocketSession

if TYPE_CHECKING:
    from miaosha.sockets.polling_http import PollingConnection
    from miaosha.sockets.polling_upgrade import UpgradeCandidate

OUTBOUND_COST: Final = 128  # bytes that a waiting packet costs besides itself
RELEASE_S: Final = 0.1  # how long a second GET that comes during an upgrade waits

_NOOP: Final = Outbound(b"6")
_CLOSE: Final = Outbound(b"1")


class Mailbox:
    """What a session needs while it polls. Attributes:

    poll, post: the connections whose GET waits, whose POST is arriving.
    candidate: the WebSocket that would take over; `probed` once it has sent its probe, `released`
        once a GET was ended for it.
    packets, size: what waits for the next GET, and what it costs in bytes.
    corked: a POST is being read; what it causes is sent together.
    farewell: why the session was closed.
    """

    __slots__ = (
        "candidate",
        "corked",
        "farewell",
        "packets",
        "poll",
        "post",
        "probed",
        "released",
        "sid",
        "size",
    )

    def __init__(self, sid: bytes) -> None:
        self.sid = sid
        self.poll: PollingConnection | None = None
        self.post: PollingConnection | None = None
        self.candidate: UpgradeCandidate | None = None
        self.probed = False
        self.released = False
        self.packets: list[Outbound] = []
        self.size = 0
        self.corked = False
        self.farewell: Close | None = None


class PollingSession(WebSocketSession):
    """`_box` is None once a WebSocket carries the session, and when it is over."""

    __slots__ = ("_box",)

    def __init__(self, server: SocketServer, sid: bytes) -> None:
        super().__init__(server)
        self._box: Mailbox | None = Mailbox(sid)
        server.polling[sid] = self
        server.entered()
        self.opened()
        server.wheel.schedule(EngineSession.check_connected, self, server.limits.handshake_s)

    # what clients ask by HTTP; False: the request does not fit, and the session is closed

    def poll(self, peer: "PollingConnection") -> bool:
        """A GET. `peer.deliver` responds to it, now or when there is a packet."""
        box = self._box
        if box is None:
            return False
        if box.poll is not None:
            self.violated("two GETs at a time")
            return False
        box.poll = peer
        self._flush()
        if box.poll is not None and box.probed:
            if box.released:
                self.server.wheel.schedule(PollingSession.release, self, RELEASE_S)
            else:
                self.release()
        return True

    def begin_post(self, peer: "PollingConnection") -> bool:
        """A POST whose body is arriving."""
        box = self._box
        if box is None or self.stage is not Stage.OPEN:
            return False
        if box.post is not None:
            self.violated("two POSTs at a time")
            return False
        box.post = peer
        return True

    def receive_payload(self, body: bytes) -> bool:
        """The packets of a POST that `begin_post` let in."""
        box = self._box
        if box is None:
            return False
        box.post = None
        box.corked = True
        try:
            for packet in engine_packets.packets(body):
                if isinstance(packet, bytes):
                    self.receive_binary(packet)
                else:
                    self.receive_text(packet)
                if self.stage is not Stage.OPEN:
                    break
        except engine_packets.EngineError as error:
            self.violated(str(error))
        box.corked = False
        if self._box is not None:
            self._flush()
        return box.farewell is None or box.farewell is BYE

    def lost(self, peer: "PollingConnection") -> None:
        """A connection ended before its request was answered, so packets may be lost."""
        box = self._box
        if box is not None and (box.poll is peer or box.post is peer):
            box.poll = box.post = None
            self.drop()

    # upgrade

    def court(self, candidate: "UpgradeCandidate") -> bool:
        """A WebSocket wants to carry this session; False if another one does already."""
        if self._box is None or self._box.candidate is not None:
            return False
        self._box.candidate = candidate
        return True

    def probed(self) -> None:
        """The candidate has sent its probe; the client upgrades when its GET has ended."""
        if self._box is not None:
            self._box.probed = True
            self.release()

    def release(self) -> None:
        """End a GET that has nothing to wait for."""
        box = self._box
        if box is not None and box.probed and box.poll is not None:
            box.released = True
            self._write((_NOOP,))

    def abandoned(self) -> None:
        """The candidate is gone; the session goes on polling."""
        if self._box is not None:
            self._box.candidate = None
            self._box.probed = self._box.released = False

    def upgrade(self, transport: asyncio.Transport, reader: FrameReader) -> None:
        """A WebSocket carries the session from now on: what waited goes first, then `reader`."""
        box, self._box = self._box, None
        assert box is not None
        del self.server.polling[box.sid]
        self.server.left()  # the transport is counted already
        self.server.count("sockets_upgraded")
        if box.poll is not None:
            box.poll.deliver([_NOOP])
        self._transport = transport
        transport.set_protocol(self)
        if box.farewell is not None:
            self._say(frames.close_frame(*box.farewell))
            self._hang_up()
            return
        if box.packets:
            self._write(tuple(box.packets))
        self._read(reader)

    # what a carrier implements

    def _write(self, parts: tuple[Outbound, ...]) -> None:
        box = self._box
        if box is None:
            super()._write(parts)
            return
        box.packets.extend(parts)
        box.size += sum([len(part.packet) + OUTBOUND_COST for part in parts])
        self._flush()
        if box.size > self.server.limits.buffer_max:
            self.pause_writing()

    def _flush(self) -> None:
        box = self._box
        if box is None or box.poll is None or not box.packets or box.corked:
            return
        peer, packets = box.poll, box.packets
        box.poll, box.packets, box.size = None, [], 0
        if self.stage is Stage.CLOSING:
            self._finish()
        peer.deliver(packets)

    def close(self, close: Close) -> None:
        """A waiting GET carries the close to the client, without a code."""
        box = self._box
        if box is None:
            super().close(close)
        elif self.stage is Stage.OPEN:
            self.stage = Stage.CLOSING
            box.farewell = close
            box.corked = False
            box.packets.append(_NOOP if close is BYE else _CLOSE)
            self.ended()
            self._flush()
            if close.patient:
                self.server.wheel.schedule(PollingSession.drop, self, self.server.limits.close_s)
            else:
                self._finish()

    def drop(self) -> None:
        box = self._box
        if box is None:
            super().drop()
            return
        self._finish()
        self.ended()
        if box.poll is not None:
            box.poll.drop()

    def unread(self) -> bool:
        box = self._box
        return box.post is not None if box else super().unread()

    def _finish(self) -> None:
        """The session is over: its sid is unknown from now on."""
        box, self._box = self._box, None
        if box is None:
            return
        self.stage = Stage.CLOSED
        del self.server.polling[box.sid]
        self.server.left()
        if box.candidate is not None:
            box.candidate.close(box.farewell or BYE)
