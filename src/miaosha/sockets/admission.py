"""Who may open a session: not too many from one address, and not too many a second in all.

The address is the peer's own, or what a trusted proxy says in X-Real-IP; whoever connects over a
unix socket is one. An IPv6 address counts by its /64, which is what one home has.
"""

import contextlib
import ipaddress
import random
import resource
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

from miaosha.domain.errors import SettingsError

RETRY_S: Final = (1, 10)  # whoever is refused comes back after a random time in between
BURST_S: Final = 2.0  # of the accept rate, that may come at once
DESCRIPTORS_KEPT: Final = 384  # for the store, the bus, logs, and connections that are refused
DESCRIPTORS_MIN: Final = 512
PEERS_MAX: Final = 1_024  # proxies remembered

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Dice = Callable[[int, int], int]


class Admission:
    """Args:
    per_address_max: sessions from one address in this process; 0: any number.
    rate_per_s: sessions opened a second in this process; 0: any number.
    trusted: proxies whose X-Real-IP counts.
    dice: a whole number between two, both included; spreads those who come back.

    Attributes:
        from_address, too_fast: sessions refused, for each of the two reasons.
    """

    def __init__(
        self,
        per_address_max: int = 0,
        rate_per_s: float = 0.0,
        trusted: Sequence[Network] = (),
        *,
        monotonic: Callable[[], float],
        dice: Dice = random.randint,
    ) -> None:
        self.per_address_max = per_address_max
        self._cost_s = 1 / rate_per_s if rate_per_s else 0.0
        self._monotonic = monotonic
        self._dice = dice
        self._next_at = 0.0  # when the next session would be on time (GCRA)
        self._networks = trusted
        self._proxies: dict[str, bool] = {}
        self._held: dict[int, int] = {}  # address → sessions

    def retry_after_s(self) -> int:
        """What to tell somebody who is refused."""
        return self._dice(*RETRY_S)

    def in_time(self) -> bool:
        """Count one more session against the accept rate; False if it comes too soon."""
        if not self._cost_s:
            return True
        now = self._monotonic()
        at = max(self._next_at, now) + self._cost_s
        if at - now > max(BURST_S, self._cost_s) + 1e-9:
            return False
        self._next_at = at
        return True

    def take(self, address: int) -> bool:
        """Count one more session to an address; False, and nothing done, if it has too many."""
        held = self._held.get(address, 0)
        if held >= self.per_address_max:
            return False
        self._held[address] = held + 1
        return True

    def give_back(self, address: int) -> None:
        held = self._held[address] - 1
        if held:
            self._held[address] = held
        else:
            del self._held[address]

    def address(self, peer: Any, real_ip: bytes | None) -> int:
        """The number of the address a client comes from; 0 if nobody knows.

        Args:
            peer: the transport's peername; anything but (host, port, …) is a unix socket.
            real_ip: the X-Real-IP header.
        """
        host = str(peer[0]) if isinstance(peer, tuple) else ""
        if real_ip is not None and (not host or self._trusted(host)):
            host = real_ip.decode("latin-1")
        return number(host)

    def _trusted(self, host: str) -> bool:
        known = self._proxies.get(host)
        if known is None:
            known = False
            with contextlib.suppress(ValueError):
                address = ipaddress.ip_address(host)
                known = any(address in network for network in self._networks)
            if len(self._proxies) < PEERS_MAX:
                self._proxies[host] = known
        return known


def number(host: str) -> int:
    """An IPv4 address, or the /64 of an IPv6 address, as a number; 0 for anything else."""
    try:
        if ":" not in host:
            return int.from_bytes(socket.inet_pton(socket.AF_INET, host), "big")
        whole = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except OSError:
        return 0
    if whole.startswith(bytes(10) + b"\xff\xff"):  # an IPv4 address in IPv6 clothes
        return int.from_bytes(whole[12:], "big")
    return 1 << 64 | int.from_bytes(whole[:8], "big")


def sockets_max(wanted: int) -> int:
    """`wanted`, or what this process's limit of open files leaves for sockets: at that limit
    nothing could be accepted, not even to be refused. Raises the soft limit to the hard one.

    Raises:
        SettingsError: the limit is too low for any socket.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit < DESCRIPTORS_MIN:
        raise SettingsError(
            f"this process may open {limit} files: a gateway needs {DESCRIPTORS_MIN} (ulimit -n)"
        )
    return min(wanted, limit - DESCRIPTORS_KEPT)
