"""Lending queue: a queue as RabbitMQ keeps it, which lends messages to sessions, and a sale's log.

A session may have `window` messages on loan. What it was lent and has not acknowledged comes again
when it ends, in its old place.
"""

import bisect
from collections import deque
from typing import NamedTuple

from tests.lab.broker_shelf import now_s


class LentMessage(NamedTuple):
    """`number`: its place in the queue. `barrier`: the question it is, "" for a message."""

    number: int
    raw: bytes
    barrier: str = ""


class ReadingSession:
    """One reader's channel. `ended`: closed. `cancelled`: its queue was deleted. `lent`: what it
    has not acknowledged, by delivery tag, in order."""

    def __init__(self, queue: str, owner: object, consumer: str, window: int) -> None:
        self.queue, self.owner, self.consumer = queue, owner, consumer
        self.window = window
        self.lent: dict[int, LentMessage] = {}
        self.tag = 0
        self.ended = False
        self.cancelled = False

    def lend(self, message: LentMessage) -> None:
        self.tag += 1
        self.lent[self.tag] = message


class LendingQueue:
    """Args: single: only the session that came first is lent anything."""

    def __init__(self, *, single: bool) -> None:
        self._single = single
        self._count = 0
        self.made_s = now_s()
        self.bound = False
        self.ready: deque[LentMessage] = deque()
        self.sessions: list[ReadingSession] = []

    def put(self, raw: bytes, barrier: str = "") -> None:
        self._count += 1
        self.ready.append(LentMessage(self._count, raw, barrier))
        self.lend()

    def lend(self) -> None:
        while self.ready:
            able = self.sessions[:1] if self._single else self.sessions
            able = [one for one in able if len(one.lent) < one.window]
            if not able:
                return
            min(able, key=lambda one: len(one.lent)).lend(self.ready.popleft())

    def end(self, session: ReadingSession) -> None:
        if session in self.sessions:
            self.sessions.remove(session)
            back = [*session.lent.values(), *self.ready]
            self.ready = deque(sorted(back, key=lambda message: message.number))
        session.lent.clear()
        self.lend()


class LoggedMessage(NamedTuple):
    at_s: float
    raw: bytes
    end_mark: str = ""


class SaleLog:
    """Args: counted_s: seconds between two countings of its length; a reader asks for the last."""

    def __init__(self, counted_s: float) -> None:
        self._counted_s = counted_s
        self.bound = False
        self.entries: list[LoggedMessage] = []

    def add(self, raw: bytes, end_mark: str = "") -> None:
        self.entries.append(LoggedMessage(now_s(), raw, end_mark))

    def counted(self) -> int:
        at_s = now_s() // self._counted_s * self._counted_s
        return bisect.bisect_right(self.entries, at_s, key=lambda entry: entry.at_s)
