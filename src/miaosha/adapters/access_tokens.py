"""Access tokens: a fast check, for roles that check one per request (no jwt library loaded).

It accepts what `JwtTokens` mints and refuses whatever PyJWT would refuse; a fuzz test compares the
two. A token is JWS compact with HS256: base64url(header).base64url(claims).base64url(mac).
"""

import hmac
import json
import re
from base64 import urlsafe_b64encode
from binascii import a2b_base64, b2a_base64
from collections.abc import Container
from typing import Any, Final, Literal

import msgspec

from miaosha.adapters.keyring import Keyring
from miaosha.domain.errors import Problem
from miaosha.domain.mac import Mac
from miaosha.ports.tokens import Identity

TOKEN_BYTES_MAX: Final = 2_048
ACCESS: Final = "access"

# Header, claims and a 32-byte mac in canonical base64url: no padding, no blanks, and the last
# character of the mac without stray bits.
_SHAPE = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
_STANDARD = bytes.maketrans(b"-_", b"+/")
_PADDING = (b"", b"===", b"==", b"=")
_USER_ID_DIGITS = 18  # every such number fits a signed 64-bit column


class AccessClaims(msgspec.Struct):
    """Claims of an access token. Unknown ones are ignored (RFC 7519, 4)."""

    sub: str
    role: Literal["buyer", "admin"]
    aud: Literal["access"]
    iat: int
    exp: int
    jti: str
    nbf: int = 0  # never written by us, honoured all the same


_claims = msgspec.json.Decoder(AccessClaims)


class AccessTokens:
    """Verifies access tokens with every key of the ring."""

    def __init__(self, keyring: Keyring) -> None:
        self._keys = {kid: Mac(key) for kid, key in keyring.derived(ACCESS).items()}
        # What our own tokens start with, as text: no need to decode it every time.
        self._known = {header_segment(kid): key for kid, key in self._keys.items()}

    def verify(self, token: bytes | str, now_s: int) -> Identity:
        """Who this token speaks for.

        Args:
            now_s: Unix seconds, store clock; a token is valid before its `exp`.

        Raises:
            Problem: unauthorized.
        """
        raw = token if isinstance(token, bytes) else token.encode("ascii", "replace")
        header, payload = segments(raw)
        key = self._known.get(header)
        if key is None:
            key = self._keys[kid_of(header, self._keys)]
        code = key.digest(raw[:-44])
        if not hmac.compare_digest(code, a2b_base64(raw[-43:].translate(_STANDARD) + b"=")):
            raise unauthorized()
        return read_access(payload, now_s)


def segments(raw: bytes) -> tuple[bytes, bytes]:
    """Header and claims of what has the shape of a token, still encoded.

    Raises:
        Problem: unauthorized.
    """
    if len(raw) > TOKEN_BYTES_MAX or (shape := _SHAPE.fullmatch(raw)) is None:
        raise unauthorized()
    return shape[1], shape[2]


def kid_of(header: bytes, keys: Container[str]) -> str:
    """The key id a header names: only HS256, no critical extensions, a key of ours.

    Raises:
        Problem: unauthorized.
    """
    try:
        fields: Any = json.loads(_decoded(header))
    except (ValueError, RecursionError):
        raise unauthorized() from None
    if (
        not isinstance(fields, dict)
        or fields.get("alg") != "HS256"
        or fields.get("typ") != "JWT"
        or "crit" in fields
        or "b64" in fields
    ):
        raise unauthorized()
    kid = fields.get("kid")
    if not isinstance(kid, str) or kid not in keys:
        raise unauthorized()
    return kid


def read_access(payload: bytes, now_s: int) -> Identity:
    """The subject of these claims, whose mac has been checked.

    Raises:
        Problem: unauthorized: malformed, not for this audience, or expired at `now_s`.
    """
    try:
        text = _decoded(payload).decode()  # msgspec leaves the UTF-8 of skipped values unchecked
        claims = _claims.decode(text)
    except (ValueError, RecursionError):
        raise unauthorized() from None
    user_id = read_subject(claims.sub)
    if not claims.nbf <= now_s < claims.exp or not claims.jti:
        raise unauthorized()
    return Identity(user_id, claims.role, claims.exp)


def read_subject(sub: str) -> int:
    """A user id in decimal, without sign or leading zeros. Raises Problem("unauthorized")."""
    if sub.isascii() and sub.isdigit() and sub[0] != "0" and len(sub) <= _USER_ID_DIGITS:
        return int(sub)
    raise unauthorized()


def header_segment(kid: str) -> bytes:
    """The header of a token we sign, encoded."""
    header = json.dumps({"alg": "HS256", "kid": kid, "typ": "JWT"}, separators=(",", ":"))
    return urlsafe_b64encode(header.encode()).rstrip(b"=")


def unauthorized() -> Problem:
    return Problem("unauthorized")


def _decoded(segment: bytes) -> bytes:
    """Raises ValueError (binascii.Error is one) unless it is the canonical encoding."""
    standard = segment.translate(_STANDARD) + _PADDING[len(segment) % 4]
    raw = a2b_base64(standard)
    if b2a_base64(raw, newline=False) != standard:
        raise ValueError("not canonical")
    return raw
