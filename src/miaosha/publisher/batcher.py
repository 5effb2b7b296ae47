"""Batcher: gathers accepted presses into batches, publishes them, and answers each press.

Batches form by themselves. The first press of a sale goes out at the end of the loop's pass. While
a batch is on its way to the broker, presses gather. Its confirm, or a full batch, lets the next one
go. There is no timer, and no task or future per press. A press is an index in its batch; the end of
the batch writes the answer.

A press by a user whose earlier press waits, or was confirmed a moment ago, gets that one's answer.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, MutableMapping, Sized
from typing import Final

import structlog
import uuid_utils

from miaosha.domain.errors import Fault, OutcomeUnknown, Overloaded
from miaosha.domain.messages import BATCH_VERSION, Batch
from miaosha.ports.broker import Broker
from miaosha.ports.clock import Clock
from miaosha.publisher.responses import PROBLEMS, Accepted
from miaosha.publisher.sale_queue import Asker, Gathering, SaleQueue
from miaosha.settings import Settings

log = structlog.get_logger()

PUBLISH_SLACK_S: Final = 1.0  # what a broker may take beyond its own confirm_timeout_ms
WARY_S: Final = 1.0  # after presses have waited too long: see `late`


class Batcher:
    """Publishes the presses of all sales, `publish_inflight_max` batches at a time at most.

    Args:
        counters: plain numbers this adds to (batches, accepted, publish_unknown, …).
        arrivals: its length is the number of connections that wait to be read.
    """

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        settings: Settings,
        counters: MutableMapping[str, float],
        arrivals: Sized,
    ) -> None:
        self._arrivals = arrivals
        self._broker = broker
        self._clock = clock
        self._counters = counters
        self._users_max = settings.batch_users_max
        self._inflight_max = settings.publish_inflight_max
        self._crowd = settings.batch_users_max * settings.publish_inflight_max
        self._late_s = settings.publish_late_ms / 1000
        self._window_s = settings.repeat_window_ms / 1000
        self._deadline_s = settings.confirm_timeout_ms / 1000 + PUBLISH_SLACK_S
        self._loop = asyncio.get_running_loop()
        self._round: deque[SaleQueue] = deque()
        self._scheduled = False
        self._closed = False
        self._wary_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._unanswered: dict[Gathering, None] = {}  # in the order in which they began
        self.waiting = 0  # presses without an answer yet

    def press(self, queue: SaleQueue, user_id: int, connection: Asker, number: int) -> None:
        """Queue a press; `connection` gets its answer when the batch is confirmed or failed."""
        gathering = queue.gathering
        queue.recent[user_id] = gathering
        gathering.user_ids.append(user_id)
        gathering.connections.append(connection)
        gathering.numbers.append(number)
        self.waiting += 1
        users = len(gathering.user_ids)
        if users == 1:
            gathering.began = self._clock.monotonic()
            self._unanswered[gathering] = None
        if users >= self._users_max:
            queue.full.append(gathering)
            queue.gathering = Gathering()
        elif queue.inflight:
            return
        if not queue.ready:
            self._enter(queue)

    def late(self) -> bool:
        """True: a press is refused, because it would only wait too long.

        A crowd is more presses than may be on their way at once. A burst may queue: a press is
        late once a crowd waits and its oldest press has waited for `publish_late_ms`. Then a flood
        is assumed until WARY_S have passed without a crowd. In a flood no crowd may wait for an
        answer, nor to be read. A broker that stalls while few presses wait is waited for.
        """
        waiting = self.waiting > self._crowd
        if not waiting and len(self._arrivals) <= self._crowd:
            return False
        now = self._clock.monotonic()
        if now >= self._wary_until:
            oldest = next(iter(self._unanswered), None)
            if not waiting or oldest is None or now - oldest.began <= self._late_s:
                return False
        self._wary_until = now + WARY_S
        return True

    def repeat(self, queue: SaleQueue, user_id: int, at_s: float) -> Gathering | None:
        """Returns the batch whose answer a press of this user shares; None: it must be queued.

        Args:
            at_s: now, in monotonic seconds.
        """
        gathering = queue.recent.get(user_id) or queue.older.get(user_id)
        if gathering is None or not gathering.over:
            return gathering
        if gathering.accepted and at_s - gathering.confirmed_at_s < self._window_s:
            return gathering
        return None

    def share(
        self, gathering: Gathering, user_id: int, connection: Asker, number: int
    ) -> bytes | None:
        """Returns the answer of `user_id` in that batch; None: it comes with the confirm."""
        index = gathering.user_ids.index(user_id)
        if gathering.accepted:
            self._counters["repeated"] += 1
            return gathering.accepted[index]
        gathering.shared.append((index, connection, number))
        self.waiting += 1
        return None

    async def drain(self) -> None:
        """Returns when nothing waits and nothing is under way."""
        while self._tasks or self._round or self._scheduled:
            if self._tasks:
                await asyncio.wait(self._tasks)
            else:
                await asyncio.sleep(0)

    async def abandon(self) -> None:
        """Give up what is under way and what waits: every press is answered `unavailable`."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        # What waits, and what was cancelled before its first step.
        for gathering in list(self._unanswered):
            self._finish(gathering, "", "unavailable")
        self._round.clear()

    def _enter(self, queue: SaleQueue) -> None:
        """Put the queue into the round, and send soon what may go."""
        if not queue.ready:
            queue.ready = True
            self._round.append(queue)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        """Let batches go, a sale at a time, while the broker may be given more."""
        self._scheduled = False
        while not self._closed and self._round and len(self._tasks) < self._inflight_max:
            queue = self._round.popleft()
            gathering = queue.take()
            if gathering is None:
                queue.ready = False
                continue
            self._round.append(queue)
            queue.inflight += 1
            task = self._loop.create_task(self._publish(queue, gathering))
            self._tasks.add(task)

    async def _publish(self, queue: SaleQueue, gathering: Gathering) -> None:
        """Publish one batch, let the next one go, and answer this one's presses."""
        batch_id = str(uuid_utils.uuid7())
        now_ms = self._clock.now_ms()
        batch = Batch(BATCH_VERSION, queue.sale_id, batch_id, now_ms, gathering.user_ids)
        started = self._clock.monotonic()
        code = await self._deliver(batch)
        self._counters["publish_ms"] += (self._clock.monotonic() - started) * 1000
        task = asyncio.current_task()
        assert task is not None
        self._tasks.discard(task)
        many = len(gathering.user_ids)
        log.debug(
            "published", sale_id=queue.sale_id, batch_id=batch_id, requests=many, refused=code
        )
        queue.inflight -= 1
        self._enter(queue)
        self._finish(gathering, batch_id, code)

    def _finish(self, gathering: Gathering, batch_id: str, code: str) -> None:
        """Answer every press that waits for this batch: accepted under its id, or refused."""
        gathering.over = True
        self._unanswered.pop(gathering, None)  # it may be empty
        self.waiting -= len(gathering.user_ids) + len(gathering.shared)
        if code:
            self._refuse(gathering, code)
        else:
            self._accept(gathering, batch_id)
        gathering.connections = []
        gathering.numbers = []
        gathering.shared = []

    async def _deliver(self, batch: Batch) -> str:
        """Hand the batch to the broker; "" once it is durable, else the code of the refusal."""
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._broker.publish(batch)
        except (OutcomeUnknown, TimeoutError, asyncio.CancelledError):
            self._counters["publish_unknown"] += 1
        except Overloaded:
            self._counters["publish_failed"] += 1
            return "overloaded"
        except Fault:
            self._counters["publish_failed"] += 1
        except Exception:
            self._counters["publish_unknown"] += 1
            log.exception("publish", sale_id=batch.sale_id, batch_id=batch.batch_id)
        else:
            return ""
        return "unavailable"

    def _accept(self, gathering: Gathering, batch_id: str) -> None:
        counters = self._counters
        counters["batches"] += 1
        counters["accepted"] += len(gathering.user_ids)
        counters["repeated"] += len(gathering.shared)
        gathering.confirmed_at_s = self._clock.monotonic()
        gathering.accepted = accepted = Accepted(batch_id)
        numbers = gathering.numbers
        waiting = enumerate(gathering.connections)
        while True:  # again only after one that could not be answered: the others are
            try:
                for index, connection in waiting:
                    connection.answer(numbers[index], accepted[index])
                break
            except Exception:
                log.exception("answer")
        self._tell((c, number, accepted[index]) for index, c, number in gathering.shared)

    def _refuse(self, gathering: Gathering, code: str) -> None:
        refusal = PROBLEMS[code]
        waiting = [*zip(gathering.connections, gathering.numbers, strict=True)]
        waiting += [(connection, number) for _, connection, number in gathering.shared]
        self._counters[f"refused_{code}"] += len(waiting)
        self._tell((connection, number, refusal) for connection, number in waiting)

    def _tell(self, answers: Iterable[tuple[Asker, int, bytes]]) -> None:
        for connection, number, response in answers:
            try:
                connection.answer(number, response)
            except Exception:
                log.exception("answer")
