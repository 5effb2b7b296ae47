"""Every limit at its edge, what goes over it, and what the client is told."""

import asyncio
import socket

import pytest

from tests.kit.waits import until
from tests.sockets.conftest import Start, World
from tests.sockets.wire import HEAD, Wire, masked


async def request(world: World, data: bytes) -> tuple[int, bytes]:
    """(status, everything answered) of one HTTP request."""
    async with await Wire.dial(world) as wire:
        wire.send(data)
        answer = await wire.eof()
        return int(answer.split(b" ", 2)[1]), answer


async def test_probes(world: World) -> None:
    assert (await request(world, b"GET /healthz HTTP/1.1\r\n\r\n"))[0] == 200
    status, answer = await request(world, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == 200 and answer.endswith(b'{"status":"ok","checks":{}}')
    status, answer = await request(world, b"POST /healthz HTTP/1.1\r\n\r\n")
    assert status == 405 and b"\r\nAllow: GET\r\n" in answer
    assert (await request(world, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 404

    async def broken() -> None:
        raise OSError

    world.checks["store"] = broken
    status, answer = await request(world, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == 503 and b'"store":"OSError"' in answer


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /socket.io/?EIO=4&transport=polling&sid=0-x HTTP/1.1\r\n\r\n", 400),
        (b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (HEAD + b"Origin: https://evil.test\r\n\r\n", 403),
        (HEAD.replace(b": 13", b": 12") + b"\r\n", 426),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 8200 + b"\r\n\r\n", 431),
        (b"G" * 9000, 431),
    ],
)
async def test_bad_requests(world: World, data: bytes, status: int) -> None:
    assert (await request(world, data))[0] == status


async def test_a_listed_origin(start_server: Start) -> None:
    async with start_server(origins=("https://shop.test",)) as world:
        async with await Wire.open(world, b"Origin: https://shop.test\r\n"):
            pass
        assert (await request(world, HEAD + b"Origin: https://evil.test\r\n\r\n"))[0] == 403


async def test_a_request_that_never_ends(start_server: Start) -> None:
    async with (
        start_server(handshake_s=0.3) as world,
        await Wire.dial(world) as wire,
    ):
        wire.send(HEAD)
        assert await wire.eof() == b""


async def test_a_socket_that_never_connects(start_server: Start) -> None:
    async with (
        start_server(handshake_s=0.3) as world,
        await Wire.open(world) as wire,
        await Wire.connect(world) as connected,
    ):
        assert await wire.closed() == (1008, "connect_timeout; retry=1000")
        assert await connected.ask("echo", 7) == 7
        connected.text("41")
        assert (await connected.closed())[0] == 1008


async def test_the_largest_message(world: World) -> None:
    async with await Wire.connect(world) as wire:
        text = b'421["echo",7,"' + b"x" * (4096 - 16) + b'"]'
        assert len(text) == 4096
        wire.send(masked(text))
        assert (await wire.packet()).startswith("431[7,")
        wire.send(masked(text + b" "))
        assert await wire.closed() == (1009, "too_large; retry=never")


async def test_the_message_rate(world: World) -> None:
    async with await Wire.connect(world) as wire:
        for ack_id in range(9):  # with the CONNECT: the burst of 10
            assert await wire.ask("echo", ack_id, ack_id=ack_id) == ack_id
        for _ in range(5):
            wire.text('42["x"]')
        assert await wire.closed() == (1008, "rate_limited; retry=10000")
        assert world.counters["sockets_rate_limited"] == 1


async def test_control_frames_count_as_messages(world: World) -> None:
    async with await Wire.connect(world) as wire:
        wire.send(masked(b"", 9) * 15)
        assert (await wire.closed())[0] == 1008


async def test_a_steady_rate_is_served(start_server: Start) -> None:
    async with (
        start_server(rate_per_s=50, burst=1) as world,
        await Wire.connect(world) as wire,
    ):
        for ack_id in range(20):
            await asyncio.sleep(0.03)
            assert await wire.ask("echo", ack_id, ack_id=ack_id) == ack_id


async def test_connections_max(start_server: Start) -> None:
    async with (
        start_server(connections_max=2) as world,
        await Wire.connect(world) as first,
        await Wire.connect(world),
    ):
        status, answer = await request(world, HEAD + b"\r\n")
        assert status == 503 and b"Retry-After: " in answer
        first.text("1")
        await first.closed()
        await until(lambda: world.counters["sockets"] == 1)
        async with await Wire.connect(world):
            pass


async def test_a_token_expires(world: World) -> None:
    async with (
        await Wire.connect(world, world.token(5, valid_s=2)) as wire,
        await Wire.connect(world) as visitor,
    ):
        assert await wire.closed() == (4001, "token_expired; retry=new_token")
        assert await visitor.ask("echo", 7) == 7


async def test_a_token_that_expires_much_later(start_server: Start) -> None:
    async with (
        start_server(ping_interval_s=0.3, ping_timeout_s=0.1) as world,
        await Wire.connect(world, world.token(5, valid_s=4000)) as wire,
    ):
        assert await wire.frame() == (1, b"2")
        wire.text("3")
        world.clock.set_on(3_999_000)
        while (frame := await wire.frame()) == (1, b"2"):
            wire.text("3")
        assert frame[0] == 8 and frame[1][:2] == (4001).to_bytes(2, "big")


async def test_a_slow_reader_is_dropped(start_server: Start) -> None:
    async with (
        start_server(buffer_max=20_000) as world,
        await Wire.connect(world, world.token(5)) as slow,
        await Wire.connect(world, world.token(6)) as quick,
    ):
        raw: socket.socket = slow.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.reader._transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(200):
            world.desk.tell(5, *["x" * 1000] * 100)
            world.desk.tell(6, "y")
            assert await quick.event() == ["news", "y"]
            if world.counters["sockets_slow_dropped"]:
                break
        await until(lambda: world.counters["sockets"] == 1)
        assert not world.desk.of_user(5)


async def test_draining_spreads_the_closes(start_server: Start) -> None:
    async with start_server() as world:
        wires = [await Wire.connect(world, world.token(user)) for user in range(1, 41)]
        half = await Wire.dial(world)
        half.send(HEAD)
        await world.count("sockets", 41)
        stopping = asyncio.create_task(world.stop())
        retries = []
        for wire in wires:
            code, reason = await wire.closed()
            assert code == 1012 and reason.startswith("restart; retry=")
            retries.append(int(reason.partition("=")[2]))
            wire.send(masked(b"\x03\xf4", 8))
        assert min(retries) >= 1_000 and max(retries) <= 1_000 + 200 + 41 * 2 + 1
        assert len(set(retries)) > 10, "they come back at different times"
        assert (await half.eof()).startswith(b"HTTP/1.1 503 ")
        await stopping
        assert world.counters["sockets"] == 0
        for wire in [*wires, half]:
            await wire.__aexit__()
        with pytest.raises(OSError):
            await Wire.dial(world)
