"""Messages: what travels between roles, as frozen msgspec structs with their encodings.

A request's id is `batch_id.index`; batch ids are UUIDv7, so ids of one publisher sort by time.
"""

from collections.abc import Sequence

import msgspec

from miaosha.domain.reservation import State
from miaosha.domain.sale import QuestionView, SaleView

BATCH_USERS_MAX = 512  # requests in one batch at most: one decide script
BATCH_VERSION = 1


class MalformedMessage(ValueError):
    """A message that cannot be decoded; it is parked, never retried."""


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Accepted purchase requests of one sale, as one durable message.

    A batch without users is a marker: it decides nothing (a rebuild replays the log up to one).

    Attributes:
        v: BATCH_VERSION; another version is malformed.
        accepted_at_ms: Unix ms, store clock, when the publisher closed the batch.
    """

    v: int
    sale_id: int
    batch_id: str
    accepted_at_ms: int
    user_ids: list[int]

    def rid(self, index: int) -> str:
        return f"{self.batch_id}.{index}"


_encoder = msgspec.msgpack.Encoder()
_batch_decoder = msgspec.msgpack.Decoder(Batch)


def encode_batch(batch: Batch) -> bytes:
    return _encoder.encode(batch)


def decode_batch(raw: bytes) -> Batch:
    """Raises MalformedMessage for anything but a Batch of this version within its limit."""
    try:
        batch = _batch_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedMessage(str(error)) from error
    if batch.v != BATCH_VERSION:
        raise MalformedMessage(f"version {batch.v}, expected {BATCH_VERSION}")
    if len(batch.user_ids) > BATCH_USERS_MAX:
        raise MalformedMessage(f"{len(batch.user_ids)} users, at most {BATCH_USERS_MAX}")
    return batch


def split_rid(rid: str) -> tuple[str, int]:
    """`batch_id.index` → (batch_id, index). Raises ValueError if it is not one."""
    batch_id, dot, index = rid.rpartition(".")
    if not dot or not batch_id or not index.isascii() or not index.isdigit() or len(index) > 3:
        raise ValueError(f"not a request id: {rid[:80]!r}")
    return batch_id, int(index)


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """Socket.IO event `result`: what became of a request, or of the place it won.

    `request_id` is the place's rid where there is a place (held, standby, paid…), else the
    request's own. `version` rises with every change of the place; 0 without a place.
    """

    sale_id: int
    user_id: int
    request_id: str
    state: State
    version: int
    pay_by_ms: int | None = None
    checkout_token: str | None = None
    position: int | None = None
    extended: bool = False  # the hold has had its extra time to pay


class Standby(msgspec.Struct, frozen=True):
    """Socket.IO event `standby`: a buyer's position in the line (1 is the head)."""

    sale_id: int
    user_id: int
    position: int
    version: int


class Results(msgspec.Struct, frozen=True, tag="results"):
    items: list[Result]


class Positions(msgspec.Struct, frozen=True, tag="positions"):
    items: list[Standby]


class SaleChanged(msgspec.Struct, frozen=True, tag="sale"):
    """A sale's terms or phase changed: gateways send the view to everybody who watches it."""

    sale: SaleView


class BusPing(msgspec.Struct, frozen=True, tag="ping"):
    """A subscriber's own heartbeat through the bus: not seen for three periods → resubscribe."""

    origin: str
    sent_ms: int


BusMessage = Results | Positions | SaleChanged | BusPing

_bus_decoder = msgspec.msgpack.Decoder(BusMessage)


def encode_bus(message: BusMessage) -> bytes:
    return _encoder.encode(message)


def decode_bus(raw: bytes) -> BusMessage:
    try:
        message: BusMessage = _bus_decoder.decode(raw)
        return message
    except msgspec.DecodeError as error:
        raise MalformedMessage(str(error)) from error


class MailJob(msgspec.Struct, frozen=True):
    """One mail to send; holds no address, the mailer reads that from SQL by the outbox id."""

    outbox_id: int
    dedupe_key: str


def decode_mail(raw: bytes) -> MailJob:
    """Raises MalformedMessage."""
    try:
        return msgspec.msgpack.decode(raw, type=MailJob)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedMessage(str(error)) from error


class Watched(msgspec.Struct, frozen=True, omit_defaults=True):
    """Acknowledgement of `watch`."""

    ok: bool
    sale: SaleView
    question: QuestionView | None = None


def rids(batch: Batch) -> Sequence[str]:
    return [batch.rid(i) for i in range(len(batch.user_ids))]
