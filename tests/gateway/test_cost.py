"""What a socket costs: private memory while it idles and CPU to tell it of a sale.

The bounds are the project's promises with room for a busy machine; the numbers are printed.
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.conftest import DEADLINE_S
from tests.kit.waits import until
from tests.sockets.wire import HEAD, masked

SOCKETS = 3000
BYTES_MAX = 2048
CPU_US_MAX = 40.0  # 15 on a quiet machine


class Stand:
    """The measured process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ask(self, command: str) -> float:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(command.encode() + b"\n")
        return float(await asyncio.wait_for(self.process.stdout.readline(), 60))


@pytest.fixture
async def stand(run_dir: Path) -> AsyncIterator[Stand]:
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.gateway.stand",
        str(run_dir / "g.sock"),
        stdin=pipe,
        stdout=pipe,
        cwd=Path(__file__).parents[2],
    )
    yield Stand(process)
    await asyncio.wait_for(process.communicate(b"stop\n"), DEADLINE_S)


def heard(sockets: list[socket.socket]) -> int:
    """How many sockets have been told of the sale since the last time."""
    told = 0
    for one in sockets:
        with contextlib.suppress(BlockingIOError):
            told += one.recv(65536).count(b'42["sale"')
    return told


def listens(path: Path) -> bool:
    """Connections are taken: the path is there a moment earlier."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as one:
        one.connect(str(path))
        return True
    return False


async def connect(path: Path, number: int) -> list[socket.socket]:
    """Sockets that each belong to a user and watch the sale."""
    loop = asyncio.get_running_loop()
    sockets = []
    for user_id in range(1000, 1000 + number):
        one = socket.socket(socket.AF_UNIX)
        one.setblocking(False)
        await loop.sock_connect(one, str(path))
        token = b"%d:9999999999" % user_id
        talk = masked(b'40{"token":"%b"}' % token) + masked(b'420["watch",{"sale_id":7}]')
        await loop.sock_sendall(one, HEAD + b"\r\n" + talk)
        got = b""
        while b'42["sale"' not in got:
            got += await loop.sock_recv(one, 65536)
        sockets.append(one)
    return sockets


async def test_bytes_per_socket_and_cpu_per_recipient(run_dir: Path, stand: Stand) -> None:
    path = run_dir / "g.sock"
    await until(lambda: listens(path), DEADLINE_S)
    sockets = await connect(path, 100)  # what is loaded and allocated once
    before = await stand.ask("memory")
    sockets += await connect(path, SOCKETS)
    each = (await stand.ask("memory") - before) / SOCKETS
    cpu = 0.0
    for _ in range(10):
        cpu += await stand.ask("broadcast 1")
        assert heard(sockets) == len(sockets)
    cpu_us = cpu / 10 / len(sockets) * 1e6
    print(f"{before / 1e6:.1f} MB private; {each:.0f} B per socket; {cpu_us:.1f} µs per recipient")
    for one in sockets:
        one.close()
    assert each < BYTES_MAX
    assert cpu_us < CPU_US_MAX
