"""Admission: how many sessions one address may have, and how many a second may open in all."""

import contextlib
import random
import resource
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from miaosha.domain.errors import SettingsError
from miaosha.serving.buckets import full_at
from miaosha.serving.client_address import ClientAddresses

RETRY_S: Final = (1, 10)  # whoever is refused comes back after a random time in between
BURST_S: Final = 2.0  # of the accept rate, that may come at once
SERVER_DESCRIPTORS_KEPT: Final = 384  # of a server: for stores, logs, and connections it refuses
SERVER_DESCRIPTORS_MIN: Final = 512  # with less it does not start

Dice = Callable[[int, int], int]


class Admission:
    """Args:
    per_address_max: sessions from one address in this process; 0: any number.
    rate_per_s: sessions opened a second in this process; 0: any number.
    trusted: proxies whose X-Real-IP counts.
    dice: a whole number between two, both included; spreads those who come back.

    Attributes:
        addresses: tells what address a session is counted to.
    """

    def __init__(
        self,
        per_address_max: int = 0,
        rate_per_s: float = 0.0,
        trusted: Sequence[IPv4Network | IPv6Network] = (),
        *,
        monotonic: Callable[[], float],
        dice: Dice = random.randint,
    ) -> None:
        self.per_address_max = per_address_max
        self._cost_s = 1 / rate_per_s if rate_per_s else 0.0
        self._monotonic = monotonic
        self._dice = dice
        self._full_at = 0.0
        self.addresses = ClientAddresses(trusted)
        self._held: dict[int, int] = {}  # address → sessions

    def retry_after_s(self) -> int:
        """Seconds, for a client that is refused."""
        return self._dice(*RETRY_S)

    def in_time(self) -> bool:
        """Count one more session against the accept rate; False if it comes too soon."""
        if not self._cost_s:
            return True
        depth_s = max(BURST_S, self._cost_s)
        at = full_at(self._full_at, self._monotonic(), self._cost_s, depth_s)
        if at is None:
            return False
        self._full_at = at
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
    if limit < SERVER_DESCRIPTORS_MIN:
        raise SettingsError(
            f"this process may open {limit} files: "
            f"a gateway needs {SERVER_DESCRIPTORS_MIN} (ulimit -n)"
        )
    return min(wanted, limit - SERVER_DESCRIPTORS_KEPT)
