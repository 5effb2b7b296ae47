"""One role as a process: arguments, logs, signals, parent death, ops listener, heartbeat.

INT and TERM set `Process.stop`; the role drains and returns. A second signal does nothing more:
the supervisor kills what does not end in time.
"""

import argparse
import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import structlog
import uvloop

from miaosha.adapters import logs, ops
from miaosha.domain import service_links
from miaosha.domain.errors import DependencyDown, SettingsError
from miaosha.domain.visible import visible_lines
from miaosha.ports.outside import Clock
from miaosha.ports.store import Heartbeat, Heartbeats
from miaosha.settings import Settings, load

PR_SET_PDEATHSIG = 1
BEAT_S = 1.0
BAD_SETTINGS = 2  # exit status

log = structlog.get_logger()


@dataclass
class Process:
    """What a running role knows of itself.

    Attributes:
        instance: a name unique within the role among all that use the same stores:
            `[machine.]number`, with `~generation` after a rolling upgrade.
        listen: unix:/path or host:port; "" for a worker.
        stop: set when the role shall drain.
        counters: plain numbers; they become metrics and heartbeat counters.
        watching: sockets per sale (gateway).
        checks: readiness checks by name; one that raises means not ready.
    """

    role: str
    instance: str
    listen: str
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    counters: dict[str, float] = field(default_factory=lambda: defaultdict(int))
    watching: dict[int, int] = field(default_factory=dict)
    checks: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)

    async def heartbeat(self, heartbeats: Heartbeats, clock: Clock) -> None:
        """One beat per second until cancelled; a store that is away is only missed beats."""
        while True:
            beat = Heartbeat(
                role=self.role,
                instance=self.instance,
                pid=os.getpid(),
                beat_ms=clock.now_ms(),
                counters=dict(self.counters),
                watching=dict(self.watching),
            )
            try:
                await heartbeats.beat(beat)
            except DependencyDown:
                pass
            except Exception:  # a role ends for its work, never for its heartbeat
                log.exception("heartbeat_failed")
            await asyncio.sleep(BEAT_S)

    async def tend(self, *work: Coroutine[Any, Any, None]) -> None:
        """Run `work` until `stop`, then cancel it. If one of them fails, its error ends the
        process, which is then started again: half a role would look alive for ever."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
            await self.stop.wait()
            for task in reversed(tasks):
                task.cancel()

    @property
    def number(self) -> str:
        """The process's place within its role on this machine; a successor has the same."""
        return self.instance.rpartition(".")[2].partition("~")[0]

    @property
    def consumer_name(self) -> str:
        """A name within a consumer group: the same after a restart, another on every machine."""
        return f"{self.role}-{socket.gethostname()}-{self.instance}"


Serve = Callable[[Process, Settings], Awaitable[None]]


def run(role: str, serve: Serve, argv: Sequence[str] | None = None) -> None:
    """Run `serve` until it returns or a signal made it drain; exits 2 on bad settings."""
    args = _arguments(role, sys.argv[1:] if argv is None else argv)
    try:
        settings = load()
    except SettingsError as error:
        _refuse(role, error)
    logs.configure(role, args.instance, settings.log_level)
    if args.die_with_parent:
        die_with(args.die_with_parent)
    try:
        uvloop.run(_main(role, args, serve, settings))
    except SettingsError as error:
        _refuse(role, error)


def _refuse(role: str, error: SettingsError) -> NoReturn:
    sys.stderr.write(f"miaosha {role}: {visible_lines(str(error))}\n")
    raise SystemExit(BAD_SETTINGS) from None


def die_with(parent: int) -> None:
    """Ask the kernel for a TERM when process `parent`, which started this one, ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before we could ask
        raise SystemExit(0)


def _arguments(role: str, argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"miaosha run {role}", allow_abbrev=False)
    parser.add_argument("--listen", default="", help="unix:/path or host:port")
    parser.add_argument(
        "--instance", default=f"{socket.gethostname()}.0", help="a name, unique within the role"
    )
    parser.add_argument("--metrics", default="", help="host:port of /metrics, /healthz, /readyz")
    parser.add_argument("--die-with-parent", type=int, default=0, metavar="PID")
    return parser.parse_args(argv)


async def _main(role: str, args: argparse.Namespace, serve: Serve, settings: Settings) -> None:
    process = Process(role, args.instance, args.listen)
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, process.stop.set)
    stop_ops: Callable[[], None] = lambda: None  # noqa: E731
    if args.metrics:
        stop_ops = ops.start_ops(args.metrics, role, process.counters, process.checks)
    log.info("started", pid=os.getpid())
    if ignored := service_links.told(os.environ):
        log.info("service_links", detail=ignored)
    try:
        await serve(process, settings)
    finally:
        await asyncio.to_thread(stop_ops)
        log.info("stopped", pid=os.getpid())
