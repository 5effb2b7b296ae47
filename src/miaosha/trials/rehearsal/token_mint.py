"""Token mint: access tokens of made-up buyers, signed by hand, since a million are needed."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Final

from miaosha.adapters.access_tokens import ACCESS, header_segment
from miaosha.adapters.keyring import Keyring

CLAIMS: Final = (
    b'{"sub":"%d","role":"buyer","aud":"access","iat":%d,"exp":%d,"jti":"made-up-%d-of-this-run"}'
)
TOKEN_S: Final = 28_800


def mint(key: bytes, header: bytes, user_id: int, issued_s: int) -> bytes:
    """A buyer's access token, valid for TOKEN_S from `issued_s` (Unix seconds)."""
    claims = CLAIMS % (user_id, issued_s, issued_s + TOKEN_S, user_id)
    signed = header + b"." + urlsafe_b64encode(claims).rstrip(b"=")
    mac = hmac.digest(key, signed, hashlib.sha256)
    return signed + b"." + urlsafe_b64encode(mac).rstrip(b"=")


def minting(secret_keys: str, issued_s: int) -> Callable[[int], bytes]:
    """User id → token; empty tokens without keys. Raises SettingsError for bad keys."""
    if not secret_keys:
        return lambda user_id: b""
    ring = Keyring.parse(secret_keys)
    key, header = ring.derived(ACCESS)[ring.signing_kid], header_segment(ring.signing_kid)
    return lambda user_id: mint(key, header, user_id, issued_s)
