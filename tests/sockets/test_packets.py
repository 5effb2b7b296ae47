"""Engine.IO and Socket.IO packets: the protocol's own examples, and everything else refused."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miaosha.sockets import engine_packets, packets
from miaosha.sockets.packets import Assembly, InvalidPacket, Packet, PacketType, decode

CONNECT, DISCONNECT, EVENT, ACK = (
    PacketType.CONNECT,
    PacketType.DISCONNECT,
    PacketType.EVENT,
    PacketType.ACK,
)

GOOD = [
    ("0", Packet(CONNECT, "/", None)),
    ('0{"token":"123"}', Packet(CONNECT, "/", {"token": "123"})),
    ("0/admin,", Packet(CONNECT, "/admin", None)),
    ("0/admin", Packet(CONNECT, "/admin", None)),
    ('0/admin,{"a":1}', Packet(CONNECT, "/admin", {"a": 1})),
    ("1", Packet(DISCONNECT, "/", None)),
    ("1/admin,", Packet(DISCONNECT, "/admin", None)),
    ('2["foo"]', Packet(EVENT, "/", ["foo"])),
    ('212["foo"]', Packet(EVENT, "/", ["foo"], 12)),
    ('2/admin,456["project:delete",123]', Packet(EVENT, "/admin", ["project:delete", 123], 456)),
    ("3/admin,456[]", Packet(ACK, "/admin", [], 456)),
    ('30["bar"]', Packet(ACK, "/", ["bar"], 0)),
    (
        '51-["baz",{"_placeholder":true,"num":0}]',
        Packet(PacketType.BINARY_EVENT, "/", ["baz", {"_placeholder": True, "num": 0}], None, 1),
    ),
    (
        '61-/admin,456[{"_placeholder":true,"num":0}]',
        Packet(PacketType.BINARY_ACK, "/admin", [{"_placeholder": True, "num": 0}], 456, 1),
    ),
]

BAD = [
    "",
    "7",
    "x",
    "2",
    "2[]",
    "2{}",
    '2["a"',
    "2[1]",
    "2[null]",
    '2["connect"]',
    '2["disconnect"]',
    '2["connect_error"]',
    "0[]",
    '0"token"',
    "01",
    "1{}",
    "12",
    '3["a"]',
    "31{}",
    '4{"message":"x"}',
    '5["a"]',
    '51["a"]',
    '511-["a"]',
    '21-["a"]',
    '2999999999999999999999["a"]',
    "2/" + "n" * 300 + ',["a"]',
    "2" + "[" * 3000,
    '2["a","\\ud800"]',
]


@pytest.mark.parametrize(("text", "packet"), GOOD)
def test_packets(text: str, packet: Packet) -> None:
    assert decode(text) == packet


@pytest.mark.parametrize("text", BAD)
def test_refused(text: str) -> None:
    with pytest.raises(InvalidPacket):
        decode(text)


@given(st.text(max_size=60) | st.from_regex(r"\A[0-7]([0-9]{0,3}-)?(/[a-z]*,)?[0-9]*[\[{].*\Z"))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_packet_or_refused(text: str) -> None:
    try:
        packet = decode(text)
    except InvalidPacket:
        return
    assert packet.attachments <= packets.ATTACHMENTS_MAX


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.lists(json, max_size=3), st.none() | st.integers(0, 10**9), st.sampled_from(["/", "/x"]))
@settings(max_examples=300, deadline=None)
def test_encode_and_decode_are_inverse(args: list[Any], ack_id: int | None, space: str) -> None:
    parts = packets.encode(Packet(EVENT, space, ["name", *args], ack_id))
    kind, text = engine_packets.decode(parts[0].packet.decode())
    assert kind is engine_packets.EnginePacketType.MESSAGE
    if len(parts) - 1 > packets.ATTACHMENTS_MAX:
        return
    packet = decode(text)
    if len(parts) > 1:
        assembly, whole = Assembly(packet, 10**9), None
        for part in parts[1:]:
            assert whole is None and part.binary
            whole = assembly.add(part.packet)
        assert whole is not None
        packet = whole
    assert (packet.namespace, packet.data, packet.ack_id) == (space, ["name", *args], ack_id)


def test_attachments_are_put_in_their_place() -> None:
    packet = decode('52-["a",{"_placeholder":true,"num":1},[{"_placeholder":true,"num":0}]]')
    assembly = Assembly(packet, 10)
    assert assembly.add(b"x") is None
    whole = assembly.add(b"y")
    assert whole is not None and whole.data == ["a", b"y", [b"x"]]


@pytest.mark.parametrize("num", ["1", "-1", '"0"', "null", "0.5", "1e300"])
def test_placeholders_that_fit_nothing(num: str) -> None:
    assembly = Assembly(decode(f'51-["a",{{"_placeholder":true,"num":{num}}}]'), 10)
    with pytest.raises(InvalidPacket):
        assembly.add(b"x")


def test_attachments_are_bounded() -> None:
    assembly = Assembly(decode('52-["a"]'), 10)
    assembly.add(b"x" * 6)
    with pytest.raises(InvalidPacket):
        assembly.add(b"x" * 6)


def test_the_hot_path_says_the_same() -> None:
    hot = packets.event("sale", b'{"id":7}').packet
    assert hot == packets.encode(Packet(EVENT, "/", ["sale", {"id": 7}]))[0].packet
    assert packets.ack(3, b"true").packet == b"433[true]"


def test_the_open_packet() -> None:
    packet = engine_packets.open_packet("3-x", b"[]", 25_000, 20_000, 4096).packet
    assert packet[:1] == b"0"
    assert msgspec.json.decode(packet[1:]) == {
        "sid": "3-x",
        "upgrades": [],
        "pingInterval": 25_000,
        "pingTimeout": 20_000,
        "maxPayload": 4096,
    }


def test_sids_differ_and_name_their_process() -> None:
    new_sid = engine_packets.Sids("3").new
    sids = {new_sid() for _ in range(1000)}
    assert len(sids) == 1000
    assert all(sid.startswith("3-") and len(sid) == 22 for sid in sids)


@given(st.lists(st.one_of(st.text(), st.binary()), min_size=1))
def test_payloads_are_inverse(messages: list[str | bytes]) -> None:
    sent = [
        engine_packets.message(one, binary=True)
        if isinstance(one, bytes)
        else engine_packets.message(one.replace("\x1e", "").encode())
        for one in messages
    ]
    read = list(engine_packets.packets(engine_packets.payload(sent)))
    assert read == [one.packet if one.binary else one.packet.decode() for one in sent]


@given(st.binary(max_size=200))
def test_any_payload_is_packets_or_refused(body: bytes) -> None:
    try:
        assert all(isinstance(one, str | bytes) for one in engine_packets.packets(body))
    except engine_packets.EngineError:
        return
    assert len(list(engine_packets.packets(body))) == body.count(b"\x1e") + 1


@pytest.mark.parametrize("text", ["", "7", "x", "10000"])
def test_engine_packets(text: str) -> None:
    if text[:1] == "1":
        assert engine_packets.decode(text) == (engine_packets.EnginePacketType.CLOSE, "0000")
        return
    with pytest.raises(engine_packets.EngineError):
        engine_packets.decode(text)
