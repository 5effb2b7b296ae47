"""Tokens: access, checkout and device tokens by PyJWT: HS256 only, a key per audience.

Times are checked here against the caller's clock, never by PyJWT against the machine's.
"""

import hmac
import uuid
from typing import Any, Final, Literal

import jwt
import msgspec

from miaosha.adapters.access_tokens import (
    ACCESS,
    kid_of,
    read_access,
    read_subject,
    segments,
    unauthorized,
)
from miaosha.adapters.keyring import Keyring
from miaosha.domain.errors import Problem
from miaosha.domain.messages import split_rid
from miaosha.domain.reservation import GRACE_MS
from miaosha.ports.tokens import CheckoutClaim, Identity

ALGORITHM: Final = "HS256"
CHECKOUT: Final = "checkout"
DEVICE: Final = "device"
DEVICE_TOKEN_S: Final = 180 * 86_400
RID_MAX: Final = 64
JTI_MAX: Final = 64


class CheckoutClaims(msgspec.Struct):
    """Claims of a checkout token; `jti` repeats the rid."""

    sub: str
    rid: str
    sale: int
    aud: Literal["checkout"]
    iat: int
    exp: int
    jti: str


class DeviceClaims(msgspec.Struct):
    """Claims of a device token; `sub` is a code of the account's e-mail, `jti` the device."""

    sub: str
    aud: Literal["device"]
    iat: int
    exp: int
    jti: str


class JwtTokens:
    """Implements ports/tokens.Tokens.

    Args:
        access_token_s: seconds an access token is valid.
    """

    def __init__(self, keyring: Keyring, access_token_s: int = 28_800) -> None:
        self._kid = keyring.signing_kid
        self._keys = {purpose: keyring.derived(purpose) for purpose in (ACCESS, CHECKOUT, DEVICE)}
        self._question_key = keyring.question_key()
        self._access_token_s = access_token_s

    def access(self, user_id: int, role: str, now_ms: int) -> str:
        now_s = now_ms // 1000
        claims = {
            "sub": str(user_id),
            "role": role,
            "aud": ACCESS,
            "iat": now_s,
            "exp": now_s + self._access_token_s,
            "jti": str(uuid.uuid4()),
        }
        return self._signed(claims, ACCESS)

    def verify_access(self, token: str, now_ms: int) -> Identity:
        return read_access(self._checked(token, ACCESS), now_ms // 1000)

    def checkout(self, rid: str, sale_id: int, user_id: int, pay_by_ms: int) -> str:
        """The same token every time it is asked for, except after an extension."""
        expires_s = -(-(pay_by_ms + GRACE_MS) // 1000)
        claims = {
            "sub": str(user_id),
            "rid": rid,
            "sale": sale_id,
            "aud": CHECKOUT,
            "iat": min(accepted_s(rid), expires_s),
            "exp": expires_s,
            "jti": rid,
        }
        return self._signed(claims, CHECKOUT)

    def verify_checkout(self, token: str, now_ms: int) -> CheckoutClaim:
        payload = self._checked(token, CHECKOUT)
        try:
            raw = jwt.utils.base64url_decode(payload)
            claims = msgspec.json.decode(raw, type=CheckoutClaims)
        except (ValueError, RecursionError):
            raise unauthorized() from None
        user_id = read_subject(claims.sub)
        if claims.jti != claims.rid or not 0 < len(claims.rid) <= RID_MAX:
            raise unauthorized()
        expired = claims.exp * 1000 <= now_ms
        return CheckoutClaim(claims.rid, claims.sale, user_id, expired)

    def device(self, email: str, device_id: str | None, now_ms: int) -> str:
        now_s = now_ms // 1000
        claims = {
            "sub": _account_code(self._keys[DEVICE][self._kid], email),
            "aud": DEVICE,
            "iat": now_s,
            "exp": now_s + DEVICE_TOKEN_S,
            "jti": device_id or str(uuid.uuid4()),
        }
        return self._signed(claims, DEVICE)

    def verify_device(self, token: str, email: str, now_ms: int) -> str | None:
        if not token:
            return None
        try:
            raw = jwt.utils.base64url_decode(self._checked(token, DEVICE))
            claims = msgspec.json.decode(raw, type=DeviceClaims)
        except (Problem, ValueError, RecursionError):
            return None
        codes = [_account_code(key, email) for key in self._keys[DEVICE].values()]
        mine = any(hmac.compare_digest(claims.sub.encode(), code.encode()) for code in codes)
        fresh = now_ms < claims.exp * 1000
        return claims.jti if mine and fresh and 0 < len(claims.jti) <= JTI_MAX else None

    def question_key(self) -> bytes:
        return self._question_key

    def _signed(self, claims: dict[str, Any], audience: str) -> str:
        key = self._keys[audience][self._kid]
        headers = {"kid": self._kid}
        return jwt.encode(claims, key, ALGORITHM, headers=headers, sort_headers=True)

    def _checked(self, token: str, audience: str) -> bytes:
        """The claims segment of a token whose mac, header, audience and required claims hold."""
        header, payload = segments(token.encode("ascii", "replace"))
        keys = self._keys[audience]
        key = keys[kid_of(header, keys)]
        try:
            jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=audience,
                options={
                    "require": ["sub", "aud", "iat", "exp", "jti"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.InvalidTokenError, RecursionError):
            raise unauthorized() from None
        return payload


def _account_code(key: bytes, email: str) -> str:
    """Stands for an account in what a browser keeps, and tells nobody its e-mail."""
    return hmac.digest(key, b"account:" + email.encode("utf-8", "replace"), "sha256").hex()[:32]


def accepted_s(rid: str) -> int:
    """Unix seconds of acceptance, from the UUIDv7 of the request's batch; 0 for another id."""
    try:
        batch_id = uuid.UUID(split_rid(rid)[0])
    except ValueError:
        return 0
    return (batch_id.int >> 80) // 1000 if batch_id.version == 7 else 0
