"""The protocol over a real socket: RFC 6455 and Engine.IO by hand and by `websockets`."""

import asyncio

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from tests.kit.waits import until
from tests.sockets.conftest import Start, World
from tests.sockets.wire import HEAD, Wire, masked


async def test_the_open_packet(world: World) -> None:
    async with connect(world.ws) as client:
        opened = await client.recv()
        assert isinstance(opened, str) and opened[0] == "0"
        handshake = msgspec.json.decode(opened[1:])
        assert handshake.pop("sid").startswith("3-")
        assert handshake == {
            "upgrades": [],
            "pingInterval": 25_000,
            "pingTimeout": 20_000,
            "maxPayload": 4096,
        }
        assert client.response is not None
        assert "Sec-WebSocket-Extensions" not in client.response.headers


async def test_fragments_with_control_frames_between(world: World) -> None:
    async with connect(world.ws) as client:
        await client.recv()
        await client.send(["4", "0"])
        assert str(await client.recv()).startswith("40{")
        pong = await client.ping(b"are you there")
        await asyncio.wait_for(pong, 5)
    async with await Wire.connect(world) as wire:
        wire.send(masked(b'421["ec', final=False))
        wire.send(masked(b"between", 9))
        wire.send(masked(b'ho",{"sale', 0, final=False))
        wire.send(masked(b"unasked", 10))
        wire.send(masked(b'_id":7}]', 0))
        assert await wire.frame() == (10, b"between")
        assert await wire.packet() == '431[{"sale_id":7}]'


async def test_a_conversation_byte_by_byte(world: World) -> None:
    async with await Wire.dial(world) as wire:
        talk = HEAD + b"\r\n" + masked(b"40") + masked(b'421["echo",7]')
        for index in range(len(talk)):
            wire.send(talk[index : index + 1])
            await asyncio.sleep(0)
        assert (await wire.head()).startswith(b"HTTP/1.1 101")
        assert (await wire.frame())[1].startswith(b"0{")
        assert (await wire.packet()).startswith("40{")
        assert await wire.packet() == "431[7]"


async def test_everything_in_one_segment(world: World) -> None:
    talk = masked(b"40") + masked(b'421["echo",7]') + masked(b"\x03\xe8", 8)
    async with await Wire.open(world, rest=talk) as wire:
        assert (await wire.packet()).startswith("40{")
        assert await wire.packet() == "431[7]"
        assert await wire.frame() == (8, b"\x03\xe8")
        assert await wire.eof() == b""


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x02ab", 1002),
        (masked(b"", 3), 1002),
        (masked(b"a", rsv=4), 1002),
        (masked(b"a", 0), 1002),
        (masked(b"a", final=False) + masked(b"b"), 1002),
        (masked(b"", 9, final=False), 1002),
        (masked(b"\x00\x00", 8), 1002),
        (masked(b"\x03", 8), 1002),
        (masked(b"\x03\xe8\xff", 8), 1007),
        (masked(b"4\xff"), 1007),
        (masked(b"4" + b"x" * 4096), 1009),
        (b"\x82\xff\x00\x00\x01\x00\x00\x00\x00\x00abcd", 1009),
    ],
)
async def test_broken_frames_fail_the_connection(world: World, data: bytes, code: int) -> None:
    async with await Wire.connect(world) as wire:
        wire.send(data + masked(b'421["echo",7]'))
        assert (await wire.closed())[0] == code
        assert await wire.eof() == b"", "nothing after the close frame"
    await until(lambda: world.counters["sockets"] == 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9",
        "2",  # a ping only ever comes from the server
        "0{}",
        "5",
        "4",
        "4x",
        "47",
        '42["connect"]',
        '42{"not":"a list"}',
        '42["unterminated',
        "42/other,[]",
        '42/other,["echo"]',  # a namespace it is not connected to
        "40",  # connected twice
        '451-["a",{"_placeholder":true,"num":0}]then text',
    ],
)
async def test_packets_no_client_may_send(world: World, text: str) -> None:
    async with await Wire.connect(world) as wire:
        wire.text(text)
        assert await wire.closed() == (1002, "protocol_error; retry=never")


async def test_binary_that_belongs_to_nothing(world: World) -> None:
    async with await Wire.connect(world) as wire:
        wire.send(masked(b"\x00\x01", 2))
        assert (await wire.closed())[0] == 1002


async def test_binary_events_are_gathered_and_answered(world: World) -> None:
    async with await Wire.connect(world) as wire:
        wire.text('451-9["echo",{"_placeholder":true,"num":0}]')
        wire.send(masked(b"\x00\x01", 2))
        assert await wire.packet() == '461-9[{"_placeholder":true,"num":0}]'
        assert await wire.frame() == (2, b"\x00\x01")
        wire.text('451-9["echo",{"_placeholder":true,"num":0}]')
        wire.text('42["echo",7]')  # text where an attachment is due
        assert (await wire.closed())[0] == 1002


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4321])
async def test_the_close_handshake(world: World, code: int) -> None:
    async with connect(world.ws) as client:
        await client.recv()
        await client.close(code, "bye")
        assert client.close_code == code
    await until(lambda: world.counters["sockets"] == 0)


async def test_an_empty_close_frame(world: World) -> None:
    async with await Wire.connect(world) as wire:
        wire.send(masked(b"", 8))
        assert await wire.frame() == (8, b"")
        assert await wire.eof() == b""


async def test_engine_io_close(world: World) -> None:
    async with await Wire.connect(world) as wire:
        wire.text("1")
        assert await wire.closed() == (1000, "bye")
        assert await wire.eof() == b""


async def test_pings_are_sent_and_pongs_taken(start_server: Start) -> None:
    async with (
        start_server(ping_interval_s=0.2, ping_timeout_s=0.15) as world,
        await Wire.connect(world) as wire,
    ):
        for _ in range(5):
            assert await wire.frame() == (1, b"2")
            wire.text("3")
        assert world.counters["sockets_ping_timeout"] == 0


async def test_a_missing_pong(start_server: Start) -> None:
    async with (
        start_server(ping_interval_s=0.2, ping_timeout_s=0.15) as world,
        await Wire.connect(world) as wire,
    ):
        assert await wire.closed() == (4002, "ping_timeout; retry=0")
        assert world.counters["sockets_ping_timeout"] == 1


async def test_a_peer_that_does_not_answer_a_close(start_server: Start) -> None:
    async with start_server(ping_interval_s=0.2, ping_timeout_s=0.15) as world:
        world.server.limits = world.server.limits._replace(close_s=0.2)
        async with await Wire.connect(world) as wire:
            assert (await wire.closed())[0] == 4002
            await until(lambda: world.counters["sockets"] == 0)


async def test_namespaces_are_refused_with_a_reason(world: World) -> None:
    async with await Wire.connect(world) as wire:
        wire.text('40/admin,{"token":"x"}')
        expected = '44/admin,{"message":"Invalid namespace","data":{"code":"not_found"}}'
        assert await wire.packet() == expected
        assert await wire.ask("echo", 7) == 7


async def test_leaving_and_coming_back_as_another(world: World) -> None:
    async with await Wire.connect(world, world.token(5)) as wire:
        wire.text("41")
        wire.text("40" + msgspec.json.encode({"token": world.token(6)}).decode())
        assert (await wire.packet()).startswith("40{")
        assert not world.desk.of_user(5) and len(world.desk.of_user(6)) == 1


async def test_who_is_refused_may_try_again(world: World) -> None:
    async with await Wire.open(world) as wire:
        wire.text('40{"token":"garbage"}')
        assert await wire.packet() == '44{"message":"No such token"}'
        wire.text('40{"token":"5:9999999999"}')
        assert (await wire.packet()).startswith("40{")


async def test_text_before_connect(world: World) -> None:
    async with connect(world.ws) as client:
        await client.recv()
        await client.send('42["echo",7]')
        with pytest.raises(ConnectionClosedError) as closed:
            await client.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1002


async def test_a_failing_application_closes_with_1011(world: World) -> None:
    async with await Wire.connect(world) as wire:
        application, world.server.application = world.server.application, None  # type: ignore[assignment]
        wire.text('42["echo",7]')
        assert (await wire.closed())[0] == 1011
        world.server.application = application
