"""The HTTP reader of long polling against anything: it never raises, hangs or keeps much."""

import asyncio
import time
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from miaosha.sockets import engine_packets
from miaosha.sockets.application import Application, Limits
from miaosha.sockets.arrival import Arrival
from miaosha.sockets.handshake import Rules
from miaosha.sockets.polling_http import PollingConnection
from miaosha.sockets.server import SocketServer
from miaosha.sockets.session import Session
from tests.sockets.polls import get, post, upgrade
from tests.sockets.wire import HEAD, masked

LIMITS = Limits(message_max=64, head_max=512, buffer_max=512, rate_per_s=0)
SID = "<sid>"  # stands for that of the session which is open


class Pipe(asyncio.Transport):
    """A transport that keeps what is written, and tells of its end when `settle` is called."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.written = b""
        self.ending = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = cast(asyncio.Protocol, protocol)

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def close(self) -> None:
        self.ending = True

    def abort(self) -> None:
        self.ending = True


def echo(session: Session, message: str | bytes) -> None:
    if isinstance(message, bytes):
        session.send(engine_packets.message(message, binary=True))
    else:
        session.send(engine_packets.message(message.encode()))


def make_server() -> SocketServer:
    rules = Rules(b"/socket.io/", frozenset({"*"}))
    return SocketServer(
        cast(Application, None),
        LIMITS,
        rules,
        monotonic=time.monotonic,
        now_s=lambda: 0,
        counters={},
        raw=echo,
        seed=1,
    )


def feed(server: SocketServer, pieces: list[bytes]) -> bytes:
    """One connection that says this; what it was answered."""
    arrival = Arrival(server)
    pipe = Pipe(arrival)
    arrival.connection_made(pipe)
    for piece in pieces:
        if pipe.ending:
            break
        pipe.protocol.data_received(piece)
        if isinstance(pipe.protocol, PollingConnection) and not pipe.ending:
            kept = len(pipe.protocol._buffer)
            assert kept <= LIMITS.head_max + LIMITS.message_max + len(piece)
    pipe.protocol.connection_lost(None)
    return pipe.written


BODIES = [b"4hello", b"4a\x1e4b", b"bAQID", b"b?", b"1", b"3", b"6", b"", b"\xff", b"4" * 65]
TALK = st.one_of(
    st.sampled_from([get(""), get(SID), get(SID, b"X: y\r\n"), get("0-unknown")]),
    st.sampled_from([post(SID, body) for body in BODIES]),
    st.sampled_from([post(SID, b"4x")[:-1], b"GET /healthz HTTP/1.1\r\n\r\n", HEAD + b"\r\n"]),
    st.sampled_from([upgrade(SID, HEAD), masked(b"2probe"), masked(b"5"), masked(b"4x")]),
    st.binary(max_size=40),
    st.binary(max_size=40).map(lambda junk: get(SID, b"X: " + junk + b"\r\n")),
    st.binary(min_size=500, max_size=700),
)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(
    st.lists(st.tuples(st.lists(TALK, max_size=5), st.lists(st.integers(0, 3000), max_size=6))),
)
@settings(max_examples=200, deadline=None)
def test_anything_is_answered_or_ends(connections: list[tuple[list[bytes], list[int]]]) -> None:
    async def run() -> None:
        server = make_server()
        feed(server, [get("")])
        sid = next(iter(server.polling))
        for talk, cuts in connections:
            answered = feed(server, pieces_of(b"".join(talk).replace(SID.encode(), sid), cuts))
            assert not answered or answered.startswith(b"HTTP/1.1 ")
        assert server.open == len(server.polling), "nothing but the sessions is left"

    asyncio.run(run())


def test_a_conversation_cut_at_every_byte() -> None:
    async def run() -> None:
        talk = post(SID, b"4hello\x1ebAQID") + get(SID)
        for cut in range(len(talk)):
            server = make_server()
            feed(server, [get("")])
            (sid,) = server.polling
            data = talk.replace(SID.encode(), sid)
            answered = feed(server, [data[:cut], data[cut:]])
            assert answered.count(b"HTTP/1.1 200 OK") == 2
            assert answered.endswith(b"\r\n\r\n4hello\x1ebAQID")

    asyncio.run(run())
