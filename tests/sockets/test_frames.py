"""RFC 6455 without a network: frames in any pieces, and everything a peer must not send."""

from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miaosha.sockets import frames
from miaosha.sockets.frames import FrameReader, Message, Opcode, WebSocketError
from tests.sockets.wire import masked

MAX = 4096


def read(data: bytes, *, pieces: int = 0, message_max: int = MAX) -> list[Message]:
    """Everything in `data`, fed at once or in pieces of that many bytes."""
    reader = FrameReader(message_max)
    messages = []
    step = pieces or max(len(data), 1)
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
        while (message := reader.next_message()) is not None:
            messages.append(message)
    return messages


STREAM = b"".join(
    [
        masked("grüß".encode()),
        masked(b"x" * 300, Opcode.BINARY),
        masked(b"one ", Opcode.TEXT, final=False),
        masked(b"ping", Opcode.PING),
        masked(b"two ", Opcode.CONTINUATION, final=False),
        masked(b"", Opcode.PONG),
        masked(b"three", Opcode.CONTINUATION),
        masked(b"", Opcode.TEXT),
        masked((1000).to_bytes(2, "big") + b"bye", Opcode.CLOSE),
    ]
)
MESSAGES = [
    Message(Opcode.TEXT, "grüß"),
    Message(Opcode.BINARY, b"x" * 300),
    Message(Opcode.PING, b"ping"),
    Message(Opcode.PONG, b""),
    Message(Opcode.TEXT, "one two three"),
    Message(Opcode.TEXT, ""),
    Message(Opcode.CLOSE, b"\x03\xe8bye"),
]


@pytest.mark.parametrize("pieces", [0, 1, 2, 3, 5, 7, 64])
def test_messages_in_any_pieces(pieces: int) -> None:
    assert read(STREAM, pieces=pieces) == MESSAGES


@pytest.mark.parametrize("cut", range(1, len(STREAM)))
def test_split_at_every_byte(cut: int) -> None:
    reader = FrameReader(MAX)
    messages = []
    for part in (STREAM[:cut], STREAM[cut:]):
        reader.feed(part)
        while (message := reader.next_message()) is not None:
            messages.append(message)
    assert messages == MESSAGES
    assert reader.idle


def test_utf8_split_between_fragments() -> None:
    first, rest = "€".encode()[:1], "€".encode()[1:]
    data = masked(first, final=False) + masked(rest, Opcode.CONTINUATION)
    assert read(data) == [Message(Opcode.TEXT, "€")]


@given(
    st.one_of(
        st.binary(max_size=140),
        st.text(max_size=300).map(lambda text: masked(text.encode())),
        st.integers(0, 140).map(lambda size: masked(b"x" * size)),
    ),
    st.sampled_from([60, 125, 126, 1000]),
)
@settings(max_examples=300, deadline=None)
def test_the_short_way_agrees_with_the_long_one(data: bytes, message_max: int) -> None:
    text = frames.whole_text(data, message_max)
    reader = FrameReader(message_max)
    reader.feed(data)
    try:
        message = reader.next_message()
    except WebSocketError:
        message = None
    if text is not None or (message and message.opcode is Opcode.TEXT and reader.idle):
        assert message == Message(Opcode.TEXT, cast(str, text)) and reader.idle


def header(first: int, length: int, size: int) -> bytes:
    """A masked header whose length is written in `size` bytes."""
    mark = {2: 126, 8: 127}[size]
    return bytes((first, 0x80 | mark)) + length.to_bytes(size, "big") + bytes(4)


BROKEN = {
    "unmasked": (b"\x81\x01a", 1002),
    "reserved opcode": (masked(b"", 0x3), 1002),
    "reserved control opcode": (masked(b"", 0xB), 1002),
    "reserved bit": (masked(b"a", rsv=4), 1002),
    "fragmented ping": (masked(b"", Opcode.PING, final=False), 1002),
    "long ping": (masked(b"x" * 126, Opcode.PING), 1002),
    "continuation of nothing": (masked(b"a", Opcode.CONTINUATION), 1002),
    "message within a message": (masked(b"a", final=False) + masked(b"b"), 1002),
    "length not shortest, 2 bytes": (header(0x81, 125, 2), 1002),
    "length not shortest, 8 bytes": (header(0x81, 65535, 8), 1002),
    "length above 2^63": (header(0x81, 1 << 63, 8), 1002),
    "bad UTF-8": (masked(b"\xff"), 1007),
    "surrogate": (masked(b"\xed\xa0\x80"), 1007),
    "bad UTF-8 in fragments": (
        masked(b"\xe2", final=False) + masked(b"x", Opcode.CONTINUATION),
        1007,
    ),
    "too large": (masked(b"x" * (MAX + 1)), 1009),
    "too large by its header alone": (header(0x82, 1 << 40, 8), 1009),
    "too large in fragments": (
        masked(b"x" * MAX, final=False) + masked(b"y", Opcode.CONTINUATION),
        1009,
    ),
    "too many fragments": (
        masked(b"", final=False) + masked(b"", Opcode.CONTINUATION, final=False) * 256,
        1009,
    ),
}


@pytest.mark.parametrize("pieces", [0, 1])
@pytest.mark.parametrize("name", BROKEN)
def test_broken_frames(name: str, pieces: int) -> None:
    data, code = BROKEN[name]
    with pytest.raises(WebSocketError) as error:
        read(data, pieces=pieces)
    assert error.value.code == code


def test_the_largest_message_passes() -> None:
    assert read(masked(b"x" * MAX)) == [Message(Opcode.TEXT, "x" * MAX)]


@given(st.lists(st.binary(max_size=200), max_size=8))
@settings(max_examples=300, deadline=None)
def test_garbage_never_crashes_and_is_bounded(chunks: list[bytes]) -> None:
    reader = FrameReader(64)
    try:
        for chunk in chunks:
            reader.feed(chunk)
            while reader.next_message() is not None:
                pass
            kept = len(reader._buffer) + len(reader._parts)
            assert kept <= 14 + 125 + 64 + len(chunk)
    except WebSocketError as error:
        assert error.code in (1002, 1007, 1009)


@given(
    st.lists(st.tuples(st.sampled_from([1, 2, 9, 10]), st.binary(max_size=120)), max_size=6),
    st.lists(st.integers(1, 40), max_size=40),
)
@settings(max_examples=200, deadline=None)
def test_what_is_framed_is_read(items: list[tuple[int, bytes]], cuts: list[int]) -> None:
    items = [(op, body.hex().encode()[:120] if op == 1 else body) for op, body in items]
    data = b"".join(masked(body, op) for op, body in items)
    reader, got = FrameReader(MAX), []
    for cut in [*cuts, len(data) or 1]:
        reader.feed(data[:cut])
        data = data[cut:]
        while (message := reader.next_message()) is not None:
            got.append(message)
    reader.feed(data)
    while (message := reader.next_message()) is not None:
        got.append(message)
    assert got == [(op, body.decode() if op == 1 else body) for op, body in items]


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
def test_close_codes_that_may_be_sent(code: int) -> None:
    assert frames.parse_close(code.to_bytes(2, "big") + b"ok") == (code, "ok")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_close_codes_that_may_not(code: int) -> None:
    with pytest.raises(WebSocketError) as error:
        frames.parse_close(code.to_bytes(2, "big"))
    assert error.value.code == 1002


def test_close_payloads() -> None:
    assert frames.parse_close(b"") == (1005, "")
    with pytest.raises(WebSocketError):
        frames.parse_close(b"\x03")
    with pytest.raises(WebSocketError) as error:
        frames.parse_close(b"\x03\xe8\xff")
    assert error.value.code == 1007
    assert frames.close_frame(1005) == b"\x88\x00"
    assert len(frames.close_frame(1000, "x" * 500)) == 127


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"),
    ],
)
def test_lengths_written(size: int, head: bytes) -> None:
    assert frames.frame(Opcode.BINARY, b"x" * size) == head + b"x" * size


def test_a_long_length_written() -> None:
    frame = frames.frame(Opcode.BINARY, b"x" * 65536)
    assert frame[:10] == b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"


def test_the_key_of_the_rfc() -> None:
    key = b"dGhlIHNhbXBsZSBub25jZQ=="
    assert frames.accept_key(key) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    for wrong in (b"", b"abc", b"!" * 24, b"YWJj"):
        assert frames.accept_key(wrong) is None
