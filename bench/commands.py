"""Commands: `run`, `scale` and `profile`: which scenarios, on which stack, with what load."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bench import report
from bench.bare_nginx import limit
from bench.load import Load
from bench.measurement import Row, crowd
from bench.report import Result, counted
from bench.scenarios import flood as flooding
from bench.scenarios import orders, releases
from bench.scenarios import presses as buttons
from bench.servers import ended
from bench.stack import Stack, stack
from miaosha.domain.sale import Sale
from miaosha.supervisor.machine import fit
from miaosha.supervisor.machine.capacity import this_machine
from miaosha.supervisor.machine.demands import free_bytes, of_presses
from miaosha.supervisor.run_directory import socket_place

# Raised or turned off knowingly, because the generator is one machine.
RAISED: dict[str, Any] = {
    "sign_ins_per_min": 1_000_000,  # all come from one address
    "account_tries_per_min": 1_000_000,
    "edge_connections_max": 30_000,
    "sockets_per_ip_max": 0,
    "accept_rate_per_s": 0,
}
DECIDE_ALL: dict[str, Any] = {"reading_max_age_ms": 1}  # no publisher answers "sold out" by itself
RELEASES = ("release", "unreminded")
FLOOD_CONNECTIONS = 16_000  # a crowd has one each; fewer would hold the offer back
SCENARIOS = (
    "rush",
    "wait",
    "over",
    "cached",
    "edge",
    "steady",
    "flood",
    "checkout",
    "sign",
    "told",
    "release",
)
FULL = ("rush", "steady", "edge", "checkout", *RELEASES)  # what the full stack is asked


@dataclass(frozen=True)
class Options:
    """How much of everything, on what. `only`: scenarios by name; `stack`: one of STACKS."""

    only: tuple[str, ...] = SCENARIOS
    seconds: float = 30.0
    buyers: int = 1_200_000
    connections: int = 1_024
    processes: int = 2
    publishers: int = 2
    consumers: int = 1
    stack: str = "embedded"


def load(options: Options, targets: tuple[str, ...], **more: Any) -> Load:
    given = {"connections": options.connections, "seconds": options.seconds, **more}
    return Load(targets=targets, **given)


async def run(options: Options) -> Result:
    """Every scenario of `options.only`, and the limit before them, on an idle platform."""
    result = _begun("run" if options.stack == "embedded" else options.stack, options)
    rows = result.rows
    decided_all: tuple[str, ...] = ("rush", "wait", "steady")
    deciding = [name for name in decided_all if name in options.only]
    with_cache: tuple[str, ...] = (
        "over",
        "cached",
        "edge",
        "flood",
        "checkout",
        "sign",
        "told",
        *RELEASES,
    )
    answering = [name for name in with_cache if name in options.only]
    if deciding:
        async with _stack(options, **DECIDE_ALL) as running:
            _say("limit")
            rows.append(await _limit(running, await running.sale(1, 0, 1.0), options))
            sys.stderr.write(f"{rows[0].answers_per_s:,.0f}/s\n")
            for name in deciding:
                await _one(rows, name, running, options)
    if answering:
        async with _stack(options) as running:
            for name in answering:
                await _one(rows, name, running, options)
    return result


async def _limit(running: Stack, sale: Sale, options: Options) -> Row:
    presses = crowd(running, sale, options.buyers, repeats=2)
    return await limit(presses, options.connections, options.seconds / 3, options.processes)


def _begun(kind: str, options: Options) -> Result:
    return Result(
        kind=kind,
        began=datetime.now(UTC).isoformat(),
        machine=report.machine(),
        commit=report.commit(),
        settings=msgspec.to_builtins(options),
        rows=[],
    )


@contextlib.asynccontextmanager
async def _stack(options: Options, **overrides: Any) -> AsyncIterator[Stack]:
    parts = {"publishers": options.publishers, "consumers": options.consumers}
    _check(options)
    _say(f"starting {_processes(options.publishers, options.consumers)}")
    opened = stack(options.buyers + 30_000, options.stack, **RAISED, **parts, **overrides)
    async with opened as running:
        yield running


def _check(options: Options) -> None:
    """What slows it is said. Raises SettingsError if this machine cannot do it."""
    machine = this_machine()
    demand = of_presses(
        options.buyers,
        len(options.only),
        connections=max(options.connections, FLOOD_CONNECTIONS * ("flood" in options.only)),
        processes=options.processes,
        disk_free=free_bytes(Path(socket_place())),
    )
    for remark in fit.check(machine, demand):
        _say(remark)


async def _one(rows: list[Row], name: str, running: Stack, options: Options) -> None:
    _say(name)
    try:
        row = await _scenarios(running, options)[name]()
    except Exception as error:  # the other rows still count
        row = Row(name=name, mix="failed", errors={f"{type(error).__name__} {error}".strip(): 1})
    rows.append(row)
    sys.stderr.write(f"{msgspec.json.encode(msgspec.to_builtins(row, str_keys=True)).decode()}\n")


def _scenarios(running: Stack, options: Options) -> dict[str, Callable[[], Awaitable[Row]]]:
    o, direct = options, running.targets()
    seconds, half = o.seconds, o.seconds / 2
    steady_load = load(o, direct, rate_per_s=5_000.0, seconds=2 * seconds, connections=512)
    flood_load = load(o, direct, connections=FLOOD_CONNECTIONS)
    edge_load = load(
        o,
        (running.edge,),
        seconds=half,
        ordered=False,
        connections=512,
        sources=tuple(f"127.0.{i}.1" for i in range(2, 66)),
        expected=(202, 410, 429),
    )
    everybody = o.buyers
    sold_out = (202, 410)  # a publisher whose reading is older than a second does not say 410
    return {
        "rush": lambda: buttons.rush(running, load(o, direct), everybody, o.processes),
        "wait": lambda: buttons.wait(
            running, load(o, direct, seconds=half), everybody, o.processes
        ),
        "over": lambda: buttons.over(
            running, load(o, direct, seconds=half, expected=sold_out), everybody, o.processes
        ),
        "cached": lambda: buttons.rush(
            running,
            load(o, direct, seconds=half, expected=sold_out),
            everybody,
            o.processes,
            "; publishers say so by themselves once they know (410)",
        ),
        "edge": lambda: buttons.rush(
            running, edge_load, everybody, o.processes, "; through nginx, its limiter on"
        ),
        "steady": lambda: buttons.steady(
            running, steady_load, round(steady_load.rate_per_s * steady_load.seconds) + 2, 1
        ),
        "flood": lambda: flooding.flood(running, flood_load, everybody, o.processes),
        "checkout": lambda: orders.checkout(running, round(100 * seconds), 32),
        "sign": lambda: orders.sign_in(running, round(20 * seconds), 16),
        "told": lambda: orders.told(running, round(10_000 * min(1.0, seconds / 30))),
        "release": lambda: releases.release(running, round(50 * seconds), reminded=True),
        "unreminded": lambda: releases.release(running, round(50 * seconds), reminded=False),
    }


async def scale(
    options: Options, publishers: tuple[int, ...], consumers: tuple[int, ...]
) -> Result:
    """The rush with each number of publishers and consumers."""
    result = _begun("scale", options)
    for count in publishers:
        for deciders in consumers:
            chosen = replace(options, publishers=count, consumers=deciders)
            async with _stack(chosen, **DECIDE_ALL) as running:
                await _one(result.rows, "rush", running, chosen)
            result.rows[-1].more |= {"publishers": count, "consumers": deciders}
            result.rows[-1].name = _processes(count, deciders)
    return result


async def profile(options: Options, role: str, to: Path) -> Row:
    """The rush, with py-spy on the first process of `role`; a flame graph at `to`."""
    row: list[Row] = []

    async with _stack(options, **DECIDE_ALL) as running:
        pid = running.pids()[f"{role}-0"]

        async def spy(start: float) -> None:
            await asyncio.sleep(max(0.0, start - time.monotonic()) + 0.5)
            command = ["record", "--rate", "250", "--format", "flamegraph", "--output", str(to)]
            span = ["--duration", str(max(1, int(options.seconds) - 1)), "--pid", str(pid)]
            spying = await asyncio.create_subprocess_exec(
                str(Path(sys.executable).with_name("py-spy")), *command, *span, process_group=0
            )
            if await ended(spying):
                raise RuntimeError("py-spy failed; it needs the right to trace its siblings")

        row.append(
            await buttons.rush(
                running,
                load(options, running.targets()),
                options.buyers,
                options.processes,
                beside=lambda start: asyncio.create_task(spy(start)),
            )
        )
    return row[0]


def _processes(publishers: int, consumers: int) -> str:
    return f"{counted(publishers, 'publisher')}, {counted(consumers, 'consumer')}"


def _say(text: str) -> None:
    sys.stderr.write(f"== {text}\n")
