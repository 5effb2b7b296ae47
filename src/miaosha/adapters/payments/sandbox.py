"""Sandbox: a payment provider with test cards; every process shares its state in SQL.

It behaves as a real provider would, and is reached only through the Payments port. One key is
charged at most once. Every change is a compare-and-set, and what `void` answered stays so. Of a
card only its behaviour is kept, never the number.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, bindparam, or_, select, update

from miaosha.adapters.sql.database import AnyRow, Bulk, Database
from miaosha.adapters.sql.inserts import insert_ignoring
from miaosha.adapters.sql.tables import sandbox_charges as charges
from miaosha.domain.errors import OutcomeUnknown, Problem
from miaosha.domain.money import Money
from miaosha.ports.clock import Clock
from miaosha.ports.payments import Card, Charge, ChargeState

ACCEPTED, REFUSED, SLOW, LOST, REDIRECT = "accepted", "refused", "slow", "lost", "redirect"
CARDS: Mapping[str, str] = MappingProxyType(
    {
        "4242424242424242": ACCEPTED,
        "4000000000000002": REFUSED,
        "4000000000000077": SLOW,
        "4000000000000119": LOST,
        "4000000000003220": REDIRECT,
    }
)
STATES = {  # of a new charge, by what the card does; a slow one is charged once it is ready
    ACCEPTED: ChargeState.CHARGED,
    REFUSED: ChargeState.REFUSED,
    SLOW: ChargeState.PENDING,
    LOST: ChargeState.CHARGED,
    REDIRECT: ChargeState.ACTION,
}
SLOW_MS = 10_000
POLL_S = 0.25  # between looks at a slow charge: another process may void it


class Webhook(msgspec.Struct, frozen=True):
    """What the sandbox tells of a key; `state` is news, `lookup` is the truth."""

    key: str
    state: str


class Approval(NamedTuple):
    """What the redirect page shows and where it leads back to."""

    key: str
    state: ChargeState
    amount: Money
    return_url: str


class SandboxPayments:
    """The sandbox (`ports.payments.Payments`) and what its redirect page calls.

    Args:
        webhook_secret: at least 32 bytes; signs webhooks (HMAC-SHA256, hex).
        page_url: where the redirect page is served; a charge's secret is appended after a slash.
        slow_ms: how long the slow card takes.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        webhook_secret: bytes,
        page_url: str,
        *,
        slow_ms: int = SLOW_MS,
    ) -> None:
        assert len(webhook_secret) >= 32
        self._db = db
        self._clock = clock
        self._webhook_secret = webhook_secret
        self._page_url = page_url.rstrip("/")
        self._slow_ms = slow_ms

    # the port

    async def charge(self, key: str, amount: Money, card: Card, return_url: str) -> Charge:
        behaviour = CARDS.get(card.number, REFUSED)
        reason = None
        if behaviour is REFUSED:
            reason = "card_declined" if card.number in CARDS else "unknown_card"
        row, first = await self._insert(
            key,
            state=STATES[behaviour],
            amount=amount.amount,
            currency=amount.currency,
            behaviour=behaviour,
            reason=reason,
            return_url=return_url,
        )
        if first and behaviour == LOST:
            raise OutcomeUnknown("sandbox: the answer to this charge was lost, as its card asks")
        while row.state == ChargeState.PENDING:
            await asyncio.sleep(POLL_S)
            row = await self._advanced(key)
        return self._charge(row)

    async def lookup(self, key: str) -> Charge:
        row = await self._db.read(lambda connection: _read(connection, key))
        if row is not None and row.state == ChargeState.PENDING:
            row = await self._advanced(key)
        return Charge(ChargeState.NONE) if row is None else self._charge(row)

    async def void(self, key: str) -> Charge:
        now_ms = self._clock.now_ms()
        await self._insert(
            key,
            state=ChargeState.VOIDED,
            amount=0,
            currency="XXX",
            behaviour=REFUSED,
            reason=None,
            return_url="",
        )
        undecided = or_(
            charges.c.state == ChargeState.ACTION,
            and_(charges.c.state == ChargeState.PENDING, charges.c.ready_at_ms > now_ms),
        )
        await self._move(key, undecided, ChargeState.VOIDED)
        return self._charge(await self._advanced(key))

    async def refund(self, key: str) -> Charge:
        """A key that was not charged stays what it is."""
        await self._move(key, charges.c.state == ChargeState.CHARGED, ChargeState.REFUNDED)
        return await self.lookup(key)

    def verify_webhook(self, body: bytes, signature: str) -> str:
        expected = self._sign(body)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            raise Problem("unauthorized", "the signature of this webhook is wrong")
        try:
            return msgspec.json.decode(body, type=Webhook).key
        except msgspec.DecodeError:
            raise Problem("bad_request", "not a webhook of the sandbox") from None

    # the provider's side

    async def webhook(self, key: str) -> tuple[bytes, str]:
        """(body, signature) of a webhook that tells the state of `key` now."""
        charge = await self.lookup(key)
        body = msgspec.json.encode(Webhook(key, charge.state))
        return body, self._sign(body)

    async def approval(self, secret: str) -> Approval | None:
        """What the redirect page with this secret in its address shows; None if there is none."""
        query = select(charges).where(charges.c.secret == secret)
        row = await self._db.read(lambda connection: connection.execute(query).first())
        if row is None or row.behaviour != REDIRECT:
            return None
        amount = Money(row.amount, row.currency)
        return Approval(row.key, ChargeState(row.state), amount, row.return_url)

    async def answer(self, secret: str, *, approve: bool) -> Approval | None:
        """The buyer approves or declines on the redirect page. The first answer counts, and none
        after a void; returns how the charge stands now."""
        shown = await self.approval(secret)
        if shown is None:
            return None
        state = ChargeState.CHARGED if approve else ChargeState.REFUSED
        reason = None if approve else "declined_by_buyer"
        await self._move(shown.key, charges.c.state == ChargeState.ACTION, state, reason=reason)
        return await self.approval(secret)

    # rows

    async def _insert(self, key: str, **values: Any) -> tuple[AnyRow, bool]:
        """(the row of `key` as it is now, whether this call made it)."""
        now_ms = self._clock.now_ms()
        secret = secrets.token_urlsafe(32)
        row = {
            "key": key,
            "secret": secret,
            "ready_at_ms": now_ms + self._slow_ms,
            "created_at_ms": now_ms,
            "changed_at_ms": now_ms,
            **values,
        }

        found = await self._db.write_one(INSERT, row)
        return found, found.secret == secret

    async def _move(
        self, key: str, when: ColumnElement[bool], state: ChargeState, *, reason: str | None = None
    ) -> None:
        statement = (
            update(charges)
            .where(charges.c.key == key, when)
            .values(state=state, reason=reason, changed_at_ms=self._clock.now_ms())
        )
        await self._db.write(lambda connection: connection.execute(statement))

    async def _advanced(self, key: str) -> AnyRow:
        """The row, a slow charge that is ready by now charged."""
        now_ms = self._clock.now_ms()
        statement = (
            update(charges)
            .where(charges.c.key == key, charges.c.state == ChargeState.PENDING)
            .where(charges.c.ready_at_ms <= now_ms)
            .values(state=ChargeState.CHARGED, changed_at_ms=now_ms)
        )

        def unit(connection: Connection) -> AnyRow:
            connection.execute(statement)
            row = _read(connection, key)
            assert row is not None
            return row

        return await self._db.write(unit)

    def _charge(self, row: AnyRow) -> Charge:
        state = ChargeState(row.state)
        redirect = f"{self._page_url}/{row.secret}" if state is ChargeState.ACTION else ""
        return Charge(state, redirect, row.reason or "")

    def _sign(self, body: bytes) -> str:
        return hmac.new(self._webhook_secret, body, hashlib.sha256).hexdigest()


_BY_KEY = select(charges).where(charges.c.key.in_(bindparam("keys", expanding=True)))


def _insert(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[AnyRow]:
    """Rows that are there already stay. Answers them as they are now."""
    insert_ignoring(connection, charges, rows)
    known = connection.execute(_BY_KEY, {"keys": [row["key"] for row in rows]})
    found = {row.key: row for row in known}
    return [found[row["key"]] for row in rows]


INSERT = Bulk(_insert, key=lambda row: row["key"])


def _read(connection: Connection, key: str) -> AnyRow | None:
    return connection.execute(select(charges).where(charges.c.key == key)).first()
