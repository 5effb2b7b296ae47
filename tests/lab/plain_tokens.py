"""Tokens of people: what stands for a signed token where nobody forges one."""

from typing import Final

from miaosha.domain.errors import Problem
from miaosha.domain.reservation import GRACE_MS
from miaosha.ports.tokens import CheckoutClaim, Identity

QUESTION_KEY: Final = b"q" * 32
FOR_EVER_S: Final = 1 << 40


class PlainAccess:
    """Implements ports/tokens.AccessVerifier: the token is the user's id."""

    def verify(self, token: bytes, now_s: int) -> Identity:
        return Identity(int(token), "buyer", FOR_EVER_S)


class PlainTokens:
    """Implements ports/tokens.Tokens as far as roles in the laboratory ask for it. A checkout token
    ends when the product's does."""

    def access(self, user_id: int, role: str, now_ms: int) -> str:
        return str(user_id)

    def verify_access(self, token: str, now_ms: int) -> Identity:
        return Identity(int(token), "buyer", FOR_EVER_S)

    def checkout(self, rid: str, sale_id: int, user_id: int, pay_by_ms: int) -> str:
        expires_s = -(-(pay_by_ms + GRACE_MS) // 1000)
        return f"{rid}|{sale_id}|{user_id}|{expires_s}"

    def verify_checkout(self, token: str, now_ms: int) -> CheckoutClaim:
        try:
            rid, sale_id, user_id, expires_s = token.split("|")
        except ValueError:
            raise Problem("unauthorized") from None
        expired = int(expires_s) * 1000 <= now_ms
        return CheckoutClaim(rid, int(sale_id), int(user_id), expired)

    def device(self, email: str, device_id: str | None, now_ms: int) -> str:
        raise NotImplementedError

    def verify_device(self, token: str, email: str, now_ms: int) -> str | None:
        raise NotImplementedError

    def question_key(self) -> bytes:
        return QUESTION_KEY
