"""Seldom: a loop that fails again and again logs so at once, and then once a minute.

Two warnings are the same if their event, the texts and ids in their fields, and the error but for
its numbers are the same. Counts and measures do not make another one. A warning about a server that
is away becomes the one line about that server, whichever loop it came from.
"""

import logging
import re
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from structlog import DropEvent
from structlog.typing import EventDict

from miaosha.serving.waiting import TEXT_MAX, AwaitedServers, reason

EVERY_S: Final = 60.0
KEPT_MAX: Final = 2_000  # different lines remembered
ERROR_MAX: Final = 80  # characters of an error that count
ONCE: Final = frozenset({"waiting_for", "came", "log_lines_lost"})  # they have a rate of their own
APART: Final = frozenset({"error", "exc_info", "stack", "timestamp"})
OURS: Final = ("role", "instance")
_NUMBER: Final = re.compile(r"\d+")

Identity = tuple[Any, ...]


class Seldom:
    """A structlog processor, and (`SeldomRecords`) a filter for the libraries' own records."""

    def __init__(
        self, waiting: AwaitedServers, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._waiting = waiting
        self._monotonic = monotonic
        self._said: dict[Identity, list[float]] = {}  # when, and how often unsaid since then

    def __call__(self, _: Any, method: str, event: EventDict) -> EventDict:
        """Pass `event`, or raise DropEvent."""
        if method in ("debug", "info") or event["event"] in ONCE:
            return event
        error = event.get("error")
        if isinstance(error, str) and (about := self._waiting.told(error)):
            server, now = about
            if not now:
                raise DropEvent
            return {
                **{key: event[key] for key in OURS if key in event},
                "event": "waiting_for",
                "setting": server.setting,
                "where": server.where,
                "error": reason(error)[:TEXT_MAX],
            }
        repeated = self.passes(_identity(method, event))
        if repeated is None:
            raise DropEvent
        if repeated:
            event["repeated"] = repeated
        return event

    def passes(self, identity: Identity) -> int | None:
        """How often the same was not said since it was said last; None: it is not said now."""
        now = self._monotonic()
        said = self._said.get(identity)
        if said is not None and now - said[0] < EVERY_S:
            said[1] += 1
            return None
        unsaid = int(said[1]) if said is not None else 0
        self._said.pop(identity, None)
        self._said[identity] = [now, 0]
        if len(self._said) > KEPT_MAX:
            del self._said[next(iter(self._said))]
        return unsaid


class SeldomRecords(logging.Filter):
    """The same for what libraries log. Ours have passed the processor."""

    def __init__(self, seldom: Seldom) -> None:
        super().__init__()
        self._seldom = seldom

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or isinstance(record.msg, dict):
            return True
        kind = record.exc_info[0] if record.exc_info else None
        text = _NUMBER.sub("#", str(record.msg))[:TEXT_MAX]
        return self._seldom.passes((record.name, record.levelno, text, kind)) is not None


def _identity(method: str, event: EventDict) -> Identity:
    names = tuple(
        (key, str(value)[:TEXT_MAX])
        for key, value in event.items()
        if key not in APART and (not isinstance(value, int | float) or key.endswith("_id"))
    )
    said = _NUMBER.sub("#", str(event.get("error", "")))[:ERROR_MAX]
    return method, names, said, sys.exc_info()[0] if event.get("exc_info") else None
