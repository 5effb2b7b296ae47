"""Parked work: what waits for a person, one list and one way back. The broker keeps messages nobody
could decode; the outbox keeps mails that could not be sent.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from miaosha.ports.broker import Broker, Parked
from miaosha.ports.clock import Clock
from miaosha.ports.outbox import REDRIVE_MAX, Outbox, ParkedMail
from miaosha.ports.trail import Trail

MAIL_ID: Final = "mail-"  # before the number of an outbox row; no id of a broker begins so


class ParkedKind(StrEnum):
    MESSAGE = "message"
    MAIL = "mail"


class Item(NamedTuple):
    """`source` is the message's queue, or the mail's event. `mail` and `message`: one of them."""

    id: str
    kind: ParkedKind
    source: str
    reason: str
    parked_at_ms: int
    mail: ParkedMail | None = None
    message: Parked | None = None


class Counts(NamedTuple):
    messages: int
    mails: int


class Parking:
    def __init__(self, outbox: Outbox, broker: Broker, trail: Trail, clock: Clock) -> None:
        self._outbox = outbox
        self._broker = broker
        self._trail = trail
        self._clock = clock

    async def list(self, limit: int) -> list[Item]:
        """The newest of both, newest first."""
        items = [_message(one) for one in await self._broker.parked(limit)]
        items += [_mail(one) for one in await self._outbox.parked(limit)]
        items.sort(key=lambda item: item.parked_at_ms, reverse=True)
        return items[:limit]

    async def counts(self) -> Counts:
        return Counts(await self._broker.count_parked(), await self._outbox.count_parked())

    async def redrive(self, actor: str, item_id: str) -> bool:
        """Back into its queue, once: a mail is sent again under its old Message-ID, with all its
        attempts before it. False if nothing is parked under this id.

        Raises:
            Problem: conflict, if a message cannot go back.
        """
        if item_id.startswith(MAIL_ID):
            number = item_id.removeprefix(MAIL_ID)
            known = number.isascii() and number.isdigit() and len(number) < 19
            ids = [int(number)] if known else []
            done = bool(await self._outbox.redrive(ids, self._clock.now_ms()))
        else:
            done = await self._broker.redrive(item_id)
        if done:
            await self._note(actor, "parked.redrive", f"parked:{item_id}"[:80], {})
        return done

    async def redrive_mails(self, actor: str) -> int:
        """All mails that are parked now are sent again; returns how many."""
        left, sent = await self._outbox.count_parked(), 0
        while left > 0:
            mails = await self._outbox.parked(REDRIVE_MAX)
            ids = sorted(mail.id for mail in mails)
            moved = await self._outbox.redrive(ids, self._clock.now_ms())
            sent += len(moved)
            left -= len(ids) or left  # what is parked meanwhile is another day's
        if sent:
            await self._note(actor, "parked.redrive", "parked:mails", {"mails": sent})
        return sent

    async def _note(self, actor: str, action: str, subject: str, detail: dict[str, int]) -> None:
        await self._trail.append(self._clock.now_ms(), actor, action, subject, detail)


def _message(parked: Parked) -> Item:
    return Item(
        parked.id,
        ParkedKind.MESSAGE,
        parked.queue,
        parked.reason,
        parked.parked_at_ms,
        message=parked,
    )


def _mail(mail: ParkedMail) -> Item:
    return Item(
        f"{MAIL_ID}{mail.id}",
        ParkedKind.MAIL,
        mail.event,
        mail.reason,
        mail.parked_at_ms,
        mail=mail,
    )
