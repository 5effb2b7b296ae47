"""Single server: the laboratory's RabbitMQ: for each sale a queue with one reader, and a log.

A sale's queue lends to one session at a time, the one that came first. A message stands in the log
from its publication on, whoever handles it. Queues, logs and what waits in them outlive a restart.
Sessions and answers nobody has heard do not.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Final, NamedTuple

from miaosha.domain.errors import DependencyDown, OutcomeUnknown
from tests.lab.broker_lending import LendingQueue, LentMessage, ReadingSession, SaleLog
from tests.lab.broker_shelf import News, ParkingShelf, QueueMissing, now_s

MAIL_NAME: Final = "mail"
REMINDERS_NAME: Final = "reminders"
YOUNG_S: Final = 0.8  # a server that dies so soon after it made a sale's queue knows it no more
HANDED_MAX: Final = 256  # messages of reminders remembered to be repeated


def queue_name(sale_id: int) -> str:
    return f"sale.{sale_id}.requests"


def log_name(sale_id: int) -> str:
    return f"sale.{sale_id}.log"


class QueueLength(NamedTuple):
    """Messages that nobody was lent, and sessions."""

    ready: int
    consumers: int


class Barrier(NamedTuple):
    """A barrier somebody waits for."""

    owner: object
    answered: asyncio.Event


class SingleServer:
    """See the module. `generation` rises with each restart: connections of before are gone.

    Args:
        counted_s: seconds between two countings of a log's length.
        lingers_s: see BrokerServer.
    """

    def __init__(self, counted_s: float, lingers_s: Callable[[], float]) -> None:
        self._counted_s = counted_s
        self._lingers_s = lingers_s
        self.news = News()
        self.shelf = ParkingShelf(numbered=False)
        self.generation = 0
        self.queues: dict[str, LendingQueue] = {}
        self.logs: dict[str, SaleLog] = {}
        self.waits: list[tuple[float, bytes]] = []  # loop time, then a message of reminders
        self._questions: dict[str, Barrier] = {}
        self._names = 0
        self._forsaken: list[ReadingSession] = []
        self._torn: list[int] = []
        self._handed: deque[bytes] = deque(maxlen=HANDED_MAX)

    def new_name(self) -> str:
        self._names += 1
        return f"name-{self._names}"

    # queues and logs

    def make(self, name: str) -> None:
        self.queues.setdefault(name, LendingQueue(single=name.startswith("sale.")))

    def make_log(self, name: str) -> int:
        """How many messages it holds, as counted."""
        return self.logs.setdefault(name, SaleLog(self._counted_s)).counted()

    def bind(self, name: str) -> None:
        self.queue(name).bound = True

    def bind_log(self, name: str) -> None:
        self.log(name).bound = True

    def queue(self, name: str) -> LendingQueue:
        self._expire()
        if name not in self.queues:
            raise QueueMissing(f"broker: no queue {name}")
        return self.queues[name]

    def log(self, name: str) -> SaleLog:
        if name not in self.logs:
            raise QueueMissing(f"broker: no queue {name}")
        return self.logs[name]

    def count(self, name: str) -> QueueLength:
        queue = self.queue(name)
        return QueueLength(len(queue.ready), len(queue.sessions))

    def drop(self, name: str) -> None:
        queue = self.queues.pop(name, None)
        for session in queue.sessions if queue else ():
            session.cancelled = True
        self.news.ring(name)

    def drop_log(self, name: str) -> None:
        self.logs.pop(name, None)

    def put(self, name: str, raw: bytes, barrier: str = "") -> None:
        self.queue(name).put(raw, barrier)
        self.news.ring(name)

    def route(self, sale_id: int, raw: bytes) -> None:
        """To whatever of the sale is bound: its queue and log, or one of them."""
        queue, log = self.queues.get(queue_name(sale_id)), self.logs.get(log_name(sale_id))
        queue = queue if queue and queue.bound else None
        log = log if log and log.bound else None
        if queue is None and log is None:
            raise QueueMissing(f"broker: no queue takes sale.{sale_id}")
        if log is not None:
            log.add(raw)
        if sale_id in self._torn:
            self._torn.remove(sale_id)
            raise OutcomeUnknown("broker: the connection was lost")
        if queue is not None:
            self.put(queue_name(sale_id), raw)

    def mark(self, name: str) -> str:
        """An end mark at the end of a log; no batch."""
        mark = self.new_name()
        self.log(name).add(b"", mark)
        return mark

    # sessions

    def subscribe(self, session: ReadingSession) -> None:
        """One that was given up on its way is closed right behind it."""
        queue = self.queue(session.queue)
        if not session.ended:
            queue.sessions.append(session)
            queue.lend()

    def take(self, session: ReadingSession, after: int, count: int) -> dict[int, LentMessage]:
        """By delivery tag: what came after that one, none if nothing did.

        Raises:
            QueueMissing: the queue was dropped.
            DependencyDown: the session is over otherwise.
        """
        self._expire()
        _alive(session)
        found = [item for item in session.lent.items() if item[0] > after][:count]
        if not found and session.cancelled:
            self.queue(session.queue)
            raise DependencyDown("broker: the consumer was cancelled")
        return dict(found)

    def acknowledge(self, session: ReadingSession, tag: int) -> None:
        """All up to this tag. Raises DependencyDown: the session is over."""
        _alive(session)
        for earlier in [one for one in session.lent if one <= tag]:
            message = session.lent.pop(earlier)
            if session.queue == REMINDERS_NAME:
                self._handed.append(message.raw)
        if queue := self.queues.get(session.queue):
            queue.lend()
            self.news.ring(session.queue)

    def end(self, session: ReadingSession) -> None:
        """Close it: what it was lent comes again."""
        session.ended = True
        if queue := self.queues.get(session.queue):
            queue.end(session)
        self.news.ring(session.queue)

    def forsake(self, session: ReadingSession) -> None:
        """Its client has given it up, and could not say so: it keeps its place, and what it was
        lent, until the server finds out."""
        after_s = self._lingers_s()
        if after_s > 0:
            self._forsaken.append(session)
            loop = asyncio.get_running_loop()
            loop.call_later(after_s, self.end, session, context=Context())
        else:
            self.end(session)

    def end_forsaken(self) -> None:
        """The server finds out about all of them."""
        for session in self._forsaken:
            self.end(session)
        self._forsaken = []

    # barriers

    def ask(self, name: str, barrier: str, owner: object) -> asyncio.Event:
        """Send a barrier through the queue. Without a queue it is lost without a word."""
        question = self._questions.setdefault(barrier, Barrier(owner, asyncio.Event()))
        if name in self.queues:
            self.put(name, b"", barrier)
        return question.answered

    def answer(self, barrier: str) -> None:
        if barrier in self._questions:
            self._questions.pop(barrier).answered.set()

    # reminders

    def wait(self, wait_ms: int, raw: bytes) -> None:
        """A delay queue: the message comes to the reminders after its time."""
        self.waits.append((now_s() + wait_ms / 1000, raw))
        self.news.ring(REMINDERS_NAME)

    def next_due_s(self) -> float | None:
        return min((due_s for due_s, _ in self.waits), default=None)

    def _expire(self) -> None:
        at_s = now_s()
        due = [one for one in self.waits if one[0] <= at_s]
        if not due or REMINDERS_NAME not in self.queues:
            return
        self.waits = [one for one in self.waits if one[0] > at_s]
        for _, raw in sorted(due, key=lambda one: one[0]):
            self.queues[REMINDERS_NAME].put(raw)
        self.news.ring(REMINDERS_NAME)

    # faults

    def redeliver(self, sale_id: int) -> None:
        """The session that reads the sale is closed."""
        queue = self.queues.get(queue_name(sale_id))
        for session in queue.sessions[:1] if queue else ():
            self.end(session)

    def duplicate(self, sale_id: int) -> bool:
        log = self.logs.get(log_name(sale_id))
        batches = [entry.raw for entry in log.entries if not entry.end_mark] if log else []
        if batches:
            self.route(sale_id, batches[-1])
        return bool(batches)

    def tear(self, sale_id: int) -> None:
        """The next batch gets into the log alone, and its publisher does not know."""
        self._torn.append(sale_id)

    def hasten_reminders(self) -> None:
        self.waits = [(min(due_s, now_s()), raw) for due_s, raw in self.waits]
        self.news.ring(REMINDERS_NAME)

    def delay_reminders(self, ms: int) -> None:
        self.waits = [(due_s + ms / 1000, raw) for due_s, raw in self.waits]

    def repeat_reminders(self) -> None:
        self.waits += [(now_s(), raw) for raw in self._handed]
        self.news.ring(REMINDERS_NAME)

    def restart(self) -> None:
        self.generation += 1
        for session in self._sessions():
            self.end(session)
        young = [
            name
            for name, queue in self.queues.items()
            if name.startswith("sale.") and now_s() - queue.made_s < YOUNG_S
        ]
        for name in young:
            self.drop(name)
            self.drop_log(name.replace(".requests", ".log"))
        self._questions.clear()
        self.news.ring_all()

    def disconnect(self, who: object) -> None:
        """Every session of this owner, or of consumers of this name, ends."""
        for session in self._sessions():
            if session.owner is who or session.consumer == who:
                self.end(session)
        self._questions = {
            name: question
            for name, question in self._questions.items()
            if question.owner is not who
        }

    def _sessions(self) -> list[ReadingSession]:
        return [session for queue in self.queues.values() for session in queue.sessions]


def _alive(session: ReadingSession) -> None:
    if session.ended:
        raise DependencyDown("broker: the channel was closed")
