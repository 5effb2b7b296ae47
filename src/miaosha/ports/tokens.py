"""Port of tokens: what proves who somebody is, and what somebody may pay for."""

from typing import NamedTuple, Protocol


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


class AccessVerifier(Protocol):
    """Checks access tokens on the hot paths."""

    def verify(self, token: bytes, now_s: int) -> Identity:
        """Raises Problem("unauthorized")."""


class Tokens(Protocol):
    def access(self, user_id: int, role: str, now_ms: int) -> str:
        """An access token, valid for the time the shop is set to."""

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
