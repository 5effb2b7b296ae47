"""Upstreams: which processes answer for a role, as lines of nginx's configuration.

It knows addresses (`unix:/path` or `host:port`) and how nginx chooses among them, not URL paths.
"""

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Final

from miaosha.domain.errors import SettingsError
from miaosha.domain.urls import text_fault
from miaosha.serving.listening import parsed
from miaosha.serving.roles import LISTENING
from miaosha.supervisor.edge.nginx_paths import quoted

Addresses = Mapping[str, Sequence[str]]  # of `publisher`, `gateway` and `api`
SID_PREFIXES_MAX: Final = 10_000  # a polling session's sid starts with at most four digits
ZONE: Final = "        zone {name} 256k;\n"
_ADDRESS: Final = re.compile(r"unix:/.+|([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_RESOLVER: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


def upstream_lines(addresses: Addresses, resolver: str, presses_max: int) -> dict[str, str]:
    """The template's values.

    Args:
        addresses: of each role; the place of a gateway in its list is the number of its process.
        resolver: DNS server that is asked again and again for their names, so that replicas may
            come and go; "": names are looked up when nginx reads its configuration.
        presses_max: connections to one publisher at most; over them 503.

    Raises:
        SettingsError: a role without an address, or something that is no address.
    """
    for role in LISTENING:
        _check(role, addresses.get(role, ()))
    if resolver and not _RESOLVER.fullmatch(resolver):
        raise SettingsError(f"{resolver!r}: expected the address of a DNS server")
    return {
        "resolver": f"    resolver {resolver} valid=2s;" if resolver else "",
        "publishers": _servers(
            "publishers", addresses["publisher"], resolver, f" max_conns={presses_max}"
        ),
        "gateways": _servers("gateways", addresses["gateway"], resolver),
        "apis": _servers("apis", addresses["api"], resolver),
        **_each_gateway(addresses["gateway"], resolver),
    }


def _check(role: str, addresses: Sequence[str]) -> None:
    if not 0 < len(addresses) <= SID_PREFIXES_MAX:
        raise SettingsError(f"{len(addresses)} addresses of the {role}: expected 1 or more")
    for address in addresses:
        if not _ADDRESS.fullmatch(address) or text_fault(address):
            raise SettingsError(
                f"{address!r}: expected the address of a {role} as host:port or unix:/path"
            )


def _servers(name: str, addresses: Sequence[str], resolver: str, more: str = "") -> str:
    named = resolver and any(_is_name(address) for address in addresses)
    lines = [
        f"        server {quoted(address)}{' resolve' if named and _is_name(address) else ''}"
        f"{_failing(address)}{more};"
        for address in addresses
    ]
    return (ZONE.format(name=name) if named else "") + "\n".join(lines)


def _failing(address: str) -> str:
    """A socket file is there or not, at once; a host that is gone costs a connect timeout."""
    return " max_fails=0" if address.startswith("unix:") else " max_fails=2 fail_timeout=2s"


def _is_name(address: str) -> bool:
    """Does it take a DNS server to find it?"""
    if address.startswith("unix:"):
        return False
    try:
        ip_address(parsed(address).host)
    except ValueError:
        return True
    return False


def _each_gateway(addresses: Sequence[str], resolver: str) -> dict[str, str]:
    """An upstream of its own for each gateway; the process's number is its place in the list."""
    upstreams = [
        f"    upstream gateway_{number} {{\n"
        f"{_servers(f'gateway_{number}', [address], resolver)}\n        keepalive 16;\n    }}"
        for number, address in enumerate(addresses)
    ]
    numbers = [f"        {number} gateway_{number};" for number in range(len(addresses))]
    return {"each_gateway": "\n".join(upstreams), "gateway_numbers": "\n".join(numbers)}
