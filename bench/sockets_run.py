"""Socket run: `python -m bench sockets`: comparison, heartbeat of many, TLS, two great runs."""

import argparse
import functools
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

from bench import report, sockets_rows
from bench.sockets_measure import Subject, measure
from bench.sockets_rows import SocketResult
from bench.sockets_servers import node, ours, python_socketio, secured
from miaosha.adapters.clock import StoreClock
from miaosha.cli.command import to_its_end
from miaosha.supervisor.machine import fit
from miaosha.supervisor.machine.capacity import sources, this_machine
from miaosha.supervisor.machine.demands import free_bytes, of_rehearsal
from miaosha.supervisor.run_directory import socket_place
from miaosha.trials.rehearsal.client_protocol import Said
from miaosha.trials.rehearsal.leader import RehearsalOptions, rehearse
from miaosha.trials.rehearsal.outcome import RehearsalOutcome

SAY_S = 5.0
USUAL = ("compare", "heartbeat", "wss")
GREAT = ("big300k", "million")
Opened = AbstractAsyncContextManager[Subject]


def main(words: list[str]) -> int:
    """Run what `words` ask for; 1 if a socket was lost."""
    args = _arguments(words)
    only = args.only.split(",") if args.only else list(USUAL)
    unknown = [name for name in only if name not in (*USUAL, *GREAT)]
    if unknown:
        sys.stderr.write(f"--only {','.join(unknown)}: expected {', '.join((*USUAL, *GREAT))}\n")
        return 2
    result = SocketResult(
        kind=f"sockets-{only[0]}" if len(only) == 1 and only[0] in GREAT else "sockets",
        began=datetime.now(UTC).isoformat(),
        machine=report.machine(),
        commit=report.commit(),
        settings=vars(args),
    )
    to_its_end(lambda: _run(result, only, args))
    path = report.save(result)
    sys.stdout.write(f"{report.head(result)}\n\n{sockets_rows.tables(result)}\n{path}\n")
    return int(not all(outcome.clean for outcome in result.rehearsals.values()))


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench sockets", allow_abbrev=False)
    parser.add_argument("--only", default="", help=f"some of {','.join((*USUAL, *GREAT))}")
    parser.add_argument("--connections", type=int, default=10_000, help="of the comparison")
    parser.add_argument("--heartbeat", type=int, default=100_000, help="sockets of that scenario")
    parser.add_argument("--wss", type=int, default=20_000, help="sockets through nginx")
    parser.add_argument("--hold", type=float, default=0, help="seconds; default: the scenario's")
    parser.add_argument("--scale", type=float, default=1, help="of the great runs' sockets")
    return parser.parse_args(words)


async def _run(result: SocketResult, only: list[str], args: argparse.Namespace) -> None:
    if "compare" in only:
        await _compare(result, args.connections)
    if "wss" in only:
        gateways = this_machine().gateways(args.wss)
        await _row(result, lambda place: secured(place, gateways), args.wss)
    if "heartbeat" in only:
        options = RehearsalOptions(connections=args.heartbeat, hold_s=args.hold or 60, storm=20_000)
        result.rehearsals[f"{args.heartbeat:,} sockets"] = await _rehearse(options)
    for name, connections, hold_s, ping_s in (
        ("big300k", 300_000, 300.0, 25.0),
        ("million", 1_000_000, 180.0, 120.0),
    ):
        if name in only:
            options = RehearsalOptions(
                connections=round(connections * args.scale),
                hold_s=args.hold or hold_s,
                ping_interval_s=ping_s,
            )
            result.rehearsals[f"{options.connections:,} sockets"] = await _rehearse(options)


async def _compare(result: SocketResult, connections: int) -> None:
    opened: tuple[Callable[[Path], Opened], ...] = (
        ours,
        functools.partial(ours, watch_apart=True),
        lambda _: python_socketio(),
        node,
    )
    for each in opened:
        await _row(result, each, connections)


async def _row(result: SocketResult, opened: Callable[[Path], Opened], connections: int) -> None:
    with tempfile.TemporaryDirectory(prefix="miaosha-sockets-", dir=socket_place()) as name:
        place = Path(name)
        async with opened(place) as subject:
            _say(f"{subject.name}: {connections:,} sockets")
            for remark in _check(connections, len(subject.targets), place):
                _say(f"  {remark}")
            issued_s = StoreClock().now_ms() // 1000
            result.rows.append(await measure(subject, connections, place, issued_s))


def _check(connections: int, servers: int, place: Path) -> list[str]:
    """What slows it. Raises SettingsError if this machine cannot do it."""
    machine = this_machine()
    return fit.check(
        machine,
        of_rehearsal(
            machine,
            connections,
            gateways=servers,
            sources=len(sources(connections)),
            storm=0,
            disk_free=free_bytes(place),
        ),
    )


async def _rehearse(options: RehearsalOptions) -> RehearsalOutcome:
    _say(f"{options.connections:,} sockets, held {options.hold_s:.0f} s")
    said_at = [0.0]

    def show(what: str, said: Said) -> None:
        if time.monotonic() - said_at[0] >= SAY_S:
            said_at[0] = time.monotonic()
            line = f"  {what}: {said.ready:,} ready, {said.reached:,} told, lost {said.lost or 0}"
            _say(line + f", failed {said.failed}" * bool(said.failed))

    return await rehearse(options, show, _say)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
