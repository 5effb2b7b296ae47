"""What the Engine.IO v4 and Socket.IO v5 protocols ask of a server, case by case.

Each case of the protocols' own test suites has a test here; what both suites ask of the transports
is asked of both servers.
"""

import asyncio
import re
from collections.abc import Iterator

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.sockets.echo import (
    DEADLINE_S,
    MAX_PAYLOAD,
    Server,
    closed,
    echo,
    packet,
    receive,
)

PING_INTERVAL_S = 0.3
PING_TIMEOUT_S = 0.2
HANDSHAKE_KEYS = {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
POLLING = "EIO=4&transport=polling"
QUICK = (
    f"--ping-interval-ms={PING_INTERVAL_S * 1000:.0f}",
    f"--ping-timeout-ms={PING_TIMEOUT_S * 1000:.0f}",
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Server]:
    with echo("--engineio", path="/engine.io/") as server:
        yield server


@pytest.fixture(scope="module")
def sockets() -> Iterator[Server]:
    with echo(path="/socket.io/") as server:
        yield server


@pytest.fixture(scope="module")
def quick_engine() -> Iterator[Server]:
    with echo("--engineio", *QUICK, path="/engine.io/") as server:
        yield server


@pytest.fixture(scope="module")
def quick_sockets() -> Iterator[Server]:
    with echo(*QUICK, path="/socket.io/") as server:
        yield server


@pytest.fixture(params=["engine", "sockets"])
def either(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture(params=["quick_engine", "quick_sockets"])
def quick(request: pytest.FixtureRequest) -> Server:
    """One whose heartbeat is that of the protocols' own suites."""
    server: Server = request.getfixturevalue(request.param)
    return server


def check_handshake(text: str, upgrades: list[str]) -> None:
    assert text[0] == "0"
    told = msgspec.json.decode(text[1:])
    assert set(told) == HANDSHAKE_KEYS
    assert re.fullmatch(r"\d+-[\w-]{20}", told["sid"])
    assert told["upgrades"] == upgrades
    assert told["pingInterval"] == PING_INTERVAL_S * 1000
    assert told["pingTimeout"] == PING_TIMEOUT_S * 1000
    assert told["maxPayload"] == MAX_PAYLOAD


# handshake


async def test_polling_opens_a_session(quick: Server) -> None:
    answer = await quick.ask("GET", POLLING)
    assert answer.status == 200
    check_handshake(answer.body, ["websocket"])


@pytest.mark.parametrize("version", ["", "EIO=abc&", "EIO=3&"])
async def test_polling_needs_the_protocol_version(either: Server, version: str) -> None:
    answer = await either.ask("GET", f"{version}transport=polling")
    expected = {"code": 5, "message": "Unsupported protocol version"}
    assert (answer.status, msgspec.json.decode(answer.body)) == (400, expected)


@pytest.mark.parametrize("transport", ["", "&transport=abc"])
async def test_polling_needs_a_known_transport(either: Server, transport: str) -> None:
    answer = await either.ask("GET", f"EIO=4{transport}")
    expected = {"code": 0, "message": "Transport unknown"}
    assert (answer.status, msgspec.json.decode(answer.body)) == (400, expected)


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_session_is_opened_by_get_alone(either: Server, method: str) -> None:
    answer = await either.ask(method, POLLING, "")
    expected = {"code": 2, "message": "Bad handshake method"}
    assert (answer.status, msgspec.json.decode(answer.body)) == (400, expected)


async def test_a_websocket_opens_a_session(quick: Server) -> None:
    async with quick.websocket() as socket:
        check_handshake(await receive(socket), [])


@pytest.mark.parametrize("query", ["transport=websocket", "EIO=abc&transport=websocket"])
async def test_a_websocket_needs_the_protocol_version(either: Server, query: str) -> None:
    with pytest.raises(InvalidStatus):
        async with either.websocket(query):
            pass


@pytest.mark.parametrize("query", ["EIO=4", "EIO=4&transport=abc"])
async def test_a_websocket_needs_a_known_transport(either: Server, query: str) -> None:
    with pytest.raises(InvalidStatus):
        async with either.websocket(query):
            pass


# Engine.IO messages


@pytest.mark.parametrize(
    "payload",
    ["4hello", "4test1\x1e4test2\x1e4test3", "4hello\x1ebAQIDBA==", "4\x1e4\u20ac\x1eb"],
    ids=["one-text", "several-texts", "text-and-binary", "empty-and-not-ascii"],
)
async def test_a_payload_comes_back_on_polling(engine: Server, payload: str) -> None:
    session = await engine.session()
    answer = await session.post(payload)
    assert (answer.status, answer.body) == (200, "ok")
    answer = await session.get()
    assert (answer.status, answer.body) == (200, payload)


@pytest.mark.parametrize("payload", ["abc", "", "4a\x1e", "b!", "bAQ", "2", "4a\x1e0"])
async def test_an_invalid_packet_ends_a_polling_session(engine: Server, payload: str) -> None:
    session = await engine.session()
    assert (await session.post(payload)).status == 400
    assert (await session.get()).status == 400


async def test_two_gets_at_a_time_end_the_session(engine: Server) -> None:
    session = await engine.session()
    first = await session.start_get()
    assert (await asyncio.wait_for(_second_get(session.query, engine), 20)) == 400
    answer = await first.answer()
    assert (answer.status, answer.body) == (200, "1")
    assert (await session.get()).status == 400


async def _second_get(query: str, server: Server) -> int:
    return (await server.ask("GET", query + "&t=2")).status


async def test_a_get_that_is_cut_ends_the_session(engine: Server) -> None:
    session = await engine.session()
    (await session.start_get()).cut()
    assert (await session.get()).status == 400


async def test_text_comes_back_on_a_websocket(engine: Server) -> None:
    async with engine.websocket() as socket:
        await receive(socket)
        await socket.send("4hello")
        assert await packet(socket) == "4hello"


async def test_bytes_come_back_on_a_websocket(engine: Server) -> None:
    async with engine.websocket() as socket:
        await receive(socket)
        await socket.send(b"\x01\x02\x03\x04")
        assert await packet(socket) == b"\x01\x02\x03\x04"


async def test_an_invalid_packet_closes_a_websocket(engine: Server) -> None:
    async with engine.websocket() as socket:
        await receive(socket)
        await socket.send("abc")
        assert await closed(socket) == 1002


# heartbeat


async def test_polling_is_pinged_while_it_pongs(quick: Server) -> None:
    session = await quick.session()
    for _ in range(3):
        answer = await session.get()
        assert (answer.status, answer.body) == (200, "2")
        assert (await session.post("3")).status == 200


async def test_a_silent_polling_session_ends(quick: Server) -> None:
    session = await quick.session()
    async with asyncio.timeout(20):
        while (await session.post("6")).status == 200:  # noqa: ASYNC110 - a noop is no pong
            await asyncio.sleep(0.02)
    assert (await session.get()).status == 400


async def test_a_websocket_is_pinged_while_it_pongs(quick: Server) -> None:
    async with quick.websocket() as socket:
        await receive(socket)
        for _ in range(3):
            assert await receive(socket) == "2"
            await socket.send("3")


async def test_a_silent_websocket_is_closed(quick: Server) -> None:
    async with quick.websocket() as socket:
        assert await closed(socket) == 4002


# close


async def test_a_polling_session_says_goodbye(either: Server) -> None:
    session = await either.session()
    waiting = await session.start_get()
    assert (await session.post("1")).body == "ok"
    answer = await waiting.answer()
    assert (answer.status, answer.body) == (200, "6")
    assert (await session.get()).status == 400


async def test_a_websocket_says_goodbye(either: Server) -> None:
    async with either.websocket() as socket:
        await receive(socket)
        await socket.send("1")
        assert await closed(socket) == 1000


# upgrade


async def probe(socket: ClientConnection) -> None:
    await socket.send("2probe")
    assert await receive(socket) == "3probe"


async def test_a_session_moves_to_a_websocket(engine: Server) -> None:
    session = await engine.session()
    async with session.websocket() as socket:
        await probe(socket)
        answer = await session.get()
        assert (answer.status, answer.body) == (200, "6")
        await socket.send("5")
        await socket.send("4hello")
        assert await packet(socket) == "4hello"


async def test_a_session_of_namespaces_moves_to_a_websocket(sockets: Server) -> None:
    session = await sockets.session()
    assert (await session.post("40")).status == 200
    async with session.websocket() as socket:
        await probe(socket)
        answer = await session.get()
        assert re.fullmatch(r'40\{"sid":"[^"]+"\}\x1e42\["auth",\{\}\]', answer.body)
        await socket.send("5")
        await socket.send('42["message",1]')
        assert await packet(socket) == '42["message-back",1]'


async def lives(socket: ClientConnection) -> None:
    await asyncio.wait_for(await socket.ping(), DEADLINE_S)


async def test_polling_is_over_after_the_upgrade(either: Server) -> None:
    session = await either.session()
    async with session.websocket() as socket:
        await probe(socket)
        await socket.send("5")
        await lives(socket)
        assert (await session.get()).status == 400
        assert (await session.post("4x")).status == 400
        await lives(socket)


async def test_a_second_websocket_is_closed(either: Server) -> None:
    session = await either.session()
    async with session.websocket() as socket:
        await probe(socket)
        await socket.send("5")
        async with session.websocket() as second:
            assert await closed(second) == 1008
        await lives(socket)


# Socket.IO: connect


async def connected(socket: ClientConnection, connect: str = "40") -> None:
    """After the handshakes of both protocols and the `auth` event."""
    if connect == "40":
        await receive(socket)
    await socket.send(connect)
    assert (await packet(socket)).startswith(connect.rstrip(","))
    assert '["auth"' in await packet(socket)


@pytest.mark.parametrize(
    ("connect", "prefix", "auth"),
    [
        ("40", "40", '42["auth",{}]'),
        ('40{"token":"123"}', "40", '42["auth",{"token":"123"}]'),
        ("40/custom,", "40/custom,", '42/custom,["auth",{}]'),
        ('40/custom,{"token":"abc"}', "40/custom,", '42/custom,["auth",{"token":"abc"}]'),
    ],
    ids=["main", "main-with-payload", "custom", "custom-with-payload"],
)
async def test_a_namespace_is_joined(sockets: Server, connect: str, prefix: str, auth: str) -> None:
    async with sockets.websocket() as socket:
        await receive(socket)
        await socket.send(connect)
        answer = await packet(socket)
        assert answer.startswith(prefix)
        told = msgspec.json.decode(answer[len(prefix) :])
        assert list(told) == ["sid"] and isinstance(told["sid"], str)
        assert await packet(socket) == auth


async def test_an_unknown_namespace_is_refused(sockets: Server) -> None:
    async with sockets.websocket() as socket:
        await receive(socket)
        await socket.send("40/random")
        assert await packet(socket) == '44/random,{"message":"Invalid namespace"}'


async def test_an_invalid_connect_closes(sockets: Server) -> None:
    async with sockets.websocket() as socket:
        await receive(socket)
        await socket.send("4abc")
        assert await closed(socket) == 1002


async def test_whoever_never_connects_is_closed(quick_sockets: Server) -> None:
    async with quick_sockets.websocket() as socket:
        assert await closed(socket) in (1008, 4002)


# Socket.IO: disconnect


async def test_leaving_the_main_namespace_keeps_the_socket(quick_sockets: Server) -> None:
    async with quick_sockets.websocket() as socket:
        await connected(socket)
        await socket.send("41")
        assert await receive(socket) == "2"


async def test_leaving_one_namespace_keeps_the_other(sockets: Server) -> None:
    async with sockets.websocket() as socket:
        await connected(socket)
        await connected(socket, "40/custom")
        await socket.send("41/custom")
        await socket.send('42["message","message to main namespace"]')
        assert await packet(socket) == '42["message-back","message to main namespace"]'


# Socket.IO: messages


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ('42["message",1,"2",{"3":[true]}]', '42["message-back",1,"2",{"3":[true]}]'),
        ('42456["message-with-ack",1,"2",{"3":[false]}]', '43456[1,"2",{"3":[false]}]'),
    ],
    ids=["event", "ack"],
)
async def test_text(sockets: Server, sent: str, answered: str) -> None:
    async with sockets.websocket() as socket:
        await connected(socket)
        await socket.send(sent)
        assert await packet(socket) == answered


TWO = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (f'452-["message",{TWO}', f'452-["message-back",{TWO}'),
        (f'452-789["message-with-ack",{TWO}', f"462-789[{TWO}"),
    ],
    ids=["event", "ack"],
)
async def test_attachments(sockets: Server, sent: str, answered: str) -> None:
    async with sockets.websocket() as socket:
        await connected(socket)
        for message in (sent, b"\x01\x02\x03", b"\x04\x05\x06"):
            await socket.send(message)
        assert await packet(socket) == answered
        assert await packet(socket) == b"\x01\x02\x03"
        assert await packet(socket) == b"\x04\x05\x06"


@pytest.mark.parametrize(
    "message",
    ["4abc", "42{}", '42abc["message-with-ack",1,"2",{"3":[false]}]'],
    ids=["packet-type", "payload", "ack-id"],
)
async def test_an_invalid_format_closes(sockets: Server, message: str) -> None:
    async with sockets.websocket() as socket:
        await connected(socket)
        await socket.send(message)
        with pytest.raises(ConnectionClosed):
            await packet(socket)
        assert await closed(socket) == 1002
