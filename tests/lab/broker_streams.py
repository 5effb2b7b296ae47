"""Streams server: the laboratory's Redis as a broker: streams with a consumer group, and reminders.

A stream is queue and log at once: an acknowledged entry stays until its sale is dropped. What was
handed out belongs to a consumer by name, whether that lives or not. All of it outlives a restart.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from miaosha.domain.errors import DependencyDown, Problem
from miaosha.ports.broker import Reminder
from tests.lab.broker_shelf import News, ParkingShelf, QueueMissing, now_s

MAIL_KEY: Final = "mail"
REMINDERS_KEY: Final = "reminders"
REMINDERS_MAX: Final = 1_000_000  # kept at most; those due last go first
HANDED_MAX: Final = 256  # reminders handed over at once, and remembered to be repeated
ENTRY_BYTES: Final = 32  # of the log, beside the message


def requests_key(sale_id: int) -> str:
    return f"{{sale:{sale_id}}}:requests"


class StreamEntry(NamedTuple):
    """`readable`: it has the field our messages are in."""

    number: int
    at_s: float
    raw: bytes
    readable: bool = True


class Holding(NamedTuple):
    """Who was handed an entry, and when, by loop time; "" once it was taken from them."""

    consumer: str
    since_s: float


class GroupStream:
    """A stream and its one consumer group. `trimmed`: what is acknowledged is deleted."""

    def __init__(self, *, trimmed: bool) -> None:
        self._trimmed = trimmed
        self.entries: list[StreamEntry | None] = []
        self.handed_out = 0  # entries that were handed to anybody yet
        self.pending: dict[int, Holding] = {}
        self.bytes = 0

    def append(self, raw: bytes, *, readable: bool = True) -> None:
        self.entries.append(StreamEntry(len(self.entries), now_s(), raw, readable))
        self.bytes += len(raw) + ENTRY_BYTES

    @property
    def backlog(self) -> int:
        return len(self.entries) - self.handed_out + len(self.pending)

    def oldest_ms(self) -> int:
        number = min(self.pending, default=self.handed_out)
        entry = self.entries[number] if number < len(self.entries) else None
        return int((now_s() - entry.at_s) * 1000) if entry else 0

    def page(self, after: int, count: int) -> list[StreamEntry]:
        return [entry for entry in self.entries[after : after + count] if entry]

    def fresh(self, consumer: str, count: int) -> list[StreamEntry]:
        first = self.handed_out
        self.handed_out = min(first + count, len(self.entries))
        return self._hand(consumer, range(first, self.handed_out))

    def own(self, consumer: str, count: int) -> list[StreamEntry]:
        numbers = [n for n in sorted(self.pending) if self.pending[n].consumer == consumer]
        return self._hand(consumer, numbers[:count])

    def abandoned(self, consumer: str, idle_s: float, count: int) -> list[StreamEntry]:
        """What anybody has left for so long, the asker, too."""
        before = now_s() - idle_s
        numbers = [n for n in sorted(self.pending) if self.pending[n].since_s <= before]
        return self._hand(consumer, numbers[:count])

    def _hand(self, consumer: str, numbers: Sequence[int]) -> list[StreamEntry]:
        for number in numbers:
            self.pending[number] = Holding(consumer, now_s())
        return [entry for number in numbers if (entry := self.entries[number])]

    def keep(self, consumer: str, numbers: Sequence[int]) -> None:
        """They are this consumer's from now on, whoever else has taken them, unless handled."""
        for number in numbers:
            if number in self.pending and self.pending[number].consumer:
                self.pending[number] = Holding(consumer, now_s())

    def give_back(self, consumer: str, idle_s: float) -> None:
        for number, holding in self.pending.items():
            if holding.consumer == consumer:
                self.pending[number] = holding._replace(since_s=now_s() - idle_s)

    def take_away(self) -> None:
        """Whoever looks next has it, though another may be handling it and say so."""
        for number in self.pending:
            self.pending[number] = Holding("", float("-inf"))

    def acknowledge(self, numbers: Sequence[int]) -> None:
        """Anybody may, whoever has them."""
        for number in numbers:
            self.pending.pop(number, None)
            if self._trimmed:
                self.entries[number] = None


class StreamsServer:
    """See the module. `generation` rises with each restart: connections of before are gone."""

    def __init__(self) -> None:
        self.news = News()
        self.shelf = ParkingShelf(numbered=True)
        self.generation = 0
        self.streams: dict[str, GroupStream] = {}
        self.due_s: dict[str, float] = {}  # of each reminder `sale|rid`, in loop time
        self._handed: deque[str] = deque(maxlen=HANDED_MAX)

    def make(self, key: str) -> None:
        self.streams.setdefault(key, GroupStream(trimmed=key == MAIL_KEY))

    def stream(self, key: str, generation: int | None = None) -> GroupStream:
        """Raises QueueMissing; DependencyDown if the connection is of an earlier generation."""
        if generation is not None and generation != self.generation:
            raise DependencyDown("broker: the connection was lost")
        if key not in self.streams:
            raise QueueMissing(f"broker: no queue {key}")
        return self.streams[key]

    def append(self, key: str, raw: bytes, *, readable: bool = True) -> None:
        self.stream(key).append(raw, readable=readable)
        self.news.ring(key)

    def drop(self, key: str) -> None:
        self.streams.pop(key, None)
        self.news.ring(key)

    def waiting_mails(self) -> int:
        stream = self.streams.get(MAIL_KEY)
        return sum(entry is not None for entry in stream.entries) if stream else 0

    def park(self, key: str, entry: StreamEntry, reason: str) -> None:
        """Kept and acknowledged in one step. As there, parking deletes no entry of any stream."""
        self.shelf.add(key, reason, entry.raw)
        if key in self.streams:
            self.streams[key].pending.pop(entry.number, None)

    def redrive(self, parked_id: str) -> bool:
        """Put back and forgotten in one step."""
        found = self.shelf.find(parked_id)
        if found is None:
            return False
        if found.size > len(found.parked.raw):
            raise Problem("conflict", "Only the beginning of this message was kept.")
        if found.parked.queue not in self.streams:
            raise Problem("conflict", "The queue of this message does not exist any more.")
        self.append(found.parked.queue, found.parked.raw)
        self.shelf.remove(parked_id)
        return True

    # reminders

    def remind(self, reminders: Sequence[Reminder], after_s: float) -> None:
        """One that is there already moves to the new time."""
        due_s = now_s() + after_s + 0.001
        self.due_s.update({f"{one.sale_id}|{one.rid}": due_s for one in reminders})
        if len(self.due_s) > REMINDERS_MAX:
            self.due_s = dict(sorted(self.due_s.items(), key=_by_time)[:REMINDERS_MAX])
        self.news.ring(REMINDERS_KEY)

    def due(self) -> list[str]:
        due = [item for item in self.due_s.items() if item[1] <= now_s()]
        return [member for member, _ in sorted(due, key=_by_time)[:HANDED_MAX]]

    def next_due_s(self) -> float | None:
        return min(self.due_s.values(), default=None)

    def forget(self, members: Sequence[str]) -> None:
        """Also one that was moved to a later time meanwhile, as there."""
        for member in members:
            if self.due_s.pop(member, None) is not None:
                self._handed.append(member)

    # faults

    def redeliver(self, sale_id: int) -> None:
        if stream := self.streams.get(requests_key(sale_id)):
            stream.take_away()
            self.news.ring(requests_key(sale_id))

    def duplicate(self, sale_id: int) -> bool:
        stream = self.streams.get(requests_key(sale_id))
        last = stream.entries[-1] if stream and stream.entries else None
        if last is not None:
            self.append(requests_key(sale_id), last.raw, readable=last.readable)
        return last is not None

    def hasten_reminders(self) -> None:
        self.due_s = {member: min(due_s, now_s()) for member, due_s in self.due_s.items()}
        self.news.ring(REMINDERS_KEY)

    def delay_reminders(self, ms: int) -> None:
        self.due_s = {member: due_s + ms / 1000 for member, due_s in self.due_s.items()}

    def repeat_reminders(self) -> None:
        self.due_s |= {member: now_s() for member in self._handed if member not in self.due_s}
        self.news.ring(REMINDERS_KEY)

    def restart(self) -> None:
        self.generation += 1
        self.news.ring_all()

    def disconnect(self, who: object) -> None:
        """Nothing changes: what a consumer has in hand stays its own until it is idle."""


def _by_time(item: tuple[str, float]) -> tuple[float, str]:
    return item[1], item[0]
