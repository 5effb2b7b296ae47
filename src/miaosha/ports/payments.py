"""Port of money: a payment provider."""

from enum import StrEnum
from typing import NamedTuple, Protocol

from miaosha.domain.money import Money


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
    once, and a repeat returns what the first call came to."""

    async def charge(self, key: str, amount: Money, card: Card, return_url: str) -> Charge:
        """Returns CHARGED, REFUSED, VOIDED or ACTION.

        Raises:
            OutcomeUnknown: the answer was lost; ask `lookup`.
            DependencyDown: nothing was sent.
        """

    async def lookup(self, key: str) -> Charge:
        """The state of a key now. Raises DependencyDown."""

    async def void(self, key: str) -> Charge:
        """Returns CHARGED, REFUSED or VOIDED, atomically; a voided key can never be charged."""

    async def refund(self, key: str) -> Charge:
        """Give a charge back; REFUNDED however often it is called."""

    def verify_webhook(self, body: bytes, signature: str) -> str:
        """The key a signed webhook speaks of. Raises Problem("unauthorized")."""
