"""The Mac with a prepared key against the standard library's."""

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from miaosha.domain.mac import Mac


@given(key=st.binary(max_size=200), messages=st.lists(st.binary(max_size=300), max_size=4))
def test_says_what_hmac_says_message_after_message(key: bytes, messages: list[bytes]) -> None:
    mac = Mac(key)
    for message in messages:
        assert mac.digest(message) == hmac.digest(key, message, hashlib.sha256)


def test_says_what_rfc_4231_says() -> None:
    code = Mac(b"Jefe").digest(b"what do ya want for nothing?")
    assert code.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
