"""Token buckets in memory, bounded in number, and the address of a client behind the edge.

Limits are per process: with k API processes a caller gets up to k times the rate. The edge has its
own limit per address.
"""

import contextlib
import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, Final

from miaosha.domain.errors import Problem
from miaosha.ports.clock import Clock
from miaosha.settings import Network

BUCKETS_MAX: Final = 50_000  # keys remembered; beyond it the one longest unused starts afresh


class Buckets:
    """One limit: `most` within `per_s` seconds on the long run, as many at once."""

    def __init__(self, name: str, most: int, clock: Clock, per_s: int = 60) -> None:
        self._name = name
        self._capacity = float(most)
        self._rate_s = most / per_s
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> None:
        """Raises Problem("rate_limited") with the time after which it is worth asking again."""
        now = self._clock.monotonic()
        left, then = self._left.pop(key, (self._capacity, now))
        left = min(self._capacity, left + (now - then) * self._rate_s)
        allowed = left >= 1
        self._left[key] = (left - 1 if allowed else left, now)
        if len(self._left) > BUCKETS_MAX:
            self._left.popitem(last=False)
        if not allowed:
            wait = int((1 - left) / self._rate_s) + 1
            raise Problem("rate_limited", f"The limit is {self._name}.", retry_after_s=wait)

    @contextlib.contextmanager
    def failures(self, key: str) -> Iterator[None]:
        """Take, and give back unless what is within ends in Problem("bad_credentials")."""
        self.take(key)
        try:
            yield
        except Problem as problem:
            if problem.code != "bad_credentials":
                self._give_back(key)
            raise
        except BaseException:
            self._give_back(key)
            raise
        self._give_back(key)

    def _give_back(self, key: str) -> None:
        if (held := self._left.get(key)) is not None:
            left, then = held
            self._left[key] = (min(self._capacity, left + 1), then)


class AtOnce:
    """One limit: so many of one key under way at once, so that nobody fills a queue alone."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._under_way: Counter[str] = Counter()

    def has_room(self, key: str) -> bool:
        return self._under_way[key] < self._most

    @contextlib.contextmanager
    def one(self, key: str) -> Iterator[None]:
        """Raises Problem("rate_limited")."""
        if not self.has_room(key):
            raise Problem("rate_limited", f"The limit is {self._name}.", retry_after_s=1)
        self._under_way[key] += 1
        try:
            yield
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]


def client_key(scope: Any, trusted: Sequence[Network]) -> str:
    """What per-address limits count by: the address, of IPv6 its /64.

    X-Real-IP counts only if the peer is the edge: a unix socket or a trusted proxy.
    """
    peer = (scope.get("client") or ("", 0))[0]
    if not peer or _within(peer, trusted):
        given = next((value for name, value in scope["headers"] if name == b"x-real-ip"), b"")
        peer = given.decode("latin-1").strip() or peer
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)


def _within(peer: str, trusted: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return any(address in network for network in trusted)
