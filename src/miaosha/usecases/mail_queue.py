"""Mail queue: outbox rows → the mail queue → a sent mail, one per event.

The outbox row is written in the transaction of what it tells. The queue may deliver a job twice;
the row's state and the mail's stable Message-ID keep the buyer from reading it twice.
"""

from collections.abc import MutableMapping

import structlog

from miaosha.domain.errors import MiaoshaError, Problem
from miaosha.domain.messages import MailJob
from miaosha.ports.broker import Broker
from miaosha.ports.clock import Clock
from miaosha.ports.mail import Mailer
from miaosha.ports.outbox import PUT_OFF_MAX_MS, Outbox
from miaosha.usecases.notify import compose

RELAY_MAX = 256
REMEMBERED_MAX = 10_000  # mails that this process sent
RETRY_FIRST_MS = 1_000
RETRY_GROWTH = 4  # with the usual eight attempts a mail server may be away for 25 minutes

log = structlog.get_logger()


class MailQueue:
    """Args: attempts_max: tries before a mail is parked."""

    def __init__(
        self,
        outbox: Outbox,
        broker: Broker,
        mailer: Mailer | None,
        clock: Clock,
        attempts_max: int,
        public_url: str,
        counters: MutableMapping[str, float],
    ) -> None:
        self._outbox = outbox
        self._broker = broker
        self._mailer = mailer
        self._clock = clock
        self._attempts_max = attempts_max
        self._public_url = public_url
        self._counters = counters
        self._sent: dict[int, None] = {}  # by this process, the newest last

    async def relay(self) -> int:
        """Queue new and retried outbox rows; returns how many. Queueing one twice is harmless."""
        items = await self._outbox.due(self._clock.now_ms(), RELAY_MAX)
        if items:
            await self._broker.send_mail([MailJob(item.id, item.dedupe_key) for item in items])
            await self._outbox.mark_queued([item.id for item in items], self._clock.now_ms())
        return len(items)

    async def deliver(self, job: MailJob) -> None:
        """Send one mail unless it was sent or parked. Whatever keeps it from being sent means
        later, and parked in the end: one mail never stands in the way of the others.

        Raises:
            Fault: the ledger is away; the job comes again.
        """
        assert self._mailer is not None
        found = await self._outbox.item(job.outbox_id)
        if found is None or found[0].state in ("sent", "parked"):
            return
        item, recipient = found
        if not recipient.email:  # a token outlived its account: nobody to write to
            await self._later(job, None, Problem("not_found", "The account is gone."))
            return
        try:
            if item.id not in self._sent:
                await self._mailer.send(compose(item, recipient, self._public_url))
                self._remember(item.id)
        except Problem as error:
            await self._later(job, None, error)
        except Exception as error:  # the mail server is away, or a mail nobody thought of
            last = item.attempts + 1 >= self._attempts_max
            delay_ms = min(PUT_OFF_MAX_MS, RETRY_FIRST_MS * RETRY_GROWTH**item.attempts)
            await self._later(job, None if last else self._clock.now_ms() + delay_ms, error)
        else:
            self._counters["sent"] += await self._outbox.mark_sent(item.id, self._clock.now_ms())

    def _remember(self, outbox_id: int) -> None:
        """While SQL cannot be told that a mail was sent, its job comes again and again."""
        self._sent[outbox_id] = None
        while len(self._sent) > REMEMBERED_MAX:
            del self._sent[next(iter(self._sent))]

    async def _later(self, job: MailJob, retry_at_ms: int | None, error: Exception) -> None:
        self._counters["parked" if retry_at_ms is None else "retried"] += 1
        # Our own errors name no person; what others say may name the recipient.
        reason = str(error) if isinstance(error, MiaoshaError) else type(error).__name__
        log.warning("mail_failed", outbox=job.outbox_id, parked=retry_at_ms is None, reason=reason)
        await self._outbox.mark_failed(job.outbox_id, self._clock.now_ms(), retry_at_ms, reason)
