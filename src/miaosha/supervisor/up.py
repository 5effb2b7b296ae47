"""Platform: everything on one machine, started in order, kept running, drained in order.

Order of a start: directories and lock, ports, servers, migrations, roles, edge. A drain goes the
other way (process_plan.DRAIN): nobody new comes in, then what came in is finished.
"""

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from miaosha.bootstrap.servers import servers
from miaosha.domain.errors import SettingsError
from miaosha.serving.alive import feed_watchdog
from miaosha.serving.ending import end
from miaosha.serving.roles import LISTENING
from miaosha.serving.signals import heed
from miaosha.settings import Settings
from miaosha.supervisor import account, data_directory, process_plan
from miaosha.supervisor.child_spec import Health, Spec, StartFailed
from miaosha.supervisor.children import Child
from miaosha.supervisor.edge.nginx_log import kept_small
from miaosha.supervisor.edge.switch import switching
from miaosha.supervisor.hang_detector import HangDetector
from miaosha.supervisor.health_probes import Beats
from miaosha.supervisor.process_counts import counts
from miaosha.supervisor.process_plan import DRAIN, Places
from miaosha.supervisor.rolling import Rolling, control
from miaosha.supervisor.run_directory import held, run_directory
from miaosha.supervisor.server_watch import answering
from miaosha.supervisor.servers import full_stack
from miaosha.supervisor.servers.full_stack import Stack
from miaosha.supervisor.start_checks import check_settings
from miaosha.supervisor.watches import Alarm, Tell, beside

STORES_WITHIN_S = 180.0  # they read their files first: gigabytes after a large sale
SERVERS_WITHIN_S = 180.0
ROLES_WITHIN_S = 90.0
EDGE_WITHIN_S = 10.0
Result = TypeVar("Result")
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_SIGNAL_S = 1.0  # whoever means a second one has waited so long for the first


class Platform:
    """The running parts. `settings` are complete: every address points at what was started."""

    def __init__(
        self,
        settings: Settings,
        places: Places,
        tell: Tell,
        stack: Stack = Stack.EMBEDDED,
        alarm: Alarm | None = None,
    ) -> None:
        self.settings = settings
        self.places = places
        self.stack = stack
        self.children: list[Child] = []
        self._tell = tell
        self._alarm = alarm or Alarm(asyncio.Event(), tell)
        after_s = settings.role_silence_s
        self._vigils = {
            kind: HangDetector(after_s, tell) if after_s else None for kind in ("role", "server")
        }
        self._known = False  # the addresses of the servers
        self._open = contextlib.AsyncExitStack()

    async def start(self) -> "Platform":
        """Itself. Raises StartFailed or SettingsError; then call `drain` all the same."""
        if os.geteuid() == account.ROOT:
            self._tell(account.AS_ROOT)
        holding = held(self.places.run, self._alarm, self._restore)
        hold = beside(holding, "hold of the run directory", self._alarm)
        await self._open.enter_async_context(hold)
        if self.stack is Stack.FULL:
            await self._start_servers()
        else:
            specs, urls = process_plan.store_specs(self.settings, self.places)
            self._know(urls)
            await self._start(specs, STORES_WITHIN_S)
        await answering(servers(self.settings), self._tell)
        await _migrate(self.settings)
        beats = await self._open.enter_async_context(_beats(self.settings))
        await self._start(
            process_plan.role_specs(self.settings, self.places, beats), ROLES_WITHIN_S
        )
        switch = switching(self.settings, self.places.over, self._alarm)
        await self._open.enter_async_context(switch)
        edge = await asyncio.to_thread(process_plan.edge_spec, self.settings, self.places)
        await self._start([edge], EDGE_WITHIN_S)
        edge_log = kept_small(self.places.edge_log, self.children[-1], self._alarm)
        await self._open.enter_async_context(edge_log)
        await self._open.enter_async_context(self._upgradable(beats))
        return self

    def _upgradable(self, beats: Beats) -> contextlib.AbstractAsyncContextManager[None]:
        """Answers `miaosha roll`."""

        def successor(spec: Spec) -> Child:
            following = spec.generation + 1
            return self._child(
                process_plan.role_spec(self.settings, self.places, beats, spec.name, following)
            )

        def switch(spec: Spec) -> None:
            if spec.role in LISTENING:
                self.places.point(spec.name, spec.generation)

        rolling = Rolling(self.children, successor, switch)
        return control(rolling, tuple(counts(self.settings)), self.places.run)

    async def _start_servers(self) -> None:
        if os.geteuid() == 0:  # each server's system user must get to its own directory
            self.places.data.chmod(0o711)
        own = full_stack.prepare(self.places.data / data_directory.SERVERS, self.places.run)
        self._know(own.urls)
        await own.run_by(lambda specs: self._start(specs, SERVERS_WITHIN_S))

    def _know(self, urls: dict[str, str]) -> None:
        """Take the addresses of what is being started, and tell other commands."""
        self.settings = data_directory.embedded(self.settings, self.places.data, urls)
        self._known = True
        with contextlib.suppress(OSError):  # the disk is full: again soon
            self._tell_commands()

    def _restore(self) -> None:
        """Write again what others find us by. Raises OSError."""
        self._tell_commands()
        process_plan.restore(
            self.settings, self.places, [child.spec for child in tuple(self.children)]
        )

    def _tell_commands(self) -> None:
        """Write run.json, if it is not there. Raises OSError."""
        places = self.places
        if self._known and not data_directory.is_running(places.data, places.run):
            data_directory.write_running(places.data, places.run, self.settings)

    async def _start(self, specs: list[Spec], within_s: float) -> None:
        started = [self._child(spec) for spec in specs]
        self.children += started
        for child in started:
            await child.start()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while waiting := [c for c in started if c.health is not Health.READY]:
            for child in waiting:
                if child.gave_up is not None:
                    raise StartFailed(
                        f"{child.spec.name} refuses its settings{child.last_words()}", child.gave_up
                    )
            if loop.time() > deadline:
                child = waiting[0]
                names = ", ".join(c.spec.name for c in waiting)
                raise StartFailed(f"not ready within {within_s:.0f} s: {names}{child.last_words()}")
            await asyncio.sleep(0.05)

    def _child(self, spec: Spec) -> Child:
        kind = "server" if spec.role in (*process_plan.SERVERS, "edge") else "role"
        return Child(spec, self._tell, self._alarm, self._vigils[kind])

    async def drain(self) -> None:
        """End every part, group by group, whatever goes wrong with one; the first error is raised
        when all have ended."""
        ends: list[BaseException | None] = []
        ends += await asyncio.gather(self._open.aclose(), return_exceptions=True)
        for group in DRAIN:
            members = [child for child in self.children if child.spec.role in group]
            ends += await asyncio.gather(
                *(child.stop() for child in members), return_exceptions=True
            )
        if failures := [end for end in ends if isinstance(end, BaseException)]:
            raise failures[0]

    def kill(self) -> None:
        """End everything at once, without finishing anything."""
        for child in self.children:
            child.abandon()


async def _migrate(settings: Settings) -> None:
    from miaosha.adapters.sql.migrate import upgrade

    await asyncio.to_thread(upgrade, settings.database_url)


@contextlib.asynccontextmanager
async def _beats(settings: Settings) -> AsyncIterator[Beats]:
    from miaosha.adapters.redis.connect import connect
    from miaosha.adapters.redis.heartbeats import RedisHeartbeats

    client = connect(settings.redis_url)
    try:
        yield Beats(RedisHeartbeats(client))
    finally:
        await client.aclose()


@contextlib.asynccontextmanager
async def platform(
    settings: Settings,
    tell: Tell,
    stop: asyncio.Event,
    *,
    logs: bool = False,
    stack: Stack = Stack.EMBEDDED,
) -> AsyncIterator[Platform | None]:
    """Start everything and yield it (None if `stop` was set meanwhile); drain at the end.

    Args:
        stop: set by a signal; see `stop_on_signals`.
        logs: children log into the data directory instead of our stderr.
        stack: which servers are started.

    Raises:
        StartFailed, SettingsError, InUse; DependencyDown if a server's package is missing;
        WatchEnded: a watch of ours broke, so `stop` was set, and everything has drained.
    """
    _raise_file_limit()
    alarm = Alarm(stop, tell)
    await check_settings(settings)
    if stack is Stack.FULL:
        _refuse_addresses(settings)
        os.umask(0o077)  # others may pass through the data directory
    data = data_directory.prepare(Path(settings.data_dir))
    data_directory.check_kind(data, settings, full=stack is Stack.FULL)
    with data_directory.locked(data), _running_in(data) as run:
        log_dir = data / "logs" if logs else None
        if log_dir:
            log_dir.mkdir(exist_ok=True)
        running = Platform(settings, Places(data, run, log_dir), tell, stack, alarm)
        async with beside(feed_watchdog(), "watchdog of systemd", alarm):
            try:
                yield await unless(stop, running.start())
            finally:
                _heed_a_second(running.kill)
                await running.drain()
        alarm.check()


@contextlib.contextmanager
def _running_in(data: Path) -> Iterator[Path]:
    """The run directory; one that a killed predecessor on the same data left is removed."""
    data_directory.clear_running(data)
    with run_directory() as run:
        try:
            yield run
        finally:
            data_directory.clear_running(data)


def _refuse_addresses(settings: Settings) -> None:
    for name in full_stack.URLS:
        if getattr(settings, name) != getattr(data_directory.DEFAULTS, name):
            raise SettingsError(
                f"MIAOSHA_{name.upper()} is set, and the full stack starts servers of its own: "
                "unset it, or leave out --stack full to use that server"
            )


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, Result]) -> Result | None:
    """What `work` comes to; None, with it cancelled, if `stop` came first."""
    task = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        await end((task, stopping))


def stop_on_signals() -> asyncio.Event:
    """An event that INT, TERM or HUP sets, but not one that was ignored at the start (`nohup`)."""
    stop = asyncio.Event()
    heed(STOP_SIGNALS, stop.set)
    return stop


def _heed_a_second(kill: Callable[[], None]) -> None:
    """Call `kill` at a signal from now on, but not at the first one come twice: `timeout` sends it
    to us and to our group, a terminal and the wrapper that it runs both do."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    def heard() -> None:
        if loop.time() - began >= SAME_SIGNAL_S:
            kill()

    heed(STOP_SIGNALS, heard)


def _raise_file_limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
