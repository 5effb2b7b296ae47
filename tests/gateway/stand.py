"""A gateway on fakes in a process of its own, which measures itself: run by test_cost.

Commands on stdin, one a line: `memory` answers the process's private memory in bytes, `broadcast N`
sends N `sale` events to all watchers and answers the CPU seconds it took. `stop` drains.
"""

import asyncio
import gc
import sys
import time
from pathlib import Path

import uvloop

from miaosha.gateway.gateway import Gateway
from miaosha.serving.process import Process
from miaosha.settings import Settings
from tests.gateway.fakes import Bus, Heartbeats, Store, make_parts, make_reading, make_sale
from tests.kit.clocks import RunningClock


def private_bytes() -> int:
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon in /proc/self/status")


async def broadcast(gateway: Gateway, times: int) -> float:
    counters = gateway.server.counters
    before = time.process_time()
    for _ in range(times):
        wanted = counters["broadcasts"] + 1
        gateway._fanout.mark(7)
        while counters["broadcasts"] < wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    return time.process_time() - before


async def main(path: str) -> None:
    store, bus = Store(), Bus()
    store.board, store.counts = {7: make_sale()}, {7: make_reading()}
    process = Process("gateway", "0", f"unix:{path}")
    parts = make_parts(store, bus, RunningClock(), Heartbeats())
    gateway = Gateway(parts, process, Settings())
    task = asyncio.create_task(gateway.run())
    loop = asyncio.get_running_loop()
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        match line:
            case ["memory"]:
                answer = str(private_bytes())
            case ["broadcast", times]:
                answer = str(await broadcast(gateway, int(times)))
            case _:
                break
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()
    process.stop.set()
    await task


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
