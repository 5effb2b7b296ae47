"""One connection: order, slow clients, limits of time and number, ends of all kinds."""

import asyncio
import contextlib
import socket
from pathlib import Path

from miaosha.publisher import http_connection
from miaosha.publisher.http_connection import HttpConnection
from miaosha.publisher.shared import ROUND_TICKS
from tests.kit.waits import until
from tests.publisher.world import (
    GET_HEALTH,
    World,
    client,
    listening,
    request,
    world,
)

BAD = b"nonsense\r\n\r\n"
UNKNOWN = b"GET /nowhere HTTP/1.1\r\nHost: shop\r\n\r\n"


async def holding(**settings: int) -> World:
    made = await world(**settings)
    made.broker.hold = True
    return made


def request_ticks(made: World) -> int:
    return made.shared.request_ticks + ROUND_TICKS


async def test_answers_keep_the_order_of_requests() -> None:
    """Whoever is answered at once waits for the presses before it on its connection."""
    made = await holding(batch_users_max=1)
    wire = made.wire()
    wire.send(request(user=1) + GET_HEALTH + request(user=2) + UNKNOWN)
    await until(lambda: len(made.broker.batches) == 2)
    second = made.broker._waiting.pop(1)
    second.set_result(None)
    await until(lambda: made.batcher.waiting == 1)
    assert wire.statuses == []
    made.broker.confirm()
    await made.batcher.drain()
    assert wire.statuses == [202, 200, 202, 404]
    ids = [answer.json["request_id"] for answer in wire.answers if answer.status == 202]
    assert ids == [f"{batch.batch_id}.0" for batch in made.broker.batches]


async def test_a_fault_waits_for_its_turn() -> None:
    made = await holding()
    wire = made.wire()
    wire.send(request(user=1) + BAD + request(user=2))
    await until(lambda: len(made.broker.batches) == 1)
    wire.send(request(user=3))
    assert wire.written == b"" and not wire.ended
    made.broker.confirm()
    await made.batcher.drain()
    assert wire.statuses == [202, 400]
    assert wire.half_closed
    assert made.broker.users == [1]


async def test_deep_pipelines_are_not_read_further() -> None:
    made = await holding(batch_users_max=512)
    wire = made.wire()
    wire.send(b"".join(request(user=n) for n in range(1, 501)))
    assert not wire.reading
    taken = made.batcher.waiting
    most = http_connection.PIPELINE_MAX
    assert most <= taken <= most + 4096 // len(request()) + 1
    made.broker.hold = False
    await until(lambda: made.broker.users == [])  # its turn has not come yet
    await until(lambda: len(wire.answers) == 500)
    assert wire.statuses == [202] * 500
    assert made.broker.users == list(range(1, 501))
    assert wire.reading


async def test_a_client_that_does_not_read_is_not_read(run_dir: Path) -> None:
    made = await world()
    async with listening(made, run_dir) as path:
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        sock.connect(str(path))
        await until(lambda: made.shared.connections == 1)
        (connection,) = set(made.shared.wheel)
        assert isinstance(connection, HttpConnection)
        await until(lambda: _push(sock) and connection._blocked > 0)
        assert made.counters["requests"] > 0
        made.ticks(request_ticks(made))
        await until(lambda: made.shared.connections == 0)
        sock.close()


def _push(sock: socket.socket) -> bool:
    with contextlib.suppress(BlockingIOError):
        sock.send(UNKNOWN * 200)
    return True


async def test_a_client_that_reads_again_gets_everything(run_dir: Path) -> None:
    made = await world()
    count = 20_000
    async with listening(made, run_dir) as path, client(path) as buyer:
        buyer.writer.write(UNKNOWN * count)  # far more than the buffers hold
        await until(lambda: made.counters["requests"] > 100)
        received = 0
        while received < count:
            received += (await buyer.reader.readuntil(b"\r\n\r\n")).count(b"HTTP/1.1 404")
            await buyer.reader.readuntil(b"}")
        assert made.counters["requests"] == count


async def test_a_slow_request_gets_408() -> None:
    made = await world()
    slow, done = made.wire(), made.wire()
    done.send(request())
    await made.batcher.drain()
    for byte in request()[: request_ticks(made)]:
        slow.send(bytes([byte]))
        made.ticks(1)
    assert slow.statuses == [408]
    assert slow.half_closed
    assert done.statuses == [202] and not done.ended


async def test_a_slow_body_gets_408() -> None:
    made = await world()
    wire = made.wire()
    wire.send(request()[:-1])
    made.ticks(request_ticks(made))
    assert wire.statuses == [408] and wire.ended
    assert made.broker.batches == []


async def test_the_wait_for_a_confirm_is_no_slowness() -> None:
    made = await holding()
    wire = made.wire()
    wire.send(request())
    await until(lambda: len(made.broker.batches) == 1)
    made.ticks(made.shared.idle_ticks + request_ticks(made))
    assert wire.written == b"" and not wire.ended
    made.broker.confirm()
    await made.batcher.drain()
    assert wire.statuses == [202] and not wire.ended


async def test_what_we_did_not_read_is_no_slowness() -> None:
    """A request that lies half parsed behind a full pipeline has the whole time again."""
    made = await holding(batch_users_max=512)
    raw = b"".join(request(user=n) for n in range(1, 101))
    wire = made.wire()
    wire.send(raw[: 2 * http_connection.SLICE_BYTES])
    assert wire.connection._since and [wire.reading] == [False]
    taken = made.batcher.waiting
    await until(lambda: len(made.broker.batches) == 1)
    made.ticks(request_ticks(made))
    made.broker.hold = False
    made.broker.confirm()
    await until(lambda: len(wire.answers) == taken)
    made.ticks(ROUND_TICKS)
    assert [wire.ended, wire.reading] == [False, True]
    wire.send(raw[2 * http_connection.SLICE_BYTES :])
    await until(lambda: len(wire.answers) == 100)
    assert wire.statuses == [202] * 100


async def test_deep_pipelines_in_small_pieces() -> None:
    made = await holding()
    wire = made.wire()
    for user in range(1, 101):
        if wire.reading:
            wire.send(request(user=user))
    assert made.batcher.waiting == http_connection.PIPELINE_MAX


async def test_large_chunks_give_a_slow_client_no_more_time() -> None:
    """Two of them, each of more than is parsed at once, and then nothing more."""
    made = await world(header_max_bytes=32_768)
    wire = made.wire()
    wire.send(b"GET /healthz HTTP/1.1\r\nHost: shop\r\nX-Long: " + b"x" * 5_000)
    made.ticks(request_ticks(made) - 2 * ROUND_TICKS)
    wire.send(b"x" * 5_000)
    made.ticks(2 * ROUND_TICKS)
    assert wire.statuses == [408]


async def test_nothing_is_taken_after_the_last_request() -> None:
    made = await world()
    wire = made.wire()
    last = request(user=1, version="1.0", headers=("Connection: keep-alive",))
    wire.send(last + request(user=2))
    wire.send(request(user=3))
    await made.batcher.drain()
    assert wire.statuses == [202] and wire.closed
    assert made.broker.users == [1]


async def test_idle_connections_end_without_a_word() -> None:
    made = await world(idle_timeout_ms=20_000)
    fresh, used = made.wire(), made.wire()
    made.ticks(made.shared.idle_ticks - ROUND_TICKS)
    used.send(GET_HEALTH)
    made.ticks(2 * ROUND_TICKS)
    assert [fresh.closed, used.closed] == [True, False]
    made.ticks(made.shared.idle_ticks)
    assert [fresh.statuses, used.statuses] == [[], [200]]
    assert used.closed


async def test_after_a_fault_the_client_has_time_to_read(run_dir: Path) -> None:
    """Closing on unread input would destroy the answer: we wait a little for the client's end."""
    made = await world()
    async with listening(made, run_dir) as path, client(path) as buyer:
        buyer.writer.write(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n")
        buyer.writer.write(b"x" * 100_000)
        assert (await buyer.answer()).status == 413
        assert await buyer.end() == b""
        buyer.writer.write(b"x" * 100_000)  # still taken, and thrown away
        await buyer.writer.drain()
        assert made.shared.connections == 1
        made.ticks(2 * ROUND_TICKS)
        await until(lambda: made.shared.connections == 0)


async def test_a_fault_ends_when_the_client_does(run_dir: Path) -> None:
    made = await world()
    async with listening(made, run_dir) as path, client(path) as buyer:
        buyer.writer.write(BAD)
        assert (await buyer.answer()).status == 400
        buyer.writer.close()
        await until(lambda: made.shared.connections == 0)


async def test_too_many_connections(run_dir: Path) -> None:
    made = await world(connections_max=2)
    async with listening(made, run_dir) as path, client(path) as one, client(path) as two:
        await until(lambda: made.shared.connections == 2)
        async with client(path) as three:
            answer = await three.answer()
            assert (answer.status, answer.code) == (503, "overloaded")
            assert answer.headers["retry-after"] == "1"
            assert await three.end() == b""
        for buyer in (one, two):
            buyer.writer.write(GET_HEALTH)
            assert (await buyer.answer()).status == 200
        two.writer.close()
        await until(lambda: made.shared.connections == 1)
        async with client(path) as four:
            four.writer.write(GET_HEALTH)
            assert (await four.answer()).status == 200


async def test_far_too_many_connections_get_nothing() -> None:
    made = await world(connections_max=1)
    made.shared.connections = 1 + http_connection.LINGER_MAX
    wire = made.wire()
    assert wire.aborted and wire.written == b""


async def test_a_half_closed_client_gets_its_answers(run_dir: Path) -> None:
    made = await holding()
    async with listening(made, run_dir) as path, client(path) as buyer:
        buyer.writer.write(request(user=1) + GET_HEALTH + request(user=2))
        buyer.writer.write_eof()
        await until(lambda: made.broker.users == [1, 2])
        made.broker.confirm()
        answers = await buyer.answers(3)
        assert [answer.status for answer in answers] == [202, 200, 202]
        assert answers[-1].headers["connection"] == "close"
        assert await buyer.end() == b""


async def test_a_half_closed_client_without_a_request_is_closed(run_dir: Path) -> None:
    made = await world()
    async with listening(made, run_dir) as path, client(path) as buyer:
        buyer.writer.write(request()[:40])
        buyer.writer.write_eof()
        assert await buyer.end() == b""
        await until(lambda: made.shared.connections == 0)


async def test_a_client_that_goes_loses_only_its_answer(run_dir: Path) -> None:
    made = await holding()
    async with listening(made, run_dir) as path:
        async with client(path) as buyer:
            buyer.writer.write(request(user=1))
            await until(lambda: len(made.broker.batches) == 1)
        made.broker.confirm()
        await made.batcher.drain()
        await until(lambda: made.shared.connections == 0)
    assert made.broker.users == [1]
    assert made.counters["accepted"] == 1


async def test_many_connections_at_once(run_dir: Path) -> None:
    made = await world()

    async def buy(path: Path, user: int) -> list[int]:
        async with client(path) as buyer:
            buyer.writer.write(request(user=user))
            first = await buyer.answer()
            buyer.writer.write(request(user=user) + GET_HEALTH)
            return [first.status, *(answer.status for answer in await buyer.answers(2))]

    async with listening(made, run_dir) as path:
        got = await asyncio.gather(*(buy(path, user) for user in range(1, 301)))
    assert got == [[202, 202, 200]] * 300
    assert sorted(made.broker.users) == list(range(1, 301))
    assert made.counters["repeated"] == 300


async def test_a_process_that_was_away_ends_nobody_for_it() -> None:
    """A machine that slept: what clients said meanwhile has not been read yet."""
    made = await world()
    half = made.wire()
    half.send(request()[:30])
    made.wheel_s += 60.0
    made.ticks(ROUND_TICKS)
    assert half.statuses == []
    half.send(request()[30:])
    await made.batcher.drain()
    assert half.statuses == [202]
    late = made.wire()
    late.send(request()[:30])
    made.ticks(200)
    assert late.statuses == [408]
