"""Process: arguments, logs, signals, parent death, ops listener and heartbeat of one role.

INT and TERM set `Process.stop`, unless they were ignored at the start; the role drains and returns.
A second signal does nothing more: the supervisor kills what does not end in time.
"""

import argparse
import asyncio
import contextlib
import ctypes
import functools
import os
import signal
import socket
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import structlog
import uvloop

from miaosha.domain import service_links
from miaosha.domain.errors import DependencyDown, SettingsError
from miaosha.domain.visible import visible_lines
from miaosha.ports.clock import Clock
from miaosha.ports.heartbeats import Heartbeat, Heartbeats
from miaosha.serving import alive, logs, ops, outlet, signals
from miaosha.serving.ending import end
from miaosha.serving.readiness import Check
from miaosha.serving.waiting import waiting
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
        said: where its log goes, which counts the lines that nobody could take.
        begun: it has written a heartbeat, or tried to: it works.
    """

    role: str
    instance: str
    listen: str
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    counters: dict[str, float] = field(default_factory=lambda: defaultdict(int))
    watching: dict[int, int] = field(default_factory=dict)
    checks: dict[str, Check] = field(default_factory=dict)
    said: outlet.Outlet | None = None
    begun: bool = False

    async def heartbeat(self, heartbeats: Heartbeats, clock: Clock) -> None:
        """One beat per second until cancelled; a store that is away is only missed beats."""
        self.begun = True
        while True:
            if self.said is not None:
                self.counters["log_lines_lost"] = self.said.lost
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
                alive.notify("READY=1")
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
            await end(tasks)

    @property
    def number(self) -> str:
        """The process's place within its role on this machine; a successor has the same."""
        return self.instance.rpartition(".")[2].partition("~")[0]

    @property
    def consumer_name(self) -> str:
        """A name within a consumer group: the same after a restart, another on every machine."""
        return f"{self.role}-{socket.gethostname()}-{self.instance}"


Serve = Callable[[Process, Settings], Coroutine[Any, Any, None]]


def run(role: str, serve: Serve, argv: Sequence[str] | None = None) -> None:
    """Run `serve` until it returns or a signal made it drain. Exits with 2 on bad settings, with 1
    on any other error, which is logged. Whatever becomes of stderr, the role lives on."""
    _, said = outlet.install()
    args = _arguments(role, sys.argv[1:] if argv is None else argv)
    try:
        settings = load()
    except SettingsError as error:
        _refuse(role, error)
    logs.configure(role, args.instance, settings.log_level)
    if args.die_with_parent:
        die_with(args.die_with_parent)
    try:
        process = Process(role, args.instance, args.listen, said=said)
        uvloop.run(_main(process, args, serve, settings))
    except SettingsError as error:
        _refuse(role, error)
    except Exception:
        log.exception("died")
        raise SystemExit(1) from None


def _refuse(role: str, error: SettingsError) -> NoReturn:
    sys.stderr.write(f"miaosha {role}: {visible_lines(str(error))}\n")
    raise SystemExit(BAD_SETTINGS) from None


def _hung(process: Process, supervised: bool, stack: str) -> None:
    """The loop stands still: tell where. Without a supervisor that would see to it, end: whoever
    runs this process starts it again."""
    log.error("loop_hung", supervised=supervised, stack=stack)
    if not supervised:
        if process.said is not None:
            process.said.drain()
        os._exit(alive.HUNG)


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
    parser.add_argument("--alive", default="", help="unix socket that tells that the role lives")
    parser.add_argument("--die-with-parent", type=int, default=0, metavar="PID")
    return parser.parse_args(argv)


async def _main(
    process: Process, args: argparse.Namespace, serve: Serve, settings: Settings
) -> None:
    signals.heed((signal.SIGTERM, signal.SIGINT), process.stop.set)
    supervised = bool(args.die_with_parent)
    hung = functools.partial(_hung, process, supervised)
    watch = alive.LoopWatch(settings.role_silence_s, hung, lambda: process.begun)
    log.info("started", pid=os.getpid())
    if ignored := service_links.told(os.environ):
        log.info("service_links", detail=ignored)
    try:
        async with (
            _told_of_servers(),
            _measured(process, args.metrics, early=supervised),
            alive.answering(args.alive, lambda: process.begun),
            watch.watching(),
        ):
            await _served(process, serve(process, settings))
    finally:
        log.info("stopped", pid=os.getpid())


async def _served(process: Process, serving: Coroutine[Any, Any, None]) -> None:
    """Serve until the end. What has not begun, since it still waits for a server, is not waited
    for: nobody has come in yet."""
    task = asyncio.create_task(serving, name=process.role)
    stopping = asyncio.create_task(process.stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not process.begun and not task.done():
        await end([task])
        return
    await task


@contextlib.asynccontextmanager
async def _told_of_servers() -> AsyncIterator[None]:
    """While the body runs, the log says which server is waited for."""
    looking = asyncio.create_task(waiting.run(), name="waiting")
    try:
        yield
    finally:
        await end([looking])


@contextlib.asynccontextmanager
async def _measured(process: Process, address: str, *, early: bool) -> AsyncIterator[None]:
    """The ops listener (none without an address) while the body runs; with `early` only until the
    role begins to end: its successor wants the port."""
    if not address:
        yield
        return
    stop = ops.start_ops(address, process.role, process.counters, process.checks)

    async def let_go() -> None:
        await process.stop.wait()
        await asyncio.to_thread(stop)

    leaving = asyncio.create_task(let_go(), name="ops") if early else None
    try:
        yield
    finally:
        if leaving is not None:
            leaving.cancel()
        await asyncio.to_thread(stop)
