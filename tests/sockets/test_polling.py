"""Long polling and the upgrade from it over real sockets: limits, deadlines, order, ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from miaosha.sockets import listening
from tests.kit.waits import until
from tests.sockets.conftest import Start, World
from tests.sockets.polls import Http, connected, get, opened, post, upgrade
from tests.sockets.wire import HEAD, Wire, masked

Dial = Callable[[World], Awaitable[Http]]


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Opens connections, which are closed at the end."""
    https: list[Http] = []

    async def one(world: World) -> Http:
        https.append(await Http.dial(world))
        return https[-1]

    yield one
    for http in https:
        await http.close()


@pytest.fixture(autouse=True)
def short_goodbyes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions without a GET cannot hear the last words."""
    monkeypatch.setattr(listening, "LAST_WORDS_S", 0.1)


def told(world: World, *numbers: int) -> None:
    """News for user 5, one message each."""
    world.desk.tell(5, *numbers)


async def waiting(world: World, sid: str, number: int) -> None:
    """Until so many packets wait for the next GET."""
    box = world.server.polling[sid.encode()]._box
    assert box is not None
    await until(lambda: len(box.packets) == number)


def news(number: int) -> str:
    return f'42["news",{number}]'


async def test_a_conversation_on_one_connection(dial: Dial, world: World) -> None:
    http = await dial(world)
    sid = await connected(http, world.token(5))
    body = b'420["echo",7]\x1e421["echo",8]'
    assert (await http.ask(post(sid, body))).body == b"ok"
    assert (await http.ask(get(sid))).body == b"430[7]\x1e431[8]"
    http.send(get(sid))
    told(world, 1)
    assert (await http.answer()).body.decode() == news(1)
    await http.close()
    await until(lambda: world.counters["sockets"] in (0, 1))


async def test_byte_by_byte(dial: Dial, world: World) -> None:
    http = await dial(world)
    sid = await opened(http)
    for byte in post(sid, b"40") + get(sid):
        http.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await http.answer()).body == b"ok"
    assert (await http.answer()).body.startswith(b"40{")


async def test_a_get_waits(dial: Dial, world: World) -> None:
    http, other = await dial(world), await dial(world)
    sid = await connected(http, world.token(5))
    http.send(get(sid))
    assert (await other.ask(post(sid, b"6"))).body == b"ok"
    told(world, 1)
    assert (await http.answer()).body.decode() == news(1)
    told(world, 2, 3)
    await waiting(world, sid, 2)
    assert (await http.ask(get(sid))).body.decode() == news(2) + "\x1e" + news(3)


async def test_pages_of_listed_origins_may_read_the_answers(
    dial: Dial, start_server: Start
) -> None:
    origin = b"Origin: https://shop.test\r\n"
    async with start_server(origins=("https://shop.test",)) as world:
        http = await dial(world)
        for request in (get("", origin), get("0-x", origin)):
            answer = await http.ask(request)
            assert b"\r\nAccess-Control-Allow-Origin: https://shop.test\r\n" in answer.head
            assert b"\r\nVary: Origin\r\n" in answer.head
        http = await dial(world)
        assert b"Access-Control" not in (await http.ask(get(""))).head
        answer = await http.ask(get("0-x", origin).replace(b"GET", b"OPTIONS"))
        assert answer.status == 204 and b"Access-Control-Allow-Methods: GET, POST" in answer.head
        answer = await http.ask(get("", b"Origin: https://evil.test\r\n"))
        assert answer.status == 403 and answer.body == b'{"code":4,"message":"Forbidden"}'


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"Content-Length: 2", b"Content-Length: 4097"), 413),
        ((b"Content-Length: 2", b"X: 2"), 411),
        ((b"Content-Length: 2", b"Transfer-Encoding: chunked"), 411),
        ((b"Content-Length: 2", b"Expect: 100-continue\r\nContent-Length: 2"), 417),
        ((b"Content-Length: 2", b"Content-Length: x"), 400),
        ((b"Host: x", b"Host : x"), 400),
        ((b"Host: x", b"X: " + b"x" * 9000), 431),
        ((b"POST", b"PATCH"), 400),
    ],
)
async def test_requests_that_are_refused(
    dial: Dial, world: World, change: tuple[bytes, bytes], status: int
) -> None:
    http = await dial(world)
    sid = await opened(http)
    answer = await http.ask(post(sid, b"40").replace(*change))
    assert answer.status == status and b"\r\nConnection: close\r\n" in answer.head
    assert await http.eof() == b""
    later = await (await dial(world)).ask(post(sid, b"40"))
    assert later.status == (400 if status == 413 else 200)


async def test_a_body_that_never_arrives_ends_the_session(dial: Dial, start_server: Start) -> None:
    async with start_server(handshake_s=0.3) as world:
        http = await dial(world)
        sid = await connected(http)
        http.send(post(sid, b"6" * 10)[:-1])
        assert await http.eof() == b""
        assert (await (await dial(world)).ask(get(sid))).status == 400


async def test_two_posts_at_a_time_end_the_session(dial: Dial, world: World) -> None:
    http, other = await dial(world), await dial(world)
    sid = await connected(http)
    http.send(post(sid, b"66")[:-1])
    await until(lambda: world.server.polling[sid.encode()]._box.post)  # type: ignore[union-attr]
    assert (await other.ask(post(sid, b"6"))).status == 400
    assert (await http.ask(b"6")).status == 400


async def test_an_idle_connection_is_let_go(dial: Dial, start_server: Start) -> None:
    async with start_server(handshake_s=0.2) as world:
        world.server.limits = world.server.limits._replace(keepalive_s=0.3)
        http = await dial(world)
        await opened(http)
        assert await http.eof() == b""
        await until(lambda: world.counters["sockets"] == 0)


async def test_somebody_who_does_not_come_for_his_mail(dial: Dial, start_server: Start) -> None:
    async with start_server(buffer_max=5_000) as world:
        http = await dial(world)
        sid = await connected(http, world.token(5))
        told(world, *range(100))
        await world.count("sockets_slow_dropped")
        await until(lambda: not world.server.polling)
        assert not world.desk.of_user(5)
        assert (await http.ask(get(sid))).status == 400


async def test_somebody_who_asks_on_and_does_not_read(start_server: Start) -> None:
    """Preflights ask for no session, so nothing else bounds their answers."""
    preflight = b"OPTIONS /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n"
    async with start_server(buffer_max=20_000) as world, await Wire.dial(world) as wire:
        wire.reader._transport.pause_reading()  # type: ignore[attr-defined]
        while not world.counters["sockets_slow_dropped"]:
            wire.send(preflight * 20)
            async with asyncio.timeout(20):
                await wire.writer.drain()
            await asyncio.sleep(0)
        await until(lambda: world.counters["sockets"] == 0)


async def test_a_half_open_peer_on_polling(dial: Dial, start_server: Start) -> None:
    async with start_server(ping_interval_s=0.2, ping_timeout_s=0.15) as world:
        http = await dial(world)
        sid = await connected(http)
        assert (await http.ask(get(sid))).body == b"2"
        await world.count("sockets_ping_timeout")
        assert (await http.ask(get(sid))).status == 400


async def test_a_token_expires_while_polling(dial: Dial, world: World) -> None:
    http = await dial(world)
    sid = await connected(http, world.token(5, valid_s=2))
    assert (await http.ask(get(sid))).body == b"1"
    assert (await http.ask(get(sid))).status == 400
    assert world.counters["sockets_token_expired"] == 1


async def test_a_session_that_never_connects(dial: Dial, start_server: Start) -> None:
    async with start_server(handshake_s=0.3) as world:
        http = await dial(world)
        sid = await opened(http)
        assert (await http.ask(get(sid))).body == b"1"


async def test_the_message_rate_holds_within_a_payload(dial: Dial, world: World) -> None:
    http = await dial(world)
    sid = await connected(http)
    assert (await http.ask(post(sid, b"\x1e".join([b'42["x"]'] * 20)))).status == 400
    assert world.counters["sockets_rate_limited"] == 1
    assert world.counters["messages_in"] < 15


async def test_a_full_gateway_serves_those_it_has(dial: Dial, start_server: Start) -> None:
    async with start_server(connections_max=2) as world:
        http = await dial(world)
        sid = await connected(http, world.token(5))
        other = await dial(world)  # above the limit
        told(world, 1)
        assert (await other.ask(get(sid))).body.decode() == news(1)
        answer = await other.ask(get(""))
        assert answer.status == 503 and b"\r\nRetry-After: " in answer.head


async def test_draining_ends_the_gets(dial: Dial, start_server: Start) -> None:
    async with start_server() as world:
        http, idle = await dial(world), await dial(world)
        sid = await connected(http)
        await connected(idle)
        http.send(get(sid))
        await until(lambda: world.server.polling[sid.encode()]._box.poll)  # type: ignore[union-attr]
        await world.stop()
        assert (await http.answer()).body == b"1"
        assert await idle.eof() == b""
        assert world.counters["sockets"] == 0


async def test_a_kept_connection_may_turn_to_something_else(dial: Dial, world: World) -> None:
    """A proxy sends whatever comes on the connections it keeps."""
    http = await dial(world)
    await opened(http)
    assert (await http.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")).body == b'{"status":"ok"}'
    http = await dial(world)
    await opened(http)
    http.send(HEAD + b"\r\n" + masked(b"40"))
    wire = Wire(http.reader, http.writer)
    assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
    assert (await wire.frame())[1].startswith(b"0{")
    assert (await wire.packet()).startswith("40{")


# the upgrade


async def candidate(world: World, sid: str) -> Wire:
    """A WebSocket whose probe was answered."""
    wire = await Wire.dial(world)
    wire.send(upgrade(sid, HEAD))
    assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
    wire.text("2probe")
    assert await wire.frame() == (1, b"3probe")
    return wire


async def test_nothing_is_lost_or_reordered_by_an_upgrade(dial: Dial, world: World) -> None:
    http = await dial(world)
    sid = await connected(http, world.token(5))
    http.send(get(sid))
    async with await candidate(world, sid) as wire:
        assert (await http.answer()).body == b"6"
        told(world, 1, 2)
        await waiting(world, sid, 2)
        assert (await http.ask(get(sid))).body.decode() == news(1) + "\x1e" + news(2)
        told(world, 3, 4)
        await waiting(world, sid, 2)
        wire.send(masked(b"5") + masked(b'427["echo",7]'))
        assert await wire.packet() == news(3)
        assert await wire.packet() == news(4)
        assert await wire.packet() == "437[7]"
        told(world, 5)
        assert await wire.packet() == news(5)
        assert world.server.polling == {}
        assert world.counters["sockets_upgraded"] == 1
    await http.close()
    await until(lambda: world.counters["sockets"] == 0)
    assert not world.desk.of_user(5)


async def test_gets_are_ended_until_the_client_upgrades(dial: Dial, world: World) -> None:
    http = await dial(world)
    sid = await connected(http)
    async with await candidate(world, sid):
        for _ in range(3):
            assert (await http.ask(get(sid))).body == b"6"


@pytest.mark.parametrize(
    "ending",
    [b"", masked(b"", 8), masked(b"4x"), b"\x81\x00", masked(b"x", 2)],
    ids=["hangs-up", "closes", "talks", "not-masked", "binary"],
)
async def test_a_candidate_that_gives_up(dial: Dial, world: World, ending: bytes) -> None:
    http = await dial(world)
    sid = await connected(http, world.token(5))
    async with await candidate(world, sid) as wire:
        wire.send(ending)
        if ending:
            await wire.closed()
    await until(lambda: world.counters["sockets"] == 2)
    http.send(get(sid))
    told(world, 1)
    assert (await http.answer()).body.decode() == news(1)
    async with await candidate(world, sid) as wire:
        wire.text("5")
        told(world, 2)
        assert await wire.packet() == news(2)


async def test_an_upgrade_that_is_left_half_done(dial: Dial, start_server: Start) -> None:
    async with start_server(handshake_s=0.3) as world:
        http = await dial(world)
        sid = await connected(http)
        async with await candidate(world, sid) as wire:
            assert await wire.closed() == (1008, "connect_timeout; retry=1000")
        assert (await http.ask(post(sid, b"6"))).body == b"ok"


async def test_a_second_candidate_and_an_unknown_session(dial: Dial, world: World) -> None:
    http = await dial(world)
    sid = await connected(http)
    async with await candidate(world, sid) as first:
        for unknown in (sid, "3-unknown"):
            async with await Wire.dial(world) as wire:
                wire.send(upgrade(unknown, HEAD))
                await wire.head()
                assert await wire.closed() == (1008, "unknown_session; retry=0")
        first.text("5")
        assert await first.ask("echo", 7) == 7


async def test_an_upgraded_session_is_as_any_other(dial: Dial, start_server: Start) -> None:
    async with start_server(ping_interval_s=0.2, ping_timeout_s=0.15) as world:
        http = await dial(world)
        sid = await connected(http, world.token(5))
        async with await candidate(world, sid) as wire:
            wire.text("5")
            for _ in range(3):
                while await wire.frame() != (1, b"2"):
                    pass
                wire.text("3")
            assert await wire.closed() == (4002, "ping_timeout; retry=0")
        assert not world.desk.of_user(5)
