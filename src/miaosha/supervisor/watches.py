"""Watches: tasks that run beside the platform as long as it lives, and the alarm when one breaks.

A supervisor that has lost a watch looks as if it still supervised. So a watch that ends with an
error ends the platform: `stop` is set, everything drains, and the error is raised.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import structlog

from miaosha.domain.errors import MiaoshaError
from miaosha.serving.ending import end

Tell = Callable[[str], None]

log = structlog.get_logger()


def say(tell: Tell, text: str) -> None:
    """Tell `text`, if that can be done: nothing depends on it."""
    with contextlib.suppress(Exception):
        tell(text)


class WatchEnded(MiaoshaError):
    """A watch of the supervisor broke."""


class Alarm:
    """The first broken watch.

    Args:
        stop: set when a watch breaks, so that the caller ends the platform.
        tell: hears of it at once. It may fail: nothing depends on it.

    Attributes:
        failure: what broke; None so far.
    """

    def __init__(self, stop: asyncio.Event, tell: Tell) -> None:
        self.failure: WatchEnded | None = None
        self._stop = stop
        self._tell = tell

    def ring(self, what: str, error: BaseException | None = None) -> None:
        """Stop the platform, because of `what`."""
        why = f": {type(error).__name__}: {error}" if error else ""
        failure = WatchEnded(f"{what}{why}")
        self._stop.set()
        if self.failure is not None:
            return
        self.failure = failure
        say(self._tell, f"!! {failure}: everything is stopped")
        with contextlib.suppress(Exception):
            log.error("watch_ended", what=what, exc_info=error)

    def check(self) -> None:
        """Raises WatchEnded if it has rung."""
        if self.failure is not None:
            raise self.failure

    def watch(self, task: "asyncio.Task[None]") -> None:
        """Ring when `task` ends with an error; its name is told."""

        def ended(task: "asyncio.Task[None]") -> None:
            if not task.cancelled() and (error := task.exception()):
                self.ring(f"the {task.get_name()} broke", error)

        task.add_done_callback(ended)


@contextlib.asynccontextmanager
async def beside(
    work: Coroutine[Any, Any, None], name: str, alarm: Alarm | None = None
) -> AsyncIterator[None]:
    """Run `work` while the body runs, and cancel it then. If it breaks, `alarm` rings; without an
    alarm its error is raised at the end of the body."""
    task = asyncio.create_task(work, name=name)
    if alarm is not None:
        alarm.watch(task)
    try:
        yield
    finally:
        await end({task})
    if alarm is None and not task.cancelled() and (error := task.exception()):
        raise error
