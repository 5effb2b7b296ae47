"""Mail group: mails handled at once and acknowledged together, as adapters/rabbitmq/broker does."""

import asyncio
from collections.abc import Sequence
from typing import Final

from miaosha.domain.messages import MailJob
from miaosha.ports.broker import MailHandler

MAILS_AT_ONCE: Final = 8


class MailGroup:
    """Handles a group; those of it that are done are not handled again when the group is."""

    def __init__(self, handler: MailHandler) -> None:
        self._handler = handler
        self._group: Sequence[MailJob] = ()
        self._handled: list[MailJob] = []

    async def __call__(self, jobs: Sequence[MailJob]) -> None:
        if jobs is not self._group:
            self._group = jobs
            self._handled = []
        left = [job for job in dict.fromkeys(jobs) if job not in self._handled]
        answers = await asyncio.gather(*map(self._one, left), return_exceptions=True)
        for error in answers:
            if error is not None:
                raise error

    async def _one(self, job: MailJob) -> None:
        await self._handler(job)
        self._handled.append(job)
