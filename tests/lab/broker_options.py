"""Broker options: limits of a client of the laboratory's broker, and how it reads a batch."""

from collections.abc import Callable
from typing import NamedTuple

from miaosha.domain.messages import Batch, MalformedMessage, decode_batch


class BrokerOptions(NamedTuple):
    """See LabBroker; `mail_max` is asked each time."""

    backlog_max: int
    log_max_bytes: int
    prefetch: int
    reclaim_after_ms: int
    settle_s: float
    mail_max: Callable[[], int]

    def is_full(self, backlog: int, log_bytes: int) -> bool:
        return backlog > self.backlog_max or log_bytes > self.log_max_bytes


def batch_of(sale_id: int, raw: bytes) -> Batch:
    """Raises MalformedMessage, also for a batch of another sale."""
    batch = decode_batch(raw)
    if batch.sale_id != sale_id:
        raise MalformedMessage(f"a batch of sale {batch.sale_id}")
    return batch
