"""Intake: judges one purchase request whose framing is sound, by checks in a fixed order.

401, 404, 503 frozen, 409, 429, 400 body, 403. Then a user who was accepted a moment ago gets the
same 202 again. Then 410, and 503 overloaded. A press that passes them all is queued. While the
batcher is late, 503 comes before everything: every other check would make all presses wait.
Intake knows nothing of sockets.
"""

import re
from collections.abc import MutableMapping
from typing import Final

import msgspec

from miaosha.domain.errors import Problem
from miaosha.ports.clock import Clock
from miaosha.ports.tokens import AccessVerifier
from miaosha.publisher.batcher import Batcher
from miaosha.publisher.live_sales import LiveSale, LiveSales
from miaosha.publisher.responses import PROBLEMS
from miaosha.publisher.sale_queue import Asker
from miaosha.serving.buckets import Buckets
from miaosha.serving.http_response import problem
from miaosha.settings import Settings

FIELD_SHOWN_MAX: Final = 64
_NAMED_FIELD: Final = re.compile(r"field `(.*)`")


class PressBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a purchase: the key of the chosen answer."""

    answer: str


class Intake:
    """Decides about presses by what this process knows; never does I/O.

    Args:
        question_key: the key `Sale.question_for` uses.
        counters: plain numbers this adds to (refused_<code>, …).
    """

    def __init__(
        self,
        board: LiveSales,
        batcher: Batcher,
        tokens: AccessVerifier,
        clock: Clock,
        question_key: bytes,
        settings: Settings,
        counters: MutableMapping[str, float],
    ) -> None:
        self._board = board
        self._batcher = batcher
        self._verify = tokens.verify
        self._now_ms = clock.now_ms
        self._monotonic = clock.monotonic
        self._question_key = question_key
        self._waiting_max = settings.publish_waiting_max
        self._presses: Buckets[int] = Buckets(1 / settings.press_rate_per_s, settings.press_burst)
        wrong = settings.wrong_answers_per_s
        self._wrong: Buckets[int] = Buckets(1 / wrong, wrong)
        self._decode = msgspec.json.Decoder(PressBody).decode
        self._counters = counters

    def press(
        self,
        live: LiveSale | None,
        token: bytes | None,
        body: bytes,
        connection: Asker,
        number: int,
    ) -> bytes | None:
        """Returns the answer to a press; None: `connection` gets it later.

        Args:
            live: the sale, or None if there is no such sale.
            token: the access token, or None without one.
            number: the request's number on its connection.
        """
        if self._batcher.late():
            return self._refuse("overloaded")
        now_ms = self._now_ms()
        if token is None:
            return self._refuse("unauthorized")
        try:
            user_id = self._verify(token, now_ms // 1000).user_id
        except Problem:
            return self._refuse("unauthorized")
        if live is None:
            return self._refuse("not_found" if self._board.known else "frozen")
        if not live.open_from_ms <= now_ms < live.open_until_ms:
            return self._refuse(live.refusal(now_ms))
        at_s = self._monotonic()  # a rate is counted by a clock that nobody sets
        if not self._presses.take(user_id, at_s) or self._wrong.is_empty(user_id, at_s):
            return self._refuse("rate_limited")
        try:
            answer = self._decode(body).answer
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return self._refuse_body(error)
        if answer != self._right_answer(live, user_id):
            self._wrong.take(user_id, at_s)
            return self._refuse("wrong_answer")
        return self._queue(live, user_id, at_s, connection, number)

    def _queue(
        self, live: LiveSale, user_id: int, at_s: float, connection: Asker, number: int
    ) -> bytes | None:
        batcher = self._batcher
        pressed = batcher.repeat(live.queue, user_id, at_s)
        if pressed is not None:
            if pressed.over or batcher.waiting < self._waiting_max:
                return batcher.share(pressed, user_id, connection, number)
            return self._refuse("overloaded")
        if live.sold_out and at_s < live.usable_until:
            return self._refuse("sold_out")
        if live.full or batcher.waiting >= self._waiting_max:
            return self._refuse("overloaded")
        batcher.press(live.queue, user_id, connection, number)
        return None

    def _right_answer(self, live: LiveSale, user_id: int) -> str:
        questions = live.sale.questions
        if len(questions) == 1:
            return questions[0].answer
        return live.sale.question_for(self._question_key, user_id).answer

    def _refuse(self, code: str) -> bytes:
        self._counters["refused_" + code] += 1
        return PROBLEMS[code]

    def _refuse_body(self, error: Exception) -> bytes:
        """400 naming the field, where there is one to name."""
        self._counters["refused_bad_request"] += 1
        if not isinstance(error, msgspec.ValidationError):
            return problem("bad_request", "The body is not valid JSON.")
        text = str(error)
        named = _NAMED_FIELD.search(text)
        if named is not None:
            field = named[1][:FIELD_SHOWN_MAX]
            missing = "missing" in text.partition("`")[0]
            return problem(
                "bad_request",
                f"The field {field} is missing." if missing else f"Unknown field {field}.",
                field=field,
            )
        if "$.answer" in text:
            return problem("bad_request", "The answer must be a text.", field="answer")
        return problem("bad_request", 'The body must be an object such as {"answer": "A"}.')
