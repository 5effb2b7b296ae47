"""HttpConnection: reads requests, numbers them, and writes their answers in that order.

An answer may come at any later time: a press is answered when its batch is confirmed. One that
comes before its predecessors is kept. The routes know what a request means.
"""

import asyncio
from typing import Final

import structlog
from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade

from miaosha.publisher.http_request import RequestReader, RequestRefused
from miaosha.publisher.responses import PROBLEMS, closing
from miaosha.publisher.shared import Shared

log = structlog.get_logger()

SLICE_BYTES: Final = 4_096  # parsed at a time, so that the limits below bite in time
UNREAD_MAX: Final = 16_384  # bytes kept of a connection that waits before it is no longer read
PIPELINE_MAX: Final = 32  # requests without an answer before a connection is no longer read
LINGER_MAX: Final = 1_024  # connections over connections_max that still get to read their 503


class HttpConnection(RequestReader, asyncio.Protocol):
    """A client's connection.

    It ends with the answer to request number `_last`, once that is set. The client may have asked
    for it, the process may drain, or the request has a fault. Then the client may still be sending
    (see `_end`).
    """

    __slots__ = (
        "_blocked",
        "_counters",
        "_done",
        "_faulty",
        "_feeding",
        "_first",
        "_held",
        "_last",
        "_lingering",
        "_next",
        "_queued",
        "_rest",
        "_shared",
        "_since",
        "_taking",
        "_touched",
        "_transport",
        "_unparsed",
    )

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared.header_max, shared.body_max)
        self._shared = shared
        self._counters = shared.counters
        self._transport: asyncio.Transport | None = None
        self._first = 0  # the number to be answered next
        self._next = 0  # the number of the next request
        self._last = -1
        self._done: dict[int, bytes] = {}  # answers that came too early
        self._taking = True  # input is parsed; otherwise thrown away
        self._feeding = False  # the parser is at work
        self._held = False  # reading is paused
        self._queued = False  # among the arrivals that wait
        self._rest = b""  # read, but not parsed while held or queued
        self._unparsed = 0  # bytes fed since a head began
        self._faulty = False  # the last answer is about the framing
        # ticks of the wheel; 0: not so
        self._since = 0  # since when a request is unfinished
        self._blocked = 0  # since when the client does not read
        self._lingering = 0  # since when only the client's end is awaited
        self._touched = 0  # of the latest answer

    # from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        shared = self._shared
        self._transport = transport  # type: ignore[assignment]  # uvloop's is not a subclass
        shared.wheel.schedule(HttpConnection.look, self, shared.round_s)
        self._touched = shared.wheel.tick
        shared.connections += 1
        if shared.connections > shared.connections_max + LINGER_MAX:
            self.cut()
        elif shared.connections > shared.connections_max:
            self.fail("overloaded")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None  # from here on answers are dropped; what was queued goes on
        self._taking = False
        self._done.clear()
        self._rest = b""
        self._shared.connections -= 1
        del self._parser  # it knows our methods: without this only the collector frees the two

    def data_received(self, data: bytes) -> None:
        if not self._taking:
            return
        held = self._held
        if held or self._queued or not self._shared.arrivals.enter(self):
            self._rest += data
            if not held:
                self._queued = True
                if len(self._rest) > UNREAD_MAX:
                    self._hold()
            return
        if len(data) > SLICE_BYTES:
            self._rest = data
            self._parse_rest()
            return
        self._feed(data)
        if self._next - self._first >= PIPELINE_MAX:
            self._hold()
        elif self._held:  # by a write in between
            self._go_on()

    def eof_received(self) -> bool:
        """A client that has closed its side still gets its answers."""
        if self._rest:
            self._go_on()  # what it sent before comes first
        if self._lingering or self._first == self._next:
            return False
        if self._last < 0:
            self._last = self._next - 1
        self._taking = False
        return True

    def pause_writing(self) -> None:
        self._blocked = self._shared.wheel.tick
        self._hold()

    def resume_writing(self) -> None:
        self._blocked = 0
        self._go_on()

    # from the arrivals that waited

    def go_on(self) -> None:
        self._queued = False
        if self._rest:
            self._go_on()

    # from the parser

    def on_message_begin(self) -> None:
        self.begin()
        self._unparsed = 0
        self._since = self._shared.wheel.tick

    def on_message_complete(self) -> None:
        if not self._taking:
            return  # it came after the last one
        self._since = 0
        self._counters["requests"] += 1
        number = self._next
        last = self.is_last() or self._shared.leaving
        answer = self._shared.routes(self, number)  # a refusal uses no number
        self._next = number + 1
        if last:
            self._last = number
            self._taking = False
        if answer is not None:
            self.answer(number, answer)

    # answers

    def answer(self, number: int, response: bytes) -> None:
        """Write the answer to that request, or keep it until those before it are written."""
        transport = self._transport
        if transport is None:
            return
        if number != self._first:
            self._done[number] = response
            return
        while True:
            if number == self._last:
                self._end(transport, response)
                return
            transport.write(response)
            number += 1
            self._first = number
            if not self._done or number not in self._done:
                break
            response = self._done.pop(number)
        self._touched = self._shared.wheel.tick
        if self._held:
            self._go_on()

    def fail(self, code: str) -> None:
        """Answer the request being read, or the connection as such, with `code`, and end it."""
        if self._last >= 0:
            return
        self._counters["refused_" + code] += 1
        self._taking = False
        self._faulty = True
        self._last = number = self._next
        self._next = number + 1
        self.answer(number, PROBLEMS[code])

    def drain(self) -> None:
        """Take no more requests; end once what was taken is answered."""
        if self._transport is None or self._last >= 0:
            return
        self._taking = False
        self._last = self._next - 1
        if self._first == self._next:
            self._transport.close()

    def cut(self) -> None:
        """End now, whatever is unwritten."""
        if self._transport is not None:
            self._transport.abort()

    def look(self) -> None:
        """Called by the wheel once a round: end what took too long."""
        if self._transport is None:
            return
        shared = self._shared
        wheel, now = shared.wheel, shared.wheel.tick
        wheel.schedule(HttpConnection.look, self, shared.round_s)
        if wheel.excused_s():  # the client may have spoken while this process was away
            return
        if self._lingering:
            if now - self._lingering >= shared.linger_ticks:
                self.cut()
        elif self._blocked:
            if now - self._blocked >= shared.request_ticks:
                self.cut()
        elif self._held or self._queued:
            return
        elif self._since:
            if now - self._since >= shared.request_ticks:
                self.fail("request_timeout")
        elif self._first == self._next and now - self._touched >= shared.idle_ticks:
            self._transport.close()

    # inside

    def _feed(self, data: bytes) -> None:
        self._feeding = True
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            if self._taking:  # else the request was answered as if it had not asked, as the last
                self.fail("bad_request")
        except HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, RequestRefused):
                log.error("request", exc_info=cause)
            self.fail(str(cause) if isinstance(cause, RequestRefused) else "internal")
        except HttpParserError:
            if self._taking:  # else it is about what came after the last request
                self.fail("bad_request")
        finally:
            self._feeding = False
        if self.in_head:
            self._unparsed += len(data)
            if self._unparsed > self._shared.header_max + SLICE_BYTES:
                self.fail("headers_too_large")

    def _end(self, transport: asyncio.Transport, response: bytes) -> None:
        """Write the last answer and close. After a fault the client may still be sending, and
        closing on unread input would destroy the answer. Then only our side is closed at first."""
        transport.write(closing(response))
        self._first = self._last + 1
        if not self._faulty or not transport.can_write_eof():
            transport.close()
            return
        self._lingering = self._shared.wheel.tick
        transport.write_eof()
        if self._held:
            transport.resume_reading()  # to throw away what comes, and to see the end

    def _hold(self) -> None:
        if not self._held and self._transport is not None:
            self._held = True
            self._transport.pause_reading()

    def _go_on(self) -> None:
        """Parse what was read before the hold. A write may pause and resume us from inside the
        parser, which must not be entered twice: whoever feeds it looks here again afterwards."""
        if self._blocked or self._feeding or self._transport is None:
            return
        if self._since:
            self._since = self._shared.wheel.tick  # the wait was ours
        self._parse_rest()

    def _parse_rest(self) -> None:
        while self._taking and self._rest and not self._blocked and not self._is_deep():
            data, self._rest = self._rest[:SLICE_BYTES], self._rest[SLICE_BYTES:]
            self._feed(data)
        if self._blocked or self._is_deep():
            self._hold()
        elif self._held and self._transport is not None:
            self._held = False
            self._transport.resume_reading()

    def _is_deep(self) -> bool:
        return self._next - self._first >= PIPELINE_MAX
