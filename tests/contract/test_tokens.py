"""Keys and tokens: RFC 5869 vectors, the port's contract, and the fast check held against PyJWT."""

import base64
import hmac
import json
import timeit
import uuid
from typing import Any

import jwt
import pytest
import uuid_utils
from hypothesis import example, given
from hypothesis import strategies as st

from miaosha.adapters.access_tokens import AccessTokens, header_segment
from miaosha.adapters.keyring import Keyring, generate, hkdf_sha256
from miaosha.adapters.tokens import JwtTokens, accepted_s
from miaosha.domain.errors import Problem, SettingsError
from miaosha.ports.tokens import Identity

NOW_S = 1_800_000_000
NOW_MS = NOW_S * 1000
OLD, NEW = ("old", b"o" * 32), ("new", b"n" * 40)
RING = Keyring([NEW, OLD])
TOKENS, FAST = JwtTokens(RING), AccessTokens(RING)
KEY = RING.derived("access")["new"]
CLAIMS: dict[str, Any] = {
    "sub": "12345",
    "role": "buyer",
    "aud": "access",
    "iat": NOW_S,
    "exp": NOW_S + 60,
    "jti": "a",
}


def b64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def signed(header: bytes, payload: bytes, key: bytes = KEY) -> bytes:
    text = b64(header) + b"." + b64(payload)
    return text + b"." + b64(hmac.digest(key, text, "sha256"))


def fast(token: bytes) -> Identity | None:
    try:
        return FAST.verify(token, NOW_S)
    except Problem as problem:
        assert problem.code == "unauthorized"
        return None


def full(token: bytes) -> Identity | None:
    try:
        return TOKENS.verify_access(token.decode("latin-1"), NOW_MS)
    except Problem:
        return None


def pyjwt(token: bytes) -> dict[str, Any] | None:
    """What the library alone says, with the kid from the header and our clock for exp."""
    try:
        kid = jwt.get_unverified_header(token).get("kid", "")
        claims: dict[str, Any] = jwt.decode(
            token,
            RING.derived("access").get(kid, b"?" * 32),
            algorithms=["HS256"],
            audience="access",
            options={
                "require": ["sub", "aud", "iat", "exp", "jti"],
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except (jwt.InvalidTokenError, RecursionError):
        return None
    in_time = int(claims["exp"]) > NOW_S >= int(claims.get("nbf", 0))
    return claims if in_time else None


def check(token: bytes) -> Identity | None:
    """The fast check and the full one agree, and accept nothing that PyJWT alone refuses."""
    answer = fast(token)
    assert full(token) == answer
    if answer is not None:
        claims = pyjwt(token)
        assert claims is not None
        assert (str(answer.user_id), answer.role) == (claims["sub"], claims["role"])
    return answer


# RFC 5869, A.1 to A.3
@pytest.mark.parametrize(
    ("ikm", "salt", "info", "length", "okm"),
    [
        (
            b"\x0b" * 22,
            bytes(range(13)),
            bytes(range(0xF0, 0xFA)),
            42,
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(80)),
            bytes(range(0x60, 0xB0)),
            bytes(range(0xB0, 0x100)),
            82,
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c6"
            "5e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            b"\x0b" * 22,
            b"",
            b"",
            42,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_hkdf_vectors(ikm: bytes, salt: bytes, info: bytes, length: int, okm: str) -> None:
    assert hkdf_sha256(ikm, salt=salt, info=info, length=length).hex() == okm


def test_keyring_keeps_order_and_separates_purposes() -> None:
    ring = Keyring.parse(f"{generate()}, {generate()}")
    assert list(ring.derived("access")) == list(ring.derived("checkout"))
    assert ring.signing_kid == next(iter(ring.derived("access")))
    keys = [*ring.derived("access").values(), *ring.derived("checkout").values()]
    assert len({*keys, ring.question_key()}) == 5
    assert ring.question_key() == hkdf_sha256(ring._keys[-1][1], info=b"miaosha:question")


def test_rotation_keeps_questions_and_old_tokens() -> None:
    before = Keyring([OLD])
    assert before.question_key() == RING.question_key()
    token = JwtTokens(before).access(1, "admin", NOW_MS)
    assert FAST.verify(token, NOW_S).role == "admin"
    with pytest.raises(Problem):
        AccessTokens(Keyring([NEW])).verify(token, NOW_S)


SECRET = base64.urlsafe_b64encode(b"s" * 32).decode()
SHORT = base64.urlsafe_b64encode(b"s" * 31).decode()


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", SECRET, "k:", "k:a", f":{SECRET}", f"k:{SHORT}", f"k:{SECRET}!"),
        *(f"k k:{SECRET}", f"k:{SECRET},k:{SECRET}", f"k:{SECRET},"),
        ",".join(f"k{n}:{SECRET}" for n in range(5)),
    ],
)
def test_bad_keys_name_the_setting_and_never_the_value(text: str) -> None:
    with pytest.raises(SettingsError, match="MIAOSHA_SECRET_KEYS") as caught:
        Keyring.parse(text)
    assert SECRET not in str(caught.value)
    assert SHORT not in str(caught.value)


def test_a_key_never_shows() -> None:
    assert "s" * 4 not in repr(Keyring.parse(f"k:{SECRET}"))


def test_access_token_round_trip() -> None:
    token = TOKENS.access(42, "buyer", NOW_MS)
    assert token.encode().split(b".")[0] == header_segment("new")
    expected = Identity(42, "buyer", NOW_S + 28_800)
    assert check(token.encode()) == expected
    assert FAST.verify(token, NOW_S) == expected
    assert TOKENS.access(42, "buyer", NOW_MS) != token  # its own jti


def test_access_token_ends_at_its_second() -> None:
    token = JwtTokens(RING, access_token_s=10).access(42, "buyer", NOW_MS)
    assert FAST.verify(token, NOW_S + 9)
    with pytest.raises(Problem):
        FAST.verify(token, NOW_S + 10)
    assert TOKENS.verify_access(token, NOW_MS + 9_999)
    with pytest.raises(Problem):
        TOKENS.verify_access(token, NOW_MS + 10_000)


def test_audiences_do_not_mix() -> None:
    rid = f"{uuid_utils.uuid7()}.3"
    checkout = TOKENS.checkout(rid, 7, 42, NOW_MS)
    assert fast(checkout.encode()) is None
    with pytest.raises(Problem):
        TOKENS.verify_access(checkout, NOW_MS)
    with pytest.raises(Problem):
        TOKENS.verify_checkout(TOKENS.access(42, "buyer", NOW_MS), NOW_MS)


def test_checkout_token_round_trip() -> None:
    batch = uuid.UUID(str(uuid_utils.uuid7()))
    rid = f"{batch}.3"
    token = TOKENS.checkout(rid, 7, 42, NOW_MS + 400)
    assert TOKENS.checkout(rid, 7, 42, NOW_MS + 400) == token
    claim = TOKENS.verify_checkout(token, NOW_MS)
    assert claim == (rid, 7, 42, False)
    assert not TOKENS.verify_checkout(token, NOW_MS + 2_400).expired  # pay_by + grace
    assert TOKENS.verify_checkout(token, NOW_MS + 3_000).expired
    claims = jwt.decode(token, options={"verify_signature": False})
    assert set(claims) == {"sub", "rid", "sale", "aud", "iat", "exp", "jti"}
    assert claims["jti"] == rid
    assert accepted_s(rid) == (batch.int >> 80) // 1000 > 1_600_000_000
    assert claims["iat"] == min(accepted_s(rid), claims["exp"])
    assert accepted_s("not-a-uuid.1") == 0


@pytest.mark.parametrize("token", ["", "a.b.c", "x" * 3000, "\ud800", "é.é.é"])
def test_garbage_is_unauthorized(token: str) -> None:
    for call in (TOKENS.verify_access, TOKENS.verify_checkout):
        with pytest.raises(Problem, match="token"):
            call(token, NOW_MS)
    with pytest.raises(Problem):
        FAST.verify(token, NOW_S)


HEADER = {"alg": "HS256", "kid": "new", "typ": "JWT"}
HEADERS: dict[str, Any] = {
    "none": {**HEADER, "alg": "none"},
    "HS512": {**HEADER, "alg": "HS512"},
    "RS256": {**HEADER, "alg": "RS256"},
    "lower case": {**HEADER, "alg": "hs256"},
    "no alg": {"kid": "new", "typ": "JWT"},
    "no kid": {"alg": "HS256", "typ": "JWT"},
    "unknown kid": {**HEADER, "kid": "newer"},
    "kid of another type": {**HEADER, "kid": 1},
    "other key's kid": {**HEADER, "kid": "old"},
    "crit": {**HEADER, "crit": ["exp"]},
    "crit b64": {**HEADER, "crit": ["b64"], "b64": True},
    "b64": {**HEADER, "b64": False},
    "other typ": {**HEADER, "typ": "at+jwt"},
    "a list": [HEADER],
    "a number": 1,
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_are_refused(name: str) -> None:
    token = signed(json.dumps(HEADERS[name]).encode(), json.dumps(CLAIMS).encode())
    assert check(token) is None


def test_header_in_another_order_is_fine() -> None:
    header = {"typ": "JWT", "x": 1, "kid": "new", "alg": "HS256"}
    token = signed(json.dumps(header).encode(), json.dumps(CLAIMS).encode())
    assert check(token) is not None


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "expired": {"exp": NOW_S},
    "exp as text": {"exp": str(NOW_S + 60)},
    "exp as float": {"exp": NOW_S + 60.5},
    "exp none": {"exp": None},
    "wrong aud": {"aud": "checkout"},
    "aud list": {"aud": ["access"]},
    "role unknown": {"role": "root"},
    "role none": {"role": None},
    "sub number": {"sub": 1},
    "sub zero": {"sub": "0"},
    "sub signed": {"sub": "+1"},
    "sub long": {"sub": "9" * 40},
    "sub other digits": {"sub": "١٢"},
    "sub empty": {"sub": ""},
    "jti empty": {"jti": ""},
    "jti number": {"jti": 1},
    "iat text": {"iat": "now"},
    "not yet": {"nbf": NOW_S + 1},
    "nbf text": {"nbf": "now"},
}


@pytest.mark.parametrize("name", BAD_CLAIMS)
def test_claims_that_are_refused(name: str) -> None:
    claims = {**CLAIMS, **BAD_CLAIMS[name]}
    assert check(signed(json.dumps(HEADER).encode(), json.dumps(claims).encode())) is None


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_claim_is_required(claim: str) -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != claim}
    assert check(signed(json.dumps(HEADER).encode(), json.dumps(claims).encode())) is None


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"{}", b"[]", b"null", b"\xff", b"{" * 900),
        json.dumps(CLAIMS).encode("utf-16"),
        json.dumps(CLAIMS).encode()[:-1] + b',"x":"\xff"}',
        json.dumps(CLAIMS).encode()[:-1] + b',"x":NaN}',
    ],
)
def test_payloads_that_are_refused(payload: bytes) -> None:
    assert check(signed(json.dumps(HEADER).encode(), payload)) is None


def test_shapes_that_are_refused() -> None:
    good = signed(json.dumps(HEADER).encode(), json.dumps(CLAIMS).encode())
    assert check(good) is not None
    head, payload, mac = good.split(b".")
    for bad in (
        good + b"=",
        good + b"\n",
        b" " + good,
        b"Bearer " + good,
        good + b".",
        good + b"." + mac,
        head + b"." + payload,
        head + b".." + mac,
        head + b"=." + payload + b"." + mac,
        good.replace(b".", b"..", 1),
        good[:-1] + b"B",  # stray bits
        good[:-1],
    ):
        assert check(bad) is None, bad
    big = {**CLAIMS, "x": "y" * 2_000}
    assert check(signed(json.dumps(HEADER).encode(), json.dumps(big).encode())) is None


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3), max_leaves=4)
likely = st.sampled_from(
    [*CLAIMS.values(), *HEADER.values(), str(2**70), -1, 1e400, "\ud800", "a" * 100]
)


@given(
    header=st.dictionaries(st.sampled_from([*HEADER, "crit", "b64", "x"]), likely | values),
    claims=st.dictionaries(st.sampled_from([*CLAIMS, "nbf", "x", "iss"]), likely | values),
)
@example(header={}, claims={"nbf": NOW_S * 2})
@example(header={"kid": "old"}, claims={})
def test_fuzz_signed_tokens(header: dict[str, Any], claims: dict[str, Any]) -> None:
    head = json.dumps({**HEADER, **header}).encode()
    body = json.dumps({**CLAIMS, **claims}).encode()
    check(signed(head, body))


GOOD = signed(json.dumps(HEADER).encode(), json.dumps(CLAIMS).encode())


@given(data=st.data())
def test_fuzz_mutated_tokens(data: st.DataObject) -> None:
    token = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(token) - 1))
        what = data.draw(st.sampled_from("rid"))
        byte = data.draw(st.sampled_from(b"AZaz09-_.= +/\n\x00\xff"))
        if what == "r":
            token[at] = byte
        elif what == "i":
            token.insert(at, byte)
        else:
            del token[at]
    if bytes(token) != GOOD:
        assert check(bytes(token)) is None


@given(raw=st.binary(max_size=300))
def test_fuzz_noise(raw: bytes) -> None:
    assert check(raw) is None
    body = b64(raw)
    assert check(b".".join([header_segment("new"), body, b64(bytes(32))])) is None
    check(signed(json.dumps(HEADER).encode(), raw))


def test_fast_check_is_fast() -> None:
    """Generous for a busy machine; it takes about 5 µs."""
    token = TOKENS.access(42, "buyer", NOW_MS).encode()
    best = min(timeit.repeat(lambda: FAST.verify(token, NOW_S), number=2_000, repeat=5)) / 2_000
    assert best < 40e-6
