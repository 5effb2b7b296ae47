"""One child process: started, watched, restarted with backoff, ended in order.

Knows nothing of what the child does. A child is its own process group, so that a Ctrl-C in the
terminal reaches the supervisor alone, which then drains in its own order. Nothing here depends on
what is told: it may fail, and the cure goes on.
"""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from miaosha.domain.errors import MiaoshaError
from miaosha.supervisor.vigil import Vigil
from miaosha.supervisor.watches import Alarm, Tell
from miaosha.supervisor.words import Words, last_of

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0
DOUBLINGS_MAX = 16  # a power without a bound outgrows a float within two hours of crashes
HEALTHY_S = 10.0  # a child that lived this long starts with a fresh backoff
LOUD_AFTER = 3  # quick crashes in a row before the supervisor raises its voice
PROBE_S = 0.1
# What systemd means for the supervisor alone; settings are given one by one.
NOT_INHERITED = ("MIAOSHA_", "NOTIFY_SOCKET", "WATCHDOG_")
BAD_SETTINGS = 2  # a role's exit code for settings that no restart will mend

Ready = Callable[[int], Awaitable[bool]]


class StartFailed(MiaoshaError):
    """A part did not come up. `status` is the exit code it calls for: 2 bad usage, 1 otherwise."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class Health(StrEnum):
    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"  # crashed; the next start comes after a pause
    STOPPED = "stopped"


@dataclass(frozen=True)
class Spec:
    """What to run.

    Attributes:
        ready: asked with the child's pid until it says True.
        stop_signal: the polite request to end; KILL follows after `stop_within_s` seconds.
        inherits: our own environment first, without any MIAOSHA_ setting; then `environ`.
        cwd: the directory it starts in; None: ours.
        nice: added to the process's niceness: how far it steps back for others when all are busy.
        log: file that gets its stdout and stderr; None: the supervisor's own stderr.
        heard: without a `log`, its stderr goes through the supervisor: for programs that are not
            ours, and might wait in front of a stderr that nobody reads.
        generation: how many processes have handed this name on (a rolling upgrade).
        alive: asked with the child's pid for a sign of life; None: it is not held for hung.
        socket: where others find it, once it is ready: a child that lost it is started again.
    """

    name: str
    argv: Sequence[str]
    ready: Ready
    environ: Mapping[str, str] = field(default_factory=dict)
    stop_signal: int = signal.SIGTERM
    stop_within_s: float = 4.0
    nice: int = 0
    log: Path | None = None
    heard: bool = False
    inherits: bool = True
    cwd: Path | None = None
    generation: int = 0
    alive: Ready | None = None
    socket: Path | None = None

    @property
    def role(self) -> str:
        return self.name.partition("-")[0]


def backoff_s(quick: int) -> float:
    """Seconds until the next start, after so many quick crashes in a row (at least 1)."""
    return min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(quick - 1, DOUBLINGS_MAX))


class Child:
    """A running Spec. `restarts` counts crashes; `gave_up` holds an exit no restart can mend.

    Args:
        tell: hears of what happens to it.
        alarm: rings if the watch itself breaks; None: `stop` raises its error.
        vigil: notices that it hangs; None: nobody does.
    """

    def __init__(
        self, spec: Spec, tell: Tell, alarm: Alarm | None = None, vigil: Vigil | None = None
    ) -> None:
        self.spec = spec
        self.health = Health.STARTING
        self.restarts = 0
        self.gave_up: int | None = None
        self._tell = tell
        self._alarm = alarm
        self._vigil = vigil
        self._process: Process | None = None
        self._words = Words()
        self._was_ready = False
        self._stopping = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """0 while it is not running."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else 0

    async def start(self) -> None:
        watch = asyncio.create_task(self._watch(), name=f"watch of {self.spec.name}")
        self._watching = self._heard(watch)

    def _heard(self, task: "asyncio.Task[None]") -> "asyncio.Task[None]":
        """`task`, whose error rings the alarm."""
        if self._alarm is not None:
            self._alarm.watch(task)
        return task

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        quick = 0
        while not self._stopping.is_set():
            began = loop.time()
            code = await self._run_once()
            if self._stopping.is_set():
                break
            self.health = Health.WAITING
            if code == BAD_SETTINGS and not self._was_ready:
                self.gave_up = code
                return
            quick = quick + 1 if loop.time() - began < HEALTHY_S else 1
            self.restarts += 1
            pause = backoff_s(quick)
            self._report(code, quick, pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
        self.health = Health.STOPPED

    async def _run_once(self) -> int:
        self.health = Health.STARTING
        try:
            self._process = await self._spawn()
            self._step_back(self._process.pid)
        except OSError as error:
            self._say(f"{self.spec.name} cannot be started: {error.strerror}")
            return -1
        if self._stopping.is_set():  # while it was being started
            self.signal(self.spec.stop_signal)
        pid = self._process.pid
        looking = [
            self._heard(asyncio.create_task(self._probe(pid), name=f"probe of {self.spec.name}")),
            self._heard(asyncio.create_task(self._guard(pid), name=f"vigil of {self.spec.name}")),
        ]
        try:
            return await self._process.wait()
        finally:
            for look in looking:
                look.cancel()
            self._words.close()
            with contextlib.suppress(ProcessLookupError):  # workers outlive a killed nginx
                os.killpg(pid, signal.SIGKILL)

    async def _spawn(self) -> Process:
        ours = os.environ.items() if self.spec.inherits else ()
        environ = {k: v for k, v in ours if not k.startswith(NOT_INHERITED)}
        environ.update(self.spec.environ)
        with contextlib.ExitStack() as stack:
            out = err = await self._ear(stack)
            if self.spec.log is None:
                out = DEVNULL
            return await asyncio.create_subprocess_exec(
                *self.spec.argv,
                stdin=DEVNULL,
                stdout=out,
                stderr=err,
                env=environ,
                cwd=self.spec.cwd,
                process_group=0,
            )

    async def _ear(self, stack: contextlib.ExitStack) -> int | None:
        """Where its stderr goes. Without room or a directory for its log it runs all the same."""
        with contextlib.suppress(OSError):
            if self.spec.log is not None:
                return stack.enter_context(self.spec.log.open("ab")).fileno()
            if not self.spec.heard:
                return None
            self._words = Words()
            ear = await self._words.open()
            stack.callback(os.close, ear)
            return ear
        return DEVNULL

    def _step_back(self, pid: int) -> None:
        """Threads it starts later inherit it."""
        if self.spec.nice:
            with contextlib.suppress(OSError):  # it is gone already
                os.setpriority(os.PRIO_PROCESS, pid, os.nice(0) + self.spec.nice)

    async def _probe(self, pid: int) -> None:
        while not await self._is_ready(pid):  # noqa: ASYNC110 - the child cannot tell us
            await asyncio.sleep(PROBE_S)
        self.health = Health.READY
        self._was_ready = True

    async def _is_ready(self, pid: int) -> bool:
        try:
            return await self.spec.ready(pid)
        except Exception:  # a question that fails has no answer
            return False

    async def _guard(self, pid: int) -> None:
        """Kill it when it hangs, or cannot be found any more; not while it is ending in order."""
        alive = self.spec.alive
        if self._vigil is None or alive is None:
            return

        async def sign() -> bool:
            return not self._unreachable() and await alive(pid)

        await self._vigil.until_hung(sign)
        if not self._stopping.is_set():
            why = "its socket is gone" if self._unreachable() else "it gave no sign of life"
            self._say(f"!! {self.spec.name} is killed: {why} for {self._vigil.silence_s:g} s")
            self.kill()

    def _unreachable(self) -> bool:
        """Its socket is gone, and not the whole directory, which would be there for nobody."""
        socket = self.spec.socket
        if socket is None or self.health is not Health.READY:
            return False
        return not os.path.lexists(socket) and os.path.lexists(socket.parent)

    def _report(self, code: int, quick: int, pause: float) -> None:
        died = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
        if quick < LOUD_AFTER:
            self._say(f"{self.spec.name} {died}; started again")
            return
        self._say(
            f"!! {self.spec.name} {died}, {quick} crashes in a row; next try in {pause:.1f} s"
            f"{self.last_words()}"
        )

    def _say(self, text: str) -> None:
        with contextlib.suppress(Exception):
            self._tell(text)

    def last_words(self) -> str:
        """The end of what it said, as far as that is known here, indented; or nothing."""
        return last_of(self.spec.log) if self.spec.log is not None else self._words.last()

    async def stop(self, within_s: float = 0.0) -> None:
        """Ask it to end; KILL after `within_s` seconds (0: its Spec's). Returns when it is gone.
        Raises the error of its watch, unless an alarm has told it."""
        within_s = within_s or self.spec.stop_within_s
        self._stopping.set()
        if self._watching is None:
            return
        self.signal(self.spec.stop_signal)
        self.signal(signal.SIGCONT)  # one that was stopped hears nothing else
        done, _ = await asyncio.wait({self._watching}, timeout=within_s)
        if not done:
            self._say(f"{self.spec.name} did not end within {within_s:.0f} s: killed")
            self.kill()
            await asyncio.wait({self._watching})
        if self._alarm is None and not self._watching.cancelled():
            self._watching.result()

    def kill(self) -> None:
        """KILL its whole process group, at once."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def signal(self, sig: int) -> None:
        """Send it to the process, if it runs."""
        if self._process and self.pid:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(sig)
