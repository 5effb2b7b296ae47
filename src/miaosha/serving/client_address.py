"""Client addresses: what limits per address count by, behind proxies or without.

Whoever connects over a unix socket is the edge. It and a trusted proxy say in X-Real-IP for whom
they ask; nobody else is believed. An IPv6 address counts by its /64, which is what one home has.
"""

import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final

UNKNOWN: Final = 0  # nobody knows where this client is
PEERS_MAX: Final = 1_024  # peers of whom it is remembered whether they are proxies
_MAPPED: Final = bytes(10) + b"\xff\xff"  # the start of an IPv4 address in IPv6 clothes


class ClientAddresses:
    """Args:
    trusted: proxies whose X-Real-IP counts.
    """

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self._networks = trusted
        self._proxies: dict[str, bool] = {}

    def of(self, peer: Any, real_ip: bytes | None) -> int:
        """The number of the address a client comes from, as `number` makes it.

        Args:
            peer: the transport's peername; anything but (host, port, …) is a unix socket.
            real_ip: the X-Real-IP header; None without one.
        """
        host = str(peer[0]) if isinstance(peer, tuple) else ""
        if real_ip and (not host or self._is_proxy(host)):
            host = real_ip.decode("latin-1").strip()
        return number(host)

    def _is_proxy(self, host: str) -> bool:
        known = self._proxies.get(host)
        if known is None:
            known = False
            with contextlib.suppress(ValueError):
                address = ipaddress.ip_address(host)
                mapped = getattr(address, "ipv4_mapped", None)
                known = any((mapped or address) in network for network in self._networks)
            if len(self._proxies) < PEERS_MAX:
                self._proxies[host] = known
        return known


def number(host: str) -> int:
    """An IPv4 address, or the /64 of an IPv6 address, as a number; UNKNOWN for anything else."""
    try:
        if ":" not in host:
            return int.from_bytes(socket.inet_pton(socket.AF_INET, host), "big")
        whole = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except OSError:
        return UNKNOWN
    if whole.startswith(_MAPPED):
        return int.from_bytes(whole[12:], "big")
    return 1 << 64 | int.from_bytes(whole[:8], "big")
