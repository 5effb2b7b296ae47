"""One child process: started, watched, restarted with backoff, ended in order.

Knows nothing of what the child does. A child is its own process group, so that a Ctrl-C in the
terminal reaches the supervisor alone, which then drains in its own order.
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

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0
DOUBLINGS_MAX = 16  # a power without a bound outgrows a float within two hours of crashes
HEALTHY_S = 10.0  # a child that lived this long starts with a fresh backoff
LOUD_AFTER = 3  # quick crashes in a row before the supervisor raises its voice
PROBE_S = 0.1
BAD_SETTINGS = 2  # a role's exit code for settings that no restart will mend
TAIL_LINES = 5

Tell = Callable[[str], None]
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
        says: file in which the program itself writes why it fails; None: `log`.
        generation: how many processes have handed this name on (a rolling upgrade).
    """

    name: str
    argv: Sequence[str]
    ready: Ready
    environ: Mapping[str, str] = field(default_factory=dict)
    stop_signal: int = signal.SIGTERM
    stop_within_s: float = 4.0
    nice: int = 0
    log: Path | None = None
    says: Path | None = None
    inherits: bool = True
    cwd: Path | None = None
    generation: int = 0

    @property
    def role(self) -> str:
        return self.name.partition("-")[0]


def backoff_s(quick: int) -> float:
    """Seconds until the next start, after so many quick crashes in a row (at least 1)."""
    return min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(quick - 1, DOUBLINGS_MAX))


class Child:
    """A running Spec. `restarts` counts crashes; `gave_up` holds an exit no restart can mend."""

    def __init__(self, spec: Spec, tell: Tell) -> None:
        self.spec = spec
        self.health = Health.STARTING
        self.restarts = 0
        self.gave_up: int | None = None
        self._tell = tell
        self._process: Process | None = None
        self._was_ready = False
        self._stopping = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """0 while it is not running."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else 0

    async def start(self) -> None:
        self._watching = asyncio.create_task(self._watch(), name=f"watch {self.spec.name}")

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
            self._tell(f"{self.spec.name} cannot be started: {error.strerror}")
            return -1
        if self._stopping.is_set():  # while it was being started
            self.signal(self.spec.stop_signal)
        self._probing = asyncio.create_task(self._probe(self._process.pid))
        try:
            return await self._process.wait()
        finally:
            self._probing.cancel()
            with contextlib.suppress(ProcessLookupError):  # workers outlive a killed nginx
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _spawn(self) -> Process:
        ours = os.environ.items() if self.spec.inherits else ()
        environ = {k: v for k, v in ours if not k.startswith("MIAOSHA_")}
        environ.update(self.spec.environ)
        with contextlib.ExitStack() as stack:
            out = stack.enter_context(self.spec.log.open("ab")) if self.spec.log else None
            return await asyncio.create_subprocess_exec(
                *self.spec.argv,
                stdin=DEVNULL,
                stdout=out if out else DEVNULL,
                stderr=out,
                env=environ,
                cwd=self.spec.cwd,
                process_group=0,
            )

    def _step_back(self, pid: int) -> None:
        """Threads it starts later inherit it."""
        if self.spec.nice:
            with contextlib.suppress(OSError):  # it is gone already
                os.setpriority(os.PRIO_PROCESS, pid, os.nice(0) + self.spec.nice)

    async def _probe(self, pid: int) -> None:
        while not await self.spec.ready(pid):  # noqa: ASYNC110 - the child cannot tell us
            await asyncio.sleep(PROBE_S)
        self.health = Health.READY
        self._was_ready = True

    def _report(self, code: int, quick: int, pause: float) -> None:
        died = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
        if quick < LOUD_AFTER:
            self._tell(f"{self.spec.name} {died}; started again")
            return
        self._tell(
            f"!! {self.spec.name} {died}, {quick} crashes in a row; next try in {pause:.1f} s"
            f"{self.last_words()}"
        )

    def last_words(self) -> str:
        """The end of the file where it says why it fails, indented, or nothing."""
        said = self.spec.says or self.spec.log
        if said is None:
            return ""
        with contextlib.suppress(OSError):
            text = said.read_bytes()[-4096:].decode(errors="replace")
            return "".join(f"\n     {line}" for line in text.splitlines()[-TAIL_LINES:])
        return ""

    async def stop(self, within_s: float = 0.0) -> None:
        """Ask it to end; KILL after `within_s` seconds (0: its Spec's). Returns when it is gone."""
        within_s = within_s or self.spec.stop_within_s
        self._stopping.set()
        if self._watching is None:
            return
        self.signal(self.spec.stop_signal)
        done, _ = await asyncio.wait({self._watching}, timeout=within_s)
        if not done:
            self._tell(f"{self.spec.name} did not end within {within_s:.0f} s: killed")
            self.kill()
            await asyncio.wait({self._watching})
        if not self._watching.cancelled() and (error := self._watching.exception()):
            raise error

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
