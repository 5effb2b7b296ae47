"""Broker port: accepted requests, their log, reminders, the mail queue, parked messages.

Delivery is at least once, in order per sale as long as one consumer lives; handlers must be
idempotent. One queue and one log per sale: a paused sale never holds up another.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from miaosha.domain.messages import Batch, MailJob


class Pressure(NamedTuple):
    """How full a sale's queue is. `backlog`: batches not yet acknowledged; `log_bytes`: the size
    of its log; `full`: over one of the limits `backlog_max`, `log_max_bytes`; `oldest_ms`: age of
    the oldest batch not acknowledged, 0 if none."""

    backlog: int
    log_bytes: int
    full: bool
    oldest_ms: int = 0


class Reminder(NamedTuple):
    sale_id: int
    rid: str


class Parked(NamedTuple):
    """A message nobody could decode or handle. `queue` says where it came from."""

    id: str
    queue: str
    reason: str
    parked_at_ms: int
    raw: bytes


BatchHandler = Callable[[Sequence[Batch]], Awaitable[None]]
ReminderHandler = Callable[[Sequence[Reminder]], Awaitable[None]]
MailHandler = Callable[[MailJob], Awaitable[None]]


class Broker(Protocol):
    async def ping(self) -> None:
        """Raises DependencyDown."""

    async def open(self, sale_id: int) -> None:
        """Make the sale's queue and log. Idempotent."""

    async def publish(self, batch: Batch) -> None:
        """Returns after the broker has the batch durably.

        Raises:
            OutcomeUnknown: no confirm within `confirm_timeout_ms`; it may or may not be there.
            DependencyDown: it is not there.
            Overloaded: the broker refused it; it is not there.
        """

    async def consume(self, sale_id: int, consumer: str, handler: BatchHandler) -> None:
        """Deliver batches until cancelled. What this consumer (by name) left unacknowledged comes
        first, then new ones. A dead consumer's come once idle for `reclaim_after_ms`. A group (≤
        `prefetch` batches, in order) is acknowledged after the handler returned. If it raises,
        nothing is acknowledged and the group comes again after a pause. An undecodable message is
        parked and acknowledged. A broker that is away is waited for. Returns when the sale's queue
        was dropped."""

    async def replay(self, sale_id: int, until_batch_id: str) -> AsyncIterator[Batch]:
        """The sale's log in order, up to and without the marker batch `until_batch_id`."""
        yield  # type: ignore[misc]

    async def pressure(self, sale_id: int) -> Pressure:
        """backlog 0 means: everything published before this call is acknowledged."""

    async def full(self, sale_ids: Sequence[int]) -> set[int]:
        """Those of these sales whose queue or log is over its limit. What consumers have in hand
        may be left out. Cheap enough to be asked each second."""

    async def drop(self, sale_id: int) -> None:
        """Delete the sale's queue and log. Idempotent."""

    async def remind(self, reminders: Sequence[Reminder], after_s: float) -> None:
        """Deliver each reminder once or more, not before `after_s` seconds from now. A loss is
        tolerated: the sweep finds the same holds."""

    async def reminders(self, handler: ReminderHandler) -> None:
        """Deliver due reminders until cancelled; removed after the handler returned."""

    async def send_mail(self, jobs: Sequence[MailJob]) -> None:
        """Queue mails durably."""

    async def mails(self, consumer: str, handler: MailHandler) -> None:
        """Deliver mail jobs until cancelled, as `consume` does."""

    async def parked(self, limit: int = 100) -> list[Parked]:
        """The newest, newest first."""

    async def count_parked(self) -> int:
        """How many messages are parked."""

    async def redrive(self, parked_id: str) -> bool:
        """Put a parked message back at the end of its queue, once. False if it is not parked."""

    async def close(self) -> None:
        """Close the connections; nothing works afterwards."""
