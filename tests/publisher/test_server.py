"""The publisher as a whole: listening, draining, and as a process on real servers."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from miaosha.bootstrap import PublisherParts
from miaosha.domain.errors import SettingsError
from miaosha.publisher import publisher
from miaosha.serving.process import Process
from tests.kit.waits import until
from tests.publisher.world import GET_HEALTH, Client, World, client, request


@contextlib.asynccontextmanager
async def running(made: World, listen: str) -> AsyncIterator[Process]:
    """`publisher.run` on the world's parts."""
    process = Process("publisher", "0", listen, counters=made.counters)
    task = asyncio.create_task(publisher.run(process, made.settings, cast(PublisherParts, made)))
    try:
        yield process
    finally:
        process.stop.set()
        async with asyncio.timeout(10):
            await task


async def there(path: Path) -> None:
    await until(path.exists)


async def test_on_a_unix_socket(run_dir: Path) -> None:
    made, path = World(), run_dir / "p.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))  # left behind
    async with running(made, f"unix:{path}"):
        await until(lambda: path.exists() and path.stat().st_mode & 0o777 == 0o666)
        async with client(path) as buyer:
            buyer.writer.write(request())
            assert (await buyer.answer()).status == 202
    assert not path.exists()


async def test_on_a_port_shared_by_two(unused_tcp_port: int) -> None:
    address = f"127.0.0.1:{unused_tcp_port}"
    one, two = World(), World()
    async with running(one, address), running(two, address):
        await until(lambda: one.counters.get("connections", -1) >= 0)
        for _ in range(40):
            reader, writer = await _connect("127.0.0.1", unused_tcp_port)
            writer.write(GET_HEALTH)
            assert (await Client(reader, writer).answer()).status == 200
            writer.close()
        assert one.counters["requests"] + two.counters["requests"] == 40
        assert one.counters["requests"] and two.counters["requests"]


async def _connect(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(5):
        while True:
            try:
                return await asyncio.open_connection(host, port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("listen", ["", "unix:/nowhere/p.sock", "127.0.0.1:x", "127.0.0.1"])
async def test_an_address_that_cannot_be(listen: str) -> None:
    made = World()
    process = Process("publisher", "0", listen)
    with pytest.raises(SettingsError, match="--listen"):
        await publisher.run(process, made.settings, cast(PublisherParts, made))


async def test_drain_answers_what_is_queued(run_dir: Path) -> None:
    made, path = World(), run_dir / "p.sock"
    made.broker.hold = True
    async with running(made, f"unix:{path}") as process:
        await there(path)
        async with client(path) as idle, client(path) as half, client(path) as waiting:
            idle.writer.write(GET_HEALTH)
            assert (await idle.answer()).status == 200
            half.writer.write(request(user=8)[:30])
            waiting.writer.write(request(user=1) + request(user=2))
            await until(lambda: made.broker.users == [1, 2])
            process.stop.set()
            assert await idle.end() == b""
            assert await half.end() == b""
            with pytest.raises(OSError):
                await asyncio.open_unix_connection(str(path))
            waiting.writer.write(request(user=3))  # too late: not taken
            made.broker.confirm()
            answers = await waiting.answers(2)
            assert [answer.status for answer in answers] == [202, 202]
            assert answers[-1].headers["connection"] == "close"
            assert await waiting.end() == b""
    assert made.broker.users == [1, 2]


async def test_drain_is_bounded(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "DRAIN_S", 0.05)
    monkeypatch.setattr(publisher, "FLUSH_S", 0.05)
    made, path = World(), run_dir / "p.sock"
    made.broker.hold = True
    async with running(made, f"unix:{path}") as process:
        await there(path)
        async with client(path) as buyer:
            buyer.writer.write(request(user=1))
            await until(lambda: made.broker.users == [1])
            process.stop.set()
            answer = await buyer.answer()
            assert (answer.status, answer.code) == (503, "unavailable")
            assert await buyer.end() == b""
    assert made.counters["publish_unknown"] == 1


async def test_drain_with_nobody_there(run_dir: Path) -> None:
    async with running(World(), f"unix:{run_dir}/p.sock"):
        await there(run_dir / "p.sock")
