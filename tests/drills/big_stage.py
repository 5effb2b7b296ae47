"""A large sale on private servers, and a scheduler's work on it, measured in another process."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from miaosha.adapters.redis.connect import connect
from miaosha.adapters.sql.migrate import upgrade
from miaosha.supervisor.servers.valkey import start_valkey
from tests.drills import big_sale
from tests.drills.settling import Cost

SALE: Final = 7
ROOT: Final = Path(__file__).parents[2]
LOADING_S: Final = 60.0  # of one command: a chunk is large, and the machine may be busy
# Loading writes as much in seconds as a shop does in hours; it need not be on the disk each time.
LAZY: Final = ("--appendfsync", "no", "--auto-aof-rewrite-percentage", "0")


class Stage:
    """Attributes: database, store, broker: URLs."""

    def __init__(self, directory: Path, store: str, broker: str) -> None:
        self.path = directory / "shop.sqlite"
        self.database = f"sqlite:///{self.path}"
        self.store, self.broker = store, broker

    async def load(self, count: int, sale_id: int = SALE, phase: str = "scheduled") -> None:
        """`count` paid units, in all three stores."""
        store = connect(self.store, timeout_s=LOADING_S)
        broker = connect(self.broker, timeout_s=LOADING_S)
        now_ms = (await store.time())[0] * 1_000
        if not self.path.exists():
            await asyncio.to_thread(upgrade, self.database)
        await asyncio.to_thread(big_sale.write_sql, self.path, sale_id, count, now_ms, phase)
        if phase != "settled":
            await big_sale.write_store(store, sale_id, count, now_ms)
            await big_sale.write_log(broker, sale_id, count, now_ms)
        await store.aclose()
        await broker.aclose()

    async def lose_store(self) -> None:
        store = connect(self.store, timeout_s=LOADING_S)
        await store.flushall()
        await store.aclose()

    async def acknowledge(self) -> None:
        """What a rebuild left in the queue, its marker, is taken as a consumer would take it."""
        broker: Any = connect(self.broker, timeout_s=LOADING_S)
        key, group = f"{{sale:{SALE}}}:requests", "consumers"
        for _, entries in await broker.xreadgroup(group, "a test", {key: ">"}):
            await broker.xack(key, group, *(entry_id for entry_id, _ in entries))
        await broker.aclose()

    async def measure(self, work: str, within_s: float) -> Cost:
        """What `settling` says of this work; its process ends with this one's patience."""
        arguments = [work, str(SALE), self.database, self.store, self.broker]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.drills.settling",
            *arguments,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(within_s):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, said
        return msgspec.json.decode(said.splitlines()[-1], type=Cost)


@asynccontextmanager
async def large_stage(directory: Path, sockets: Path) -> AsyncIterator[Stage]:
    """Args: sockets: a directory with a short path."""
    store = await start_valkey(directory, "store", run_directory=sockets, extra=LAZY)
    broker = await start_valkey(directory, "broker", run_directory=sockets, extra=LAZY)
    try:
        yield Stage(directory, store.url, broker.url)
    finally:
        await store.stop()
        await broker.stop()
