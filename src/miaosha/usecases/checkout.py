"""Checkout: pin the hold (HELD → PAYING), charge, then PAYING → PAID in one transaction.

Late payment against expiry is decided by one conditional UPDATE: whichever comes first wins, no
clock does. The provider is asked with the key `rid:attempt`; an unknown answer is looked up, never
assumed; money without a unit is given back.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import structlog

from miaosha.domain.errors import DependencyDown, Fault, OutcomeUnknown, Problem
from miaosha.domain.fields import plain_line, plain_text
from miaosha.domain.reservation import HoldState
from miaosha.domain.typed import card_code, card_expiry, card_number, phone_number
from miaosha.ports.attempts import Attempt, Attempts, BegunAttempt, NotPayable, attempt_key
from miaosha.ports.clock import StepClock, surely_ms
from miaosha.ports.holds import Hold, Holds
from miaosha.ports.orders import Delivery, Order, Orders
from miaosha.ports.payments import Card, Charge, ChargeState, Payments
from miaosha.ports.tokens import CheckoutClaim, Tokens
from miaosha.usecases.announce import Announcer
from miaosha.usecases.coalesce import Coalescer
from miaosha.usecases.release import Release
from miaosha.usecases.retry_unknown import retry_unknown

NAME_MAX: Final = 120
ADDRESS_MAX: Final = 500

log = structlog.get_logger()


class Paid(NamedTuple):
    order: Order
    repeated: bool  # the order existed before this call


class NeedsAction(NamedTuple):
    redirect_url: str


def card_of(number: str, expiry: str, cvc: str) -> Card:
    """The card that was typed.

    Raises:
        Problem: bad_request naming the field and what would be right.
    """
    return Card(
        _read(card_number(number), "payment.card", "12 to 19 digits"),
        _read(card_expiry(expiry), "payment.expiry", "month and year like 12/30"),
        _read(card_code(cvc), "payment.cvc", "3 or 4 digits"),
    )


def delivery_of(name: str, phone: str, address: str) -> Delivery:
    """Where the goods go. Raises Problem as `card_of` does."""
    lines = plain_text(address, "address", ADDRESS_MAX)
    return Delivery(
        name=plain_line(name, "name", NAME_MAX),
        phone=_read(phone_number(phone), "phone", "a phone number like +886 2 2345 6789 #12"),
        address=_read(lines or None, "address", f"1 to {ADDRESS_MAX} characters"),
    )


def _read(value: str | None, field: str, right: str) -> str:
    if value is None:
        raise Problem("bad_request", f"Expected {right}.", field=field)
    return value


class Checkout:
    def __init__(
        self,
        holds: Holds,
        attempts: Attempts,
        orders: Orders,
        payments: Payments,
        tokens: Tokens,
        release: Release,
        announcer: Announcer,
        clock: StepClock,
    ) -> None:
        self._holds = holds
        self._attempts = attempts
        self._orders = orders
        self._payments = payments
        self._tokens = tokens
        self._release = release
        self._announcer = announcer
        self._clock = clock
        self._pushing = Coalescer(self._push)
        self._telling = Coalescer(self._tell)

    async def pay(
        self,
        sale_id: int,
        user_id: int,
        checkout_token: str,
        card: Card,
        delivery: Delivery,
        return_url: str,
    ) -> Paid | NeedsAction:
        """Charge the buyer for the hold the token names. A repeat returns the same order.

        Args:
            return_url: where the provider sends the buyer after a redirect.

        Raises:
            Problem: unauthorized (a foreign or garbled token), hold_expired, payment_in_progress,
                payment_refused.
            OutcomeUnknown, DependencyDown: ask again; the hold stays pinned until it is known.
        """
        claim = self._tokens.verify_checkout(checkout_token, self._clock.now_ms())
        if claim.user_id != user_id or claim.sale_id != sale_id:
            raise Problem("unauthorized", "This checkout token belongs to somebody else.")
        if claim.expired:  # the owner of what is paid gets the order even so
            if order := await self._orders.by_rid(claim.rid, user_id):
                return Paid(order, repeated=True)
            raise Problem("hold_expired")
        attempt = await self._pin(claim, delivery)
        if attempt is None:
            return Paid(await self._other_attempt(claim), repeated=True)
        try:
            charge = await self._payments.charge(attempt.key, attempt.amount, card, return_url)
        except OutcomeUnknown:
            charge = await self._payments.lookup(attempt.key)
        except DependencyDown:
            await self._give_back(attempt, await self._payments.void(attempt.key))
            raise
        return await self._conclude(attempt, charge)

    async def _pin(self, claim: CheckoutClaim, delivery: Delivery) -> Attempt | None:
        """None: another attempt has the hold."""
        now_ms = self._clock.now_ms()
        try:
            pinned = await self._attempts.begin(claim.rid, claim.user_id, delivery, now_ms)
        except OutcomeUnknown:
            if (begun := await self._begun(claim, now_ms)) is None:
                raise
            pinned = begun
        match pinned:
            case BegunAttempt():
                await self._pushing.add(None, pinned.hold)
                return pinned.attempt
            case NotPayable.PAYING | NotPayable.PAID:
                return None
            case NotPayable.RELEASED:
                raise Problem("hold_expired")
            case NotPayable.UNKNOWN:
                raise Problem("hold_expired", "This reservation is not known.")

    async def _begun(self, claim: CheckoutClaim, at_ms: int) -> BegunAttempt | None:
        """The attempt begun at that instant or later, if there is one. Were it another request's,
        both would charge by one key, hence once, and get one order."""
        hold = (await self._holds.by_rid([claim.rid])).get(claim.rid)
        if hold is None or hold.state is not HoldState.PAYING:
            return None
        if (hold.paying_since_ms or 0) < at_ms:
            return None
        attempt = await self._attempts.by_key(attempt_key(hold.rid, hold.attempt))
        return BegunAttempt(attempt, hold) if attempt else None

    async def _other_attempt(self, claim: CheckoutClaim) -> Order:
        """The order of an attempt that charged and whose process then died, or lost SQL's answer. A
        buyer who asks again need not wait until the scheduler finds it."""
        hold = (await self._holds.by_rid([claim.rid])).get(claim.rid)
        if hold is not None and hold.state is HoldState.PAYING:
            await self.complete(attempt_key(hold.rid, hold.attempt))
        if order := await self._orders.by_rid(claim.rid, claim.user_id):
            return order
        raise Problem("payment_in_progress", retry_after_s=1)

    async def _conclude(self, attempt: Attempt, charge: Charge) -> Paid | NeedsAction:
        match charge.state:
            case ChargeState.CHARGED:
                if order := await self._capture(attempt):
                    return Paid(order, repeated=False)
                raise Problem("hold_expired", "The payment came too late and was given back.")
            case ChargeState.ACTION:
                return NeedsAction(charge.redirect_url)
            case ChargeState.REFUSED | ChargeState.VOIDED | ChargeState.REFUNDED:
                await self._give_back(attempt, charge)
                raise Problem("payment_refused", charge.reason)
            case ChargeState.PENDING | ChargeState.NONE:
                raise Problem("payment_in_progress", retry_after_s=1)

    async def _capture(self, attempt: Attempt) -> Order | None:
        """PAYING → PAID; None if this attempt does not own the hold any more: money goes back."""
        now_ms = self._clock.now_ms()
        captured = await retry_unknown(
            lambda: self._attempts.capture(attempt.rid, attempt.attempt, now_ms)
        )
        if captured.order is None:
            await self._payments.refund(attempt.key)
            await retry_unknown(lambda: self._attempts.mark_refunded(attempt.key, now_ms))
            log.warning("late_money_returned", rid=attempt.rid, attempt=attempt.attempt)
            return None
        if captured.hold is not None:
            await self._telling.add(attempt.sale_id, (captured.epoch, captured.hold))
        return captured.order

    async def _push(self, _: None, holds: Sequence[Hold]) -> None:
        await self._announcer.holds(holds)

    async def _tell(self, sale_id: int, paid: Sequence[tuple[int, Hold]]) -> None:
        """The highest epoch: every row here was committed before the sale came to have it, or in
        the transaction that read it."""
        epoch = max(epoch for epoch, _ in paid)
        await self._release.tell(sale_id, epoch, [hold for _, hold in paid])

    async def _give_back(self, attempt: Attempt, charge: Charge) -> None:
        """A payment that came to nothing: the hold goes on, or ends if its time or tries are up."""
        if charge.state is ChargeState.CHARGED:
            await self._capture(attempt)
            return
        state = "voided" if charge.state is ChargeState.VOIDED else "refused"
        now_ms = surely_ms(self._clock)
        released = await retry_unknown(
            lambda: self._attempts.refuse(attempt.rid, attempt.attempt, now_ms, state=state)
        )
        if released.holds:
            await self._release.tell(attempt.sale_id, released.epoch, released.holds)
            return
        hold = (await self._holds.by_rid([attempt.rid])).get(attempt.rid)
        if hold is not None and hold.state is HoldState.HELD:
            await self._announcer.holds([hold])

    async def complete(self, key: str) -> None:
        """A webhook or a redirect came back for `key`: look it up and finish. Harmless to repeat.

        Raises:
            Problem: not_found for a key nobody has.
        """
        attempt = await self._attempts.by_key(key)
        if attempt is None:
            raise Problem("not_found")
        charge = await self._payments.lookup(key)
        if charge.state is ChargeState.CHARGED:
            await self._capture(attempt)
        elif charge.state in (ChargeState.REFUSED, ChargeState.VOIDED):
            await self._give_back(attempt, charge)
        elif charge.state is ChargeState.REFUNDED:  # and whoever gave it back may have died then
            await self._attempts.mark_refunded(key, self._clock.now_ms())

    async def settle_stale(self, before_ms: int, limit: int = 64) -> int:
        """Settle payments that began before `before_ms` and never ended: void at the provider. It
        says charged, refused or voided once and for all. Returns how many."""
        attempts = await self._attempts.stale(before_ms, limit)
        settled = 0
        for attempt in attempts:
            try:
                await self._give_back(attempt, await self._payments.void(attempt.key))
                settled += 1
            except Fault as error:
                log.warning("payment_later", rid=attempt.rid, error=str(error))
            except Exception:  # a defect of one payment must not pin everybody else's hold
                log.exception("payment_failed", rid=attempt.rid)
        return settled
