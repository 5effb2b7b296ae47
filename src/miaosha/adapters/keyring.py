"""Keyring: parses MIAOSHA_SECRET_KEYS, and derives one key per purpose and key id.

The first key signs, every key verifies. To rotate, put a new key in front, and drop the old one
when its tokens have expired. Questions use the last, oldest key, so that a new key in front does
not change a running sale's questions.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from typing import Final

from miaosha.domain.errors import SettingsError

KEY_BYTES_MIN: Final = 32
KEYS_MAX: Final = 4
SETTING: Final = "MIAOSHA_SECRET_KEYS"
_KID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")


class Keyring:
    """Keys by id, in order: the first signs.

    Args:
        keys: (key id, at least 32 secret bytes).
    """

    def __init__(self, keys: Sequence[tuple[str, bytes]]) -> None:
        assert keys
        self._keys = tuple(keys)

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """From `kid:base64url,…`.

        Raises:
            SettingsError: naming the setting and the entry's number, never a value.
        """
        entries = [entry.strip() for entry in text.split(",")] if text.strip() else []
        if not 1 <= len(entries) <= KEYS_MAX:
            raise SettingsError(
                f"{SETTING}=(secret): expected 1 to {KEYS_MAX} keys as kid:base64url,…,"
                f" got {len(entries)}"
            )
        keys = [_parse(number, entry) for number, entry in enumerate(entries, 1)]
        if len({kid for kid, _ in keys}) < len(keys):
            raise SettingsError(f"{SETTING}=(secret): expected different key ids")
        return cls(keys)

    @property
    def signing_kid(self) -> str:
        return self._keys[0][0]

    def derived(self, purpose: str) -> dict[str, bytes]:
        """Key id → 32 bytes for this purpose (an audience), the signing key first."""
        info = b"miaosha:" + purpose.encode()
        return {kid: hkdf_sha256(key, info=info) for kid, key in self._keys}

    def question_key(self) -> bytes:
        return hkdf_sha256(self._keys[-1][1], info=b"miaosha:question")

    def __repr__(self) -> str:
        return f"Keyring({', '.join(kid for kid, _ in self._keys)})"


def generate() -> str:
    """A new value for MIAOSHA_SECRET_KEYS with one random key."""
    key = base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES_MIN)).rstrip(b"=")
    return f"k{secrets.token_hex(4)}:{key.decode()}"


def hkdf_sha256(key: bytes, *, salt: bytes = b"", info: bytes = b"", length: int = 32) -> bytes:
    """HKDF with SHA-256 (RFC 5869): extract, then expand to `length` bytes (at most 8160)."""
    assert 0 < length <= 255 * 32
    pseudorandom = hmac.digest(salt or bytes(32), key, hashlib.sha256)
    block, output = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(pseudorandom, block + info + bytes([counter]), hashlib.sha256)
        output += block
    return output[:length]


def _parse(number: int, entry: str) -> tuple[str, bytes]:
    expected = f"expected kid:base64url with at least {KEY_BYTES_MIN} bytes"
    kid, colon, text = entry.partition(":")
    if not colon or not _KID.fullmatch(kid) or not _BASE64URL.fullmatch(text):
        raise SettingsError(f"{SETTING}=(secret), key {number}: {expected}")
    bare = text.rstrip("=")
    try:
        key = base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except binascii.Error:
        raise SettingsError(f"{SETTING}=(secret), key {number}: {expected}") from None
    if len(key) < KEY_BYTES_MIN:
        raise SettingsError(f"{SETTING}=(secret), key {number}: {expected}, got {len(key)}")
    return kid, key
