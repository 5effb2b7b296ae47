"""A gateway that runs out of files refuses, and neither dies nor spins; a peer that is gone without
a word is noticed; a bus that fell silent is found out.
"""

import asyncio
import contextlib
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from miaosha.adapters.redis.bus import RedisBus
from miaosha.domain.errors import SettingsError
from miaosha.domain.messages import Result, Results
from miaosha.domain.reservation import State
from miaosha.sockets.admission import SERVER_DESCRIPTORS_KEPT, sockets_max
from miaosha.supervisor.machine.usage import used
from miaosha.supervisor.servers.valkey import Valkey
from tests.contract.test_bus import forgetful_proxy
from tests.gateway.conftest import Start, start
from tests.gateway.test_process import environment
from tests.kit.waits import until
from tests.sockets.wire import HEAD, Wire

FILES = 600
LIMITED = (
    "import os, resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({0}, {0}));"
    "taken = [os.open('/dev/null', os.O_RDONLY) for _ in range({1})];"
    "sys.argv[0] = 'gateway'; runpy.run_module('miaosha.gateway', run_name='__main__')"
)
Dialled = list[socket.socket]


@contextlib.asynccontextmanager
async def limited(store: Valkey, run_dir: Path, taken: int = 0) -> AsyncIterator[tuple[Path, int]]:
    """A gateway that may open FILES files, some of them taken already: its socket and its pid."""
    path = run_dir / "gateway.sock"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        LIMITED.format(FILES, taken),
        "--listen",
        f"unix:{path}",
        env=environment(store, run_dir),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(path.exists, 30)
        yield path, process.pid
        assert process.returncode is None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def dial(path: Path, number: int, say: bytes = b"") -> Dialled:
    loop = asyncio.get_running_loop()
    found = []
    for _ in range(number):
        one = socket.socket(socket.AF_UNIX)
        one.setblocking(False)
        await loop.sock_connect(one, str(path))
        with contextlib.suppress(OSError):
            one.send(say)
        found.append(one)
    return found


async def healthy(path: Path) -> bool:
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(5):
            line = await reader.readline()
        writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in line


async def busy_s(pid: int, seconds: float) -> float:
    """Processor time of a process over so many seconds."""
    before = used([pid]).cpu_s
    await asyncio.sleep(seconds)
    return used([pid]).cpu_s - before


async def test_sockets_beyond_its_files_are_refused(store_server: Valkey, run_dir: Path) -> None:
    async with limited(store_server, run_dir) as (path, pid):
        await until(lambda: healthy(path))
        sockets = await dial(path, 2 * FILES, HEAD + b"\r\n")
        answers = []
        loop = asyncio.get_running_loop()
        for one in sockets:
            async with asyncio.timeout(20):
                try:
                    answers.append((await loop.sock_recv(one, 4096))[:12])
                except ConnectionResetError:
                    answers.append(b"")
        assert answers.count(b"HTTP/1.1 101") == FILES - SERVER_DESCRIPTORS_KEPT
        assert set(answers) <= {b"HTTP/1.1 101", b"HTTP/1.1 503", b""}
        assert await busy_s(pid, 1.0) < 0.5, "it spins"
        for one in sockets:
            one.close()
        await until(lambda: healthy(path))


async def test_no_file_left_at_all(store_server: Valkey, run_dir: Path) -> None:
    """Even the kept ones are gone: who comes is hung up on, and later all is well again."""
    async with limited(store_server, run_dir, FILES - 60) as (path, pid):
        await until(lambda: healthy(path))
        sockets = await dial(path, 200)
        loop = asyncio.get_running_loop()
        hung_up = [asyncio.create_task(loop.sock_recv(one, 1)) for one in sockets]
        done, waiting = await asyncio.wait(hung_up, timeout=3)
        assert len(done) >= 140 and waiting, "those that were let in wait to be served"
        assert await busy_s(pid, 1.0) < 0.5, "it spins"
        for task in waiting:
            task.cancel()
        await asyncio.gather(*hung_up, return_exceptions=True)
        for one in sockets:
            one.close()
        await until(lambda: healthy(path))


def test_a_limit_too_low_for_any_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    with pytest.raises(SettingsError, match="may open 256 files"):
        sockets_max(100)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_000, 1_000))
    assert sockets_max(16_000) == 1_000 - SERVER_DESCRIPTORS_KEPT and sockets_max(100) == 100


async def test_a_peer_that_is_gone_without_a_word(start_gateway: Start) -> None:
    """It answers nothing, not even the close, and its end of the connection never ends."""
    async with (
        start_gateway(ping_interval_ms=200, ping_timeout_ms=200) as world,
        await Wire.connect(world, world.token(5)) as wire,
    ):
        await world.count("sockets_ping_timeout")
        assert world.gateway._fanout._hub.of_user(5) == ()
        await until(lambda: world.process.counters["sockets"] == 0, 20)
        assert (await wire.closed())[0] == 4002


async def test_readiness_reports_a_deaf_bus() -> None:
    async with start() as world:
        world.bus.deaf = True
        async with await Wire.dial(world) as wire:
            wire.send(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await wire.eof()
        assert b" 503 " in answer.splitlines()[0]
        assert answer.endswith(b'"checks":{"board":"ok","bus":"DependencyDown"}}')


async def test_a_bus_that_fell_silent_is_heard_again(store_server: Valkey, run_dir: Path) -> None:
    path = run_dir / "proxy.sock"
    async with forgetful_proxy(path, store_server.socket) as forget:
        bus = RedisBus(f"unix://{path}", ping_period_s=0.1)
        async with start(bus=bus) as world, await Wire.connect(world, world.token(5)) as wire:
            told = asyncio.create_task(_told(wire))
            await _publish_until(bus, told, 1)
            assert await forget() >= 1
            told = asyncio.create_task(_told(wire, after=1))
            await _publish_until(bus, told, 2)
            assert bus.resubscribed == 1
        await bus.close()


async def _told(wire: Wire, after: int = 0) -> None:
    """Until a result of a later version than `after` has come."""
    while (await wire.event())[1]["version"] <= after:
        pass


async def _publish_until(bus: RedisBus, told: "asyncio.Task[None]", version: int) -> None:
    async with asyncio.timeout(20):
        while not told.done():
            await bus.publish(Results([Result(7, 5, "b.1", State.HELD, version)]))
            await asyncio.sleep(0.05)
    await told
