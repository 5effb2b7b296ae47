"""Device tokens: who signed in to an account before, told to nobody else, and good for no more."""

import jwt
import pytest

from miaosha.adapters.keyring import Keyring
from miaosha.adapters.tokens import DEVICE_TOKEN_S, JwtTokens
from miaosha.domain.errors import Problem

NOW_MS = 1_700_000_000_000
OLD, NEW = ("old", b"o" * 32), ("new", b"n" * 32)
TOKENS = JwtTokens(Keyring([OLD]))
EMAIL = "ada@example.test"


def test_a_device_stays_itself() -> None:
    token = TOKENS.device(EMAIL, None, NOW_MS)
    device = TOKENS.verify_device(token, EMAIL, NOW_MS)
    assert device
    later = TOKENS.device(EMAIL, device, NOW_MS + 1_000)
    assert TOKENS.verify_device(later, EMAIL, NOW_MS) == device
    assert TOKENS.verify_device(TOKENS.device(EMAIL, None, NOW_MS), EMAIL, NOW_MS) != device


def test_it_names_its_account_without_telling_it() -> None:
    token = TOKENS.device(EMAIL, None, NOW_MS)
    assert TOKENS.verify_device(token, "eve@example.test", NOW_MS) is None
    claims = jwt.decode(token, options={"verify_signature": False})
    assert set(claims) == {"sub", "aud", "iat", "exp", "jti"}
    assert "ada" not in str(claims)


def test_it_ends() -> None:
    token = TOKENS.device(EMAIL, None, NOW_MS)
    end_ms = NOW_MS + DEVICE_TOKEN_S * 1000
    assert TOKENS.verify_device(token, EMAIL, end_ms - 1)
    assert TOKENS.verify_device(token, EMAIL, end_ms) is None


def test_it_outlives_a_new_key_in_front_and_ends_with_its_own() -> None:
    token = TOKENS.device(EMAIL, None, NOW_MS)
    assert JwtTokens(Keyring([NEW, OLD])).verify_device(token, EMAIL, NOW_MS)
    assert JwtTokens(Keyring([NEW])).verify_device(token, EMAIL, NOW_MS) is None


def test_it_opens_nothing_and_nothing_else_is_one() -> None:
    device = TOKENS.device(EMAIL, None, NOW_MS)
    with pytest.raises(Problem):
        TOKENS.verify_access(device, NOW_MS)
    with pytest.raises(Problem):
        TOKENS.verify_checkout(device, NOW_MS)
    access = TOKENS.access(1, "admin", NOW_MS)
    for token in (access, "", "a.b.c", "x" * 3_000, "\ud800", "é.é.é", device[:-1], device + "x"):
        assert TOKENS.verify_device(token, EMAIL, NOW_MS) is None
