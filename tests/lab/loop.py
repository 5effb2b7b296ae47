"""Loop: an event loop whose time jumps to the next timer, and whose processes can be killed.

Ready callbacks keep asyncio's order, first come, first served: only latency at the ports reorders
what processes do. A thread is refused. Nobody ready and no timer is a deadlock.
"""

import asyncio
import functools
import heapq
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextvars import Context, ContextVar
from typing import Any, Final

SOON_S: Final = 1e-6
BEGAN_S: Final = 1_000.0  # the loop's time at the start: a process may have run for a while


class Deadlock(Exception):
    """Nobody is ready, and no timer runs."""


class ThreadRefused(Exception):
    """Code asked for a thread, whose order no seed decides."""


class Life:
    """A process, to the loop. Once it is killed its callbacks never run again, not even a
    `finally`. While it stalls they wait.

    Attributes:
        skew_s: how far its machine's wall clock is ahead. drift: how much faster its clocks run.
        held: what would run if it did not stall, in order; None: it does not.
    resume: ends its last stall at once, if that has not ended.
    """

    def __init__(self, skew_s: float = 0.0, drift: float = 0.0) -> None:
        self.alive = True
        self.skew_s, self.drift = skew_s, drift
        self.held: list[asyncio.Handle] | None = None
        self.resume: Callable[[], None] = lambda: None


LIFE: Final[ContextVar[Life | None]] = ContextVar("life", default=None)


def _lives(handle: asyncio.Handle, life: Life) -> bool:
    """Whether it would run in this process."""
    return handle._context.get(LIFE) is life  # type: ignore[attr-defined]


class NumberedTask(asyncio.Task[Any]):
    """A task that stands in a set by its number: in the order of memory, a group that is cancelled
    would end its tasks in another order in each process."""

    def __init__(self, number: int, coroutine: Any, loop: Any, context: Context | None) -> None:
        self.number = number
        self.life = LIFE.get() if context is None else context.get(LIFE)
        super().__init__(coroutine, loop=loop, context=context)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class VirtualLoop(asyncio.BaseEventLoop):
    """Attributes:
    turns: passes so far.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self) -> None:
        super().__init__()
        self._now_s = BEGAN_S
        self._selector = self
        self.turns = 0
        self._numbers = itertools.count()
        self._killed: list[asyncio.Task[Any]] = []  # not to be collected before the verdict
        self._generators: list[AsyncGenerator[Any, Any]] = []
        self.set_task_factory(self._numbered)

    def time(self) -> float:
        return self._now_s

    def select(self, timeout: float | None) -> list[Any]:
        """What a selector does: wait. Here time jumps."""
        self.turns += 1
        if timeout is None:
            raise Deadlock
        if timeout > 0:
            self._now_s = max(self._now_s, self._scheduled[0].when())
        return []

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        life = LIFE.get() if context is None else context.get(LIFE)
        if life is not None and not life.alive:
            handle.cancel()
        elif life is not None and life.held is not None:
            life.held.append(handle)
        else:
            self._ready.append(handle)
        return handle

    def kill(self, life: Life) -> None:
        """Nothing of this process runs any more, from its next await on."""
        life.alive = False
        self._killed += (task for task in self._pending() if task.life is life)
        for handle in [*self._ready, *self._scheduled, *(life.held or ())]:
            if _lives(handle, life):
                handle.cancel()

    def stall(self, life: Life, seconds: float) -> None:
        """Nothing of this process runs for so long, as after SIGSTOP. Then what came for it runs
        in order, and after that the timers that were due meanwhile."""
        life.held = [handle for handle in self._ready if _lives(handle, life)]
        nothing = asyncio.Handle(lambda: None, (), self, Context())  # asyncio has counted them
        self._ready = deque(nothing if _lives(handle, life) else handle for handle in self._ready)
        ends_s = self._now_s + seconds
        timers = [
            handle
            for handle in sorted(self._scheduled, key=asyncio.TimerHandle.when)
            if _lives(handle, life) and handle.when() < ends_s
        ]
        self._move(timers, ends_s)
        self.call_at(ends_s, self._resume, life, timers, context=Context())
        life.resume = functools.partial(self._resume, life, timers)

    def _resume(self, life: Life, timers: list[asyncio.TimerHandle]) -> None:
        if life.held is not None:
            self._ready.extend(life.held)
            life.held = None
            self._move(timers, self._now_s)

    def _move(self, timers: list[asyncio.TimerHandle], to_s: float) -> None:
        """They are due then, one soon after another, in their order."""
        for number, handle in enumerate(timers, 1):
            handle._when = to_s + number * SOON_S  # type: ignore[attr-defined]
        heapq.heapify(self._scheduled)

    def run_in_executor(self, *_: Any) -> Any:  # type: ignore[override]
        raise ThreadRefused

    def call_soon_threadsafe(  # type: ignore[override]
        self, *_: Any, **__: Any
    ) -> Any:
        raise ThreadRefused

    def _numbered(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """Nothing holds a task that has ended: what nobody heard of its end is told at once."""
        return NumberedTask(next(self._numbers), coroutine, loop, context)

    def _pending(self) -> list[NumberedTask]:
        return [task for task in asyncio.all_tasks(self) if isinstance(task, NumberedTask)]

    def _asyncgen_firstiter_hook(self, agen: AsyncGenerator[Any, Any]) -> None:
        self._generators.append(agen)  # collecting one would run its `finally` in another seed

    def _asyncgen_finalizer_hook(self, agen: AsyncGenerator[Any, Any]) -> None: ...

    def _process_events(self, events: list[Any]) -> None: ...

    def _write_to_self(self) -> None: ...

    def abandon(self) -> None:
        """Close, and let go of what never ended, without a word."""
        for task in [*self._pending(), *self._killed]:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._ready.clear()
        self._scheduled.clear()
        self.close()
