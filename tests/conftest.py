"""Fixtures every suite shares: private servers in a temporary directory, stopped by their pid."""

import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from miaosha.supervisor.servers.valkey import Valkey, start_valkey

# The same examples everywhere, and none that a slow machine fails; drills choose their own.
settings.load_profile("ci")

# A run in the background of a script, or under nohup, inherits ignored signals. What it starts
# would inherit them, too, and rightly go on when a test ends it by one.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A directory with a short path, for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
async def store_server(run_dir: Path) -> AsyncIterator[Valkey]:
    server = await start_valkey(run_dir, "store")
    yield server
    await server.stop()


@pytest.fixture
async def broker_server(run_dir: Path) -> AsyncIterator[Valkey]:
    server = await start_valkey(run_dir, "broker")
    yield server
    await server.stop()
