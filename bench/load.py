"""Load: one process, one epoll, raw sockets, requests built beforehand.

Closed loop (for throughput): a connection sends its next request when it has the answer to the
last one. Open loop: requests are due at fixed instants, and latency counts from the instant a
request was due, even if it was sent late. So a server that stalls is charged for everybody who
would have come meanwhile (no coordinated omission).

Errors by kind: lost (a connection ended with requests unanswered), garbled, unasked (more answers
than requests), bad_202 (a body that is none), out_of_order, unexpected_<status>, unanswered and
unsent (at the end), short_write, connect, exhausted (nothing was left to send).
"""

import select
import socket
import time
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from bench.connections import connected
from bench.http_answers import END, Codes, Garbled, Heads, later, request_id
from bench.tally import Tally

READ_BYTES: Final = 65_536
WAIT_MAX_S: Final = 0.05  # so that the end of the load is noticed


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What one process shall do.

    Attributes:
        targets: `unix:/path` or `host:port`, connections spread evenly.
        connections: of this process.
        rate_per_s: of this process, open loop; 0: closed loop.
        phase_s: seconds after the start of the first request due (open loop), so that several
            processes interleave.
        seconds: how long requests are due.
        grace_s: how long answers are awaited after that.
        expected: statuses that are no error.
        depth: requests a connection has on the way (closed loop).
        ordered: request ids of one connection must rise.
        sources: local addresses connections are bound to in turn (TCP), none: the kernel chooses.
    """

    targets: tuple[str, ...]
    connections: int
    seconds: float
    rate_per_s: float = 0.0
    phase_s: float = 0.0
    grace_s: float = 10.0
    expected: tuple[int, ...] = (202,)
    depth: int = 1
    ordered: bool = True
    sources: tuple[str, ...] = ()


def spread(load: Load, processes: int) -> Sequence[Load]:
    """The same load, split evenly over so many processes."""
    each = load.rate_per_s / processes
    return [
        msgspec.structs.replace(
            load,
            connections=max(1, load.connections // processes),
            rate_per_s=each,
            phase_s=i / load.rate_per_s if load.rate_per_s else 0.0,
        )
        for i in range(processes)
    ]


class Requests(Protocol):
    """Prebuilt requests, each sent at most once."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> bytes: ...


class _Connection:
    __slots__ = ("due", "fd", "last", "number", "rest", "socket")

    def __init__(self, connected: socket.socket, number: int) -> None:
        self.socket = connected
        self.fd = connected.fileno()
        self.number = number
        self.due: deque[float] = deque()  # of requests on the way
        self.rest = b""
        self.last = b""  # the latest request id


class Generator:
    """Drives one Load. `connect` first, outside of the measured time, then `run` once."""

    def __init__(self, load: Load, requests: Requests) -> None:
        self._load = load
        self._requests = requests
        self._poll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._idle: list[_Connection] = []
        self._heads = Heads()
        self._codes = Codes()
        self._expected = frozenset(load.expected)
        self._errors: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._statuses = array("H")
        self._latencies = array("d")
        self._ended = array("d")
        self._rids: list[bytes] = []
        self._sent = 0
        self._outstanding = 0
        self._start = self._end = self._due = 0.0

    def connect(self) -> None:
        """Raises OSError."""
        for number in range(self._load.connections):
            self._idle.append(self._connected(number))

    def run(self, start: float) -> Tally:
        """From `start` (time.monotonic) until everything is answered, or the grace is over."""
        load = self._load
        self._start, self._end = start, start + load.seconds
        self._due = start + load.phase_s
        while time.monotonic() < start - 0.002:
            time.sleep(0.001)
        cpu = time.process_time()
        if load.rate_per_s:
            self._open()
        else:
            self._closed()
        self._give_up()
        return Tally(
            sent=self._sent,
            errors=dict(self._errors),
            codes=dict(self._refusals),
            statuses=self._statuses.tobytes(),
            latencies=self._latencies.tobytes(),
            ended=self._ended.tobytes(),
            rids=b"".join(rid + b"\n" for rid in self._rids),
            cpu_s=time.process_time() - cpu,
        )

    # the two loops

    def _closed(self) -> None:
        clock, poll = time.monotonic, self._poll.poll
        last = self._end + self._load.grace_s
        while (now := clock()) < last:
            if now < self._end:
                while self._idle:
                    connection = self._idle.pop()
                    for _ in range(self._load.depth - len(connection.due)):
                        self._send(connection, clock())
            elif not self._outstanding:
                return
            for fd, _ in poll(WAIT_MAX_S):
                self._receive(fd)

    def _open(self) -> None:
        clock, poll = time.monotonic, self._poll.poll
        idle, step = self._idle, 1 / self._load.rate_per_s
        self._end -= step / 1_000  # sums of steps are not exact: the last instant is not one more
        last = self._end + self._load.grace_s
        while (now := clock()) < last:
            while idle and self._due <= now and self._due < self._end:
                due, self._due = self._due, self._due + step
                self._send(idle.pop(), due)
            if self._due >= self._end and not self._outstanding:
                return
            wait = self._due - clock() if idle and self._due < self._end else WAIT_MAX_S
            for fd, _ in poll(max(0.0, min(wait, WAIT_MAX_S))):
                self._receive(fd)

    def _give_up(self) -> None:
        """Count what has no answer, and what was never sent though it was due."""
        if self._outstanding:
            self._errors["unanswered"] += self._outstanding
        if self._load.rate_per_s and self._due < self._end:
            late = (self._end - self._due) * self._load.rate_per_s
            self._errors["unsent"] += max(1, round(late))
        for connection in self._connections.values():
            connection.socket.close()
        self._poll.close()

    # one request, and its answer

    def _send(self, connection: _Connection, due: float) -> None:
        number = self._sent
        if number >= len(self._requests):
            self._errors["exhausted"] = 1
            self._end = 0.0
            return
        request = self._requests[number]
        self._sent = number + 1
        connection.due.append(due)
        self._outstanding += 1
        try:
            if connection.socket.send(request) != len(request):
                self._lose(connection, "short_write")
        except BlockingIOError:
            self._lose(connection, "short_write")
        except OSError:
            self._lose(connection, "lost")

    def _receive(self, fd: int) -> None:
        connection = self._connections.get(fd)
        if connection is None:
            return
        try:
            data = connection.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        at = time.monotonic()
        if not data:
            self._lose(connection, "lost" if connection.due else "")
            return
        if connection.rest:
            data = connection.rest + data
        try:
            self._read(connection, data, at)
        except Garbled:
            self._lose(connection, "garbled")

    def _read(self, connection: _Connection, data: bytes, at: float) -> None:
        """Take every whole answer of `data`. Raises Garbled."""
        position, size = 0, len(data)
        while position < size:
            head_end = data.find(END, position)
            if head_end < 0:
                break
            head = self._heads.read(data[position:head_end])
            stop = head_end + 4 + head.length
            if stop > size:
                break
            if not connection.due:
                self._lose(connection, "unasked")
                return
            self._take(connection, head.status, data[head_end + 4 : stop], at)
            position = stop
            if head.closes:
                self._lose(connection, "lost" if connection.due else "")
                return
        connection.rest = data[position:] if position else data
        if len(connection.due) < self._load.depth and connection.fd in self._connections:
            self._idle.append(connection)

    def _take(self, connection: _Connection, status: int, body: bytes, at: float) -> None:
        self._outstanding -= 1
        self._statuses.append(status)
        self._latencies.append(at - connection.due.popleft())
        self._ended.append(at - self._start)
        if status not in self._expected:
            self._errors[f"unexpected_{status}"] += 1
        if status != 202:
            self._refusals[self._codes.read(body)] += 1
            return
        rid = request_id(body)
        if rid is None:
            self._errors["bad_202"] += 1
            return
        self._rids.append(rid)
        if self._load.ordered:
            if connection.last and not later(rid, connection.last):
                self._errors["out_of_order"] += 1
            connection.last = rid

    # connections

    def _lose(self, connection: _Connection, kind: str) -> None:
        """Forget a connection with what is on its way, and open another in its place."""
        if self._connections.pop(connection.fd, None) is None:
            return
        if kind:
            self._errors[kind] += max(1, len(connection.due))
        self._outstanding -= len(connection.due)
        connection.due.clear()
        self._poll.unregister(connection.fd)
        connection.socket.close()
        if connection in self._idle:
            self._idle.remove(connection)
        try:
            self._idle.append(self._connected(connection.number))
        except OSError:
            self._errors["connect"] += 1

    def _connected(self, number: int) -> _Connection:
        load = self._load
        target = load.targets[number % len(load.targets)]
        source = load.sources[number % len(load.sources)] if load.sources else ""
        connection = _Connection(connected(target, source), number)
        self._poll.register(connection.fd, select.EPOLLIN)
        self._connections[connection.fd] = connection
        return connection
