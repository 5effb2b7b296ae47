"""What a scheduler's work on one sale costs, measured in a process of its own:
`python -m tests.drills.settling WORK SALE DATABASE STORE BROKER`; WORK: settle, rebuild or audit.

Prints one line of JSON, a `Cost`.
"""

import asyncio
import sys
import threading
import time
from pathlib import Path
from typing import Final

import msgspec

from miaosha import bootstrap
from miaosha.adapters.keyring import generate
from miaosha.serving import memory
from miaosha.settings import Settings

LOOK_S: Final = 0.01
BEAT_S: Final = 0.001


class Cost(msgspec.Struct, frozen=True):
    """`longest_ms`: the most processor time that the loop's thread took between two turns of a
    task that does nothing. `over_base_mb`: the most memory beyond what the process had before."""

    came_to: str
    cpu_s: float
    wall_s: float
    over_base_mb: float
    longest_ms: float


class Watchdog:
    """Measures from `begin` on."""

    def __init__(self) -> None:
        self._base_mb = self._peak_mb = 0.0
        self._longest_s = 0.0
        self._cpu_s = self._wall_s = 0.0

    def begin(self) -> None:
        self._base_mb = self._peak_mb = resident_mb()
        threading.Thread(target=self._look, daemon=True).start()
        self._cpu_s, self._wall_s = time.process_time(), time.monotonic()
        self._beating = asyncio.create_task(self._beat())

    def _look(self) -> None:
        while True:
            self._peak_mb = max(self._peak_mb, resident_mb())
            time.sleep(LOOK_S)

    async def _beat(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(BEAT_S)
            self._longest_s = max(self._longest_s, time.thread_time() - before)

    def end(self, came_to: str) -> Cost:
        self._beating.cancel()
        return Cost(
            came_to,
            time.process_time() - self._cpu_s,
            time.monotonic() - self._wall_s,
            max(self._peak_mb, resident_mb()) - self._base_mb,
            self._longest_s * 1_000,
        )


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4_096 / 1e6


async def work(what: str, sale_id: int, urls: list[str]) -> Cost:
    database, store, broker = urls
    settings = Settings(
        database_url=database, redis_url=store, broker_url=broker, secret_keys=generate()
    )
    async with bootstrap.scheduler(settings, "0") as parts:
        terms = await parts.ledger.sales.terms(sale_id)
        assert terms is not None
        memory.settle()  # as the role does
        watchdog = Watchdog()
        watchdog.begin()
        if what == "settle":
            await parts.settlement.advance(terms)
            after = await parts.ledger.sales.terms(sale_id)
            came_to = str(after.phase) if after else ""
        elif what == "rebuild":
            came_to = str(await parts.control.rebuild(sale_id, "measured"))
        else:
            await parts.settlement.reconcile(terms)
            came_to = str((await parts.ledger.audits.verdict(sale_id) or "")[:60])
        return watchdog.end(came_to)


if __name__ == "__main__":
    cost = asyncio.run(work(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
    sys.stdout.write(msgspec.json.encode(cost).decode() + "\n")
