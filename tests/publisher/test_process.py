"""The publisher as a process, on a store and a broker of its own."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from miaosha.adapters.clock import StoreClock
from miaosha.adapters.keyring import Keyring, generate
from miaosha.adapters.redis.broker import RedisBroker
from miaosha.adapters.redis.connect import connect
from miaosha.adapters.redis.store import RedisStore
from miaosha.adapters.tokens import JwtTokens
from miaosha.domain.messages import Batch, decode_batch
from miaosha.settings import Settings, environ_of
from miaosha.supervisor.servers.valkey import Valkey
from tests.kit.waits import until
from tests.publisher.world import (
    GET_HEALTH,
    Client,
    client,
    request,
    sale,
)


def test_a_publisher_stays_lean() -> None:
    """Neither the database nor the web framework is loaded, also not by opening its parts."""
    code = (
        "import asyncio, sys\n"
        "import miaosha.publisher.__main__\n"
        "from miaosha import bootstrap\n"
        "from miaosha.adapters.keyring import generate\n"
        "from miaosha.settings import Settings\n"
        "async def main():\n"
        "    settings = Settings(secret_keys=generate(), redis_url='unix:///nowhere.sock')\n"
        "    async with bootstrap.publisher(settings): pass\n"
        "asyncio.run(main())\n"
        "heavy = {'sqlalchemy', 'pydantic', 'typer', 'litestar', 'jwt', 'uvicorn', 'alembic'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip().splitlines()[-1:] == ["[]"], done.stderr


class RealWorld:
    """A publisher process with a store and a broker of its own."""

    def __init__(self, settings: Settings, path: Path) -> None:
        self.settings = settings
        self.path = path
        self.tokens = JwtTokens(Keyring.parse(settings.secret_keys))
        self.clock = StoreClock()

    def press(self, user: int) -> bytes:
        token = self.tokens.access(user, "buyer", self.clock.now_ms())
        return request(user=None, headers=(f"Authorization: Bearer {token}",))

    async def log(self) -> list[Batch]:
        """What lies in the broker."""
        redis: Any = connect(self.settings.broker_url)
        entries = await redis.xrange("{sale:7}:requests")
        await redis.aclose()
        return [decode_batch(fields[b"b"]) for _, fields in entries]


@contextlib.asynccontextmanager
async def process_of(world: RealWorld) -> AsyncIterator[asyncio.subprocess.Process]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("MIAOSHA_")}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "miaosha.publisher",
        "--listen",
        f"unix:{world.path}",
        env=environ | environ_of(world.settings),
    )
    try:
        async with asyncio.timeout(20):
            while not world.path.exists():
                assert child.returncode is None
                await asyncio.sleep(0.02)
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            await child.wait()


@pytest.fixture
async def real(store_server: Valkey, broker_server: Valkey, run_dir: Path) -> RealWorld:
    settings = Settings(
        redis_url=store_server.url,
        broker_url=broker_server.url,
        secret_keys=generate(),
        confirm_timeout_ms=1_000,
        repeat_window_ms=1,
    )
    return RealWorld(settings, run_dir / "p.sock")


async def open_sale(world: RealWorld) -> None:
    store_client = connect(world.settings.redis_url)
    now_ms = world.clock.now_ms()
    terms = msgspec.structs.replace(
        sale(), opens_at_ms=now_ms - 1_000, closes_at_ms=now_ms + 600_000
    )
    await RedisStore(store_client).write_sales([terms])
    await store_client.aclose()
    broker = RedisBroker(
        world.settings.broker_url,
        backlog_max=100,
        log_max_bytes=10_000_000,
        prefetch=1,
        reclaim_after_ms=1_000,
        confirm_timeout_ms=1_000,
    )
    await broker.open(7)
    await broker.close()


async def readiness(buyer: Client) -> int:
    buyer.writer.write(b"GET /readyz HTTP/1.1\r\nHost: shop\r\n\r\n")
    return (await buyer.answer()).status


async def ready(buyer: Client) -> bool:
    return await readiness(buyer) == 200


async def test_on_real_servers(real: RealWorld, broker_server: Valkey) -> None:
    """Not ready before the board is there; a 202 is in the log; a broker that goes away and comes
    back costs 503s in between, and nothing that was accepted."""
    async with process_of(real) as child, client(real.path) as buyer:
        buyer.writer.write(GET_HEALTH + real.press(1))
        healthy, early = await buyer.answers(2)
        assert (healthy.status, early.status, early.code) == (200, 503, "frozen")
        assert await readiness(buyer) == 503
        await open_sale(real)
        await until(lambda: ready(buyer))
        buyer.writer.write(real.press(1) + real.press(2) + request(user=3))
        one, two, forged = await buyer.answers(3)
        assert (one.status, two.status, forged.status) == (202, 202, 401)
        accepted = {one.json["request_id"]: 1, two.json["request_id"]: 2}
        assert _rids(await real.log()) == accepted
        await broker_server.stop(signal.SIGKILL)
        buyer.writer.write(real.press(4))
        answer = await buyer.answer()
        assert (answer.status, answer.code) == (503, "unavailable")
        await broker_server.start_again()
        await until(lambda: ready(buyer))
        buyer.writer.write(real.press(5))
        five = await buyer.answer()
        assert five.status == 202
        assert accepted | {five.json["request_id"]: 5} == _rids(await real.log())
        child.send_signal(signal.SIGTERM)
        assert await buyer.end() == b""
        assert await child.wait() == 0
    assert not real.path.exists()


def _rids(batches: list[Batch]) -> dict[str, int]:
    return {
        batch.rid(index): user for batch in batches for index, user in enumerate(batch.user_ids)
    }


async def test_an_idle_publisher_is_small(real: RealWorld) -> None:
    await open_sale(real)
    async with process_of(real) as child, client(real.path) as buyer:
        await until(lambda: ready(buyer))
        assert anonymous_kb(child.pid) <= 40_000


def anonymous_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(line.split()[1])
