"""Spec: what to run as a child, and how the supervisor asks it how it is."""

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from miaosha.domain.errors import MiaoshaError
from miaosha.supervisor.hang_detector import Life

Ready = Callable[[int], Awaitable[bool]]
Alive = Callable[[int], Awaitable[Life]]


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
    says: Path | None = None
    heard: bool = False
    inherits: bool = True
    cwd: Path | None = None
    generation: int = 0
    alive: Alive | None = None
    socket: Path | None = None

    @property
    def role(self) -> str:
        return self.name.partition("-")[0]
