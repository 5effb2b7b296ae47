"""Whose address a client has: numbers, proxies, and whom nobody believes."""

from typing import Any

import pytest

from miaosha.domain.errors import SettingsError
from miaosha.serving.client_address import UNKNOWN, ClientAddresses, number
from miaosha.settings import Settings, proxies

UNIX = ""  # the peername of a unix socket
TRUSTED = "10.0.0.0/8, 192.0.2.7, 2001:db8:7::/48"
CLIENT = b"203.0.113.9"


def test_addresses_as_numbers() -> None:
    assert number("127.0.0.1") == number("::ffff:127.0.0.1") == 0x7F000001
    assert number("2001:db8:1:2::1") == number("2001:db8:1:2:3::9") != number("2001:db8:1:3::1")
    assert number("2001:db8::1") != number("0.0.0.1") != UNKNOWN
    assert number("fe80::1%eth0") == number("fe80::2")
    assert number("nobody") == number("") == number("1.2.3") == UNKNOWN


@pytest.mark.parametrize(
    ("peer", "real_ip", "host"),
    [
        (UNIX, CLIENT, "203.0.113.9"),
        (None, CLIENT, "203.0.113.9"),
        (None, b"::ffff:203.0.113.9", "203.0.113.9"),
        (None, b"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        (None, None, ""),
        (None, b"", ""),
        (None, b"evil\xff", ""),
        (("10.1.2.3", 5), CLIENT, "203.0.113.9"),
        (("10.1.2.3", 5), b" 203.0.113.9 ", "203.0.113.9"),
        (("::ffff:10.1.2.3", 5, 0, 0), CLIENT, "203.0.113.9"),  # the listener takes both
        (("2001:db8:7::1", 5, 0, 0), CLIENT, "203.0.113.9"),
        (("192.0.2.7", 5), CLIENT, "203.0.113.9"),
        (("10.1.2.3", 5), None, "10.1.2.3"),
        (("10.1.2.3", 5), b"", "10.1.2.3"),
        (("10.1.2.3", 5), b"unix:", ""),
        (("198.51.100.4", 5), CLIENT, "198.51.100.4"),  # a liar
        (("198.51.100.4", 5), b"", "198.51.100.4"),
    ],
)
def test_whose_word_counts(peer: Any, real_ip: bytes | None, host: str) -> None:
    addresses = ClientAddresses(proxies(Settings(trusted_proxies=TRUSTED)))
    for _ in range(2):  # the second time from memory
        assert addresses.of(peer, real_ip) == number(host)


def test_a_bad_network_stops_the_start() -> None:
    with pytest.raises(SettingsError, match=r"TRUSTED_PROXIES='10\.0\.0\.0/99'"):
        proxies(Settings(trusted_proxies="127.0.0.1, 10.0.0.0/99"))
