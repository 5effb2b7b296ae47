"""Ports of everything else: clock, bus, mail, payments, files, tokens, passwords."""

from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from miaosha.domain.messages import BusMessage
from miaosha.domain.money import Money


class Clock(Protocol):
    def now_ms(self) -> int:
        """Unix ms of the store's clock (local clock plus an offset refreshed every second). Never
        goes back within a process, but when a step of the store's clock was believed. No I/O."""

    def monotonic(self) -> float:
        """Seconds of a clock that nobody sets: for durations, timeouts, rates and leases."""


class StepClock(Clock, Protocol):
    def step_ms(self) -> int:
        """How far the store's clock stands ahead of this one (behind: negative) since it was set,
        while that is not believed; 0 while they agree."""


class Bus(Protocol):
    """Fan-out between roles: at most once, no memory. Losing it loses no outcome (G9)."""

    async def publish(self, message: BusMessage) -> None: ...

    def listen(self) -> AsyncIterator[BusMessage]:
        """Messages until closed. A listener that has not heard itself through the bus for three
        periods subscribes anew by itself."""

    async def close(self) -> None: ...


class Letter(NamedTuple):
    """A mail ready to send. `message_id` is stable per event, so that a resend is recognisable."""

    message_id: str
    to: str
    subject: str
    text: str


class Mailer(Protocol):
    async def send(self, letter: Letter) -> None:
        """Raises DependencyDown if the mail server is away, Problem("bad_request") if it refuses
        this letter for good."""

    async def close(self) -> None: ...


class ChargeState(StrEnum):
    NONE = "none"  # the provider never saw the key
    PENDING = "pending"
    ACTION = "requires_action"
    CHARGED = "charged"
    REFUSED = "refused"
    VOIDED = "voided"
    REFUNDED = "refunded"


class Card(NamedTuple):
    number: str
    expiry: str  # "12/30"
    cvc: str


class Charge(NamedTuple):
    state: ChargeState
    redirect_url: str = ""  # with ACTION: where the buyer must go
    reason: str = ""  # with REFUSED


class Payments(Protocol):
    """A payment provider. `key` is the idempotency key `rid:attempt`: one key is charged at most
    once, and a repeat answers what the first call came to."""

    async def charge(self, key: str, amount: Money, card: Card, return_url: str) -> Charge:
        """Returns CHARGED, REFUSED, VOIDED or ACTION.

        Raises:
            OutcomeUnknown: the answer was lost; ask `lookup`.
            DependencyDown: nothing was sent.
        """

    async def lookup(self, key: str) -> Charge:
        """The state of a key now. Raises DependencyDown."""

    async def void(self, key: str) -> Charge:
        """Answers CHARGED, REFUSED or VOIDED atomically; a voided key can never be charged."""

    async def refund(self, key: str) -> Charge:
        """Give a charge back; REFUNDED however often it is called."""

    def verify_webhook(self, body: bytes, signature: str) -> str:
        """The key a signed webhook speaks of. Raises Problem("unauthorized")."""


class Files(Protocol):
    """Public files such as product pictures, by a relative name."""

    async def put(self, name: str, content: bytes, content_type: str) -> str:
        """Returns the public URL path."""

    async def get(self, name: str) -> bytes | None: ...

    async def delete(self, name: str) -> None: ...


class Identity(NamedTuple):
    """The subject of a valid access token."""

    user_id: int
    role: str
    expires_at_s: int


class CheckoutClaim(NamedTuple):
    """The subject of a checkout token; an `expired` one is still returned: the caller says 410."""

    rid: str
    sale_id: int
    user_id: int
    expired: bool


class Tokens(Protocol):
    def access(self, user_id: int, role: str, now_ms: int) -> str: ...

    def verify_access(self, token: str, now_ms: int) -> Identity:
        """Raises Problem("unauthorized")."""

    def checkout(self, rid: str, sale_id: int, user_id: int, pay_by_ms: int) -> str:
        """Expires at pay_by + grace."""

    def verify_checkout(self, token: str, now_ms: int) -> CheckoutClaim:
        """Raises Problem("unauthorized") for garbage; an expired one is a claim with `expired`."""

    def device(self, email: str, device_id: str | None, now_ms: int) -> str:
        """Says that a device has signed in to the account of this canonical e-mail, without
        telling the e-mail. It opens nothing.

        Args:
            device_id: of the token it follows; None: a new one.
        """

    def verify_device(self, token: str, email: str, now_ms: int) -> str | None:
        """The device's id if this is a valid device token for this very account, else None."""

    def question_key(self) -> bytes:
        """The key `Sale.question_for` uses."""


class Passwords(Protocol):
    """argon2id, and a judge of passwords, in bounded pools: none of it runs on the event loop.

    Every method that is awaited raises Overloaded("password_queue_max").
    """

    async def guessable(self, password: str, own: Sequence[str]) -> bool:
        """Would somebody who tries the likely ones first come to this password soon?

        Args:
            password: in NFKC.
            own: the buyer's e-mail address and name: as easy as any word.
        """

    async def hash(self, password: str) -> str: ...

    async def verify(self, password: str, encoded: str | None, *, known: bool = False) -> bool:
        """False, after the same work, when `encoded` is None (unknown user) or has no password.

        Args:
            known: the caller has proved to have signed in to this account before; strangers, be
                they ever so many, are not in the way.
        """

    def outdated(self, encoded: str) -> bool: ...
