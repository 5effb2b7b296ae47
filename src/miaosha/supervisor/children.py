"""Child: one child process, started, watched, restarted with backoff, and ended in order.

A child knows nothing of what its program does. It is a process group of its own: a Ctrl-C in the
terminal reaches the supervisor alone, which then drains in its own order. What a child tells may
fail; nothing depends on it.
"""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Coroutine
from typing import Any

from miaosha.supervisor.child_output import ChildOutput, died, last_of
from miaosha.supervisor.child_spec import Health, Spec
from miaosha.supervisor.hang_detector import HangDetector, Life
from miaosha.supervisor.watches import Alarm, Tell, say

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0
DOUBLINGS_MAX = 16  # a power without a bound outgrows a float within two hours of crashes
HEALTHY_S = 10.0  # a child that lived this long starts with a fresh backoff
LOUD_AFTER = 3  # quick crashes in a row before the supervisor raises its voice
TOLD_EVERY_S = 60.0  # a row of crashes, then
CANNOT_START = 127  # as a shell has it
PROBE_S = 0.1
# What systemd means for the supervisor alone; settings are given one by one.
NOT_INHERITED = ("MIAOSHA_", "NOTIFY_SOCKET", "WATCHDOG_")
BAD_SETTINGS = 2  # a role's exit code for settings that no restart will mend


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
        self, spec: Spec, tell: Tell, alarm: Alarm | None = None, vigil: HangDetector | None = None
    ) -> None:
        self.spec = spec
        self.health = Health.STARTING
        self.restarts = 0
        self.gave_up: int | None = None
        self._tell = tell
        self._alarm = alarm
        self._vigil = vigil
        self._process: Process | None = None
        self._words = ChildOutput()
        self._was_ready = False
        self._ended = ""
        self._told_at = float("-inf")
        self._stopping = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """0 while it is not running."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else 0

    async def start(self) -> None:
        self._watching = self._begun(self._watch(), "watch")

    def _begun(self, work: Coroutine[Any, Any, None], what: str) -> "asyncio.Task[None]":
        """The task of `work`, whose error rings the alarm."""
        task = asyncio.create_task(work, name=f"{what} of {self.spec.name}")
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
            self._report(quick, pause)
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
            self._ended = f"cannot be started ({error.strerror})"
            return CANNOT_START
        if self._stopping.is_set():  # while it was being started
            self.signal(self.spec.stop_signal)
        pid = self._process.pid
        looking = [self._begun(self._probe(pid), "probe"), self._begun(self._guard(pid), "vigil")]
        try:
            code = await self._process.wait()
            self._ended = died(code)
            return code
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
        if self.spec.log is None and not self.spec.heard:
            return None
        with contextlib.suppress(OSError):
            if self.spec.log is not None:
                return stack.enter_context(self.spec.log.open("ab")).fileno()
            self._words = ChildOutput()
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

        async def sign() -> Life:
            return Life.NONE if self._unreachable() else await alive(pid)

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

    def _report(self, quick: int, pause: float) -> None:
        """Each of the first crashes; of a row of them one a minute."""
        if quick < LOUD_AFTER:
            self._say(f"{self.spec.name} {self._ended}; started again")
            return
        now = asyncio.get_running_loop().time()
        if quick == LOUD_AFTER or now - self._told_at >= TOLD_EVERY_S:
            self._told_at = now
            row = f"{quick} crashes in a row; next try in {pause:.1f} s{self.last_words()}"
            self._say(f"!! {self.spec.name} {self._ended}, {row}")

    def _say(self, text: str) -> None:
        say(self._tell, text)

    def last_words(self) -> str:
        """The end of what it said, as far as that is known here, indented; or nothing."""
        said = self.spec.says or self.spec.log
        return (last_of(said) if said is not None else "") or self._words.last()

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

    def abandon(self) -> None:
        """KILL it at once, for good; `stop` finds it gone."""
        self._stopping.set()
        self.kill()

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
