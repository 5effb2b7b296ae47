"""Guesses: wrong passwords: how many may be tried, and how long the answer to one waits.

Nobody can lock an account: a right password is answered at once, from any address. The answer to a
*wrong* one waits, longer after each failure, and only a bounded number of them may wait. Failures
alone are counted: by address and account, by account, and by the device that signed in before.

Everything is per process, bounded, and by monotonic time. An account is the e-mail that was typed:
whether there is one makes no difference (ADR 19).
"""

import asyncio
import contextlib
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Hashable
from typing import Final, NamedTuple

from miaosha.domain.errors import Problem
from miaosha.ports.clock import Clock

KEYS_MAX: Final = 50_000  # counters, and accounts with addresses; beyond it the one longest unused
ADDRESSES_MAX: Final = 8  # remembered of one account
SEATS_MAX: Final = 256  # wrong answers that wait; beyond it 429, first for who failed most often
SEATS_OF_ADDRESS_MAX: Final = 16
SEATS_OF_PAIR_MAX: Final = 2  # of one address and account
REFUSED: Final = "sign_ins_waiting_max"


class Waits(NamedTuple):
    """Seconds that the answer to a wrong password waits.

    Attributes:
        first, longest: of one address at one account, doubled each time.
        step, most: for each failure at the account from anywhere; a person who mistypes in the
            middle of an attack waits no longer than `most`.
    """

    first: float = 1.0
    longest: float = 15.0
    step: float = 0.2
    most: float = 4.0


class Levels:
    """Failures by key, each forgotten at `per_minute`."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._rate_s = per_minute / 60
        self._clock = clock
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def of(self, key: Hashable) -> float:
        level, then = self._levels.get(key, (0.0, 0.0))
        return max(0.0, level - (self._clock.monotonic() - then) * self._rate_s)

    def add(self, key: Hashable, number: int = 1) -> float:
        """The level afterwards; a negative `number` gives back."""
        level = max(0.0, self.of(key) + number)
        self._levels.pop(key, None)
        if level > 0:
            self._levels[key] = (level, self._clock.monotonic())
        if len(self._levels) > KEYS_MAX:
            self._levels.popitem(last=False)
        return level

    def forget(self, key: Hashable) -> None:
        self._levels.pop(key, None)


class Seat:
    """Where one try waits for its answer. `left`: somebody who failed no more often has it now."""

    def __init__(self, pair: Hashable, address: Hashable, level: float) -> None:
        self.pair, self.address, self.level = pair, address, level
        self.left = asyncio.Event()


class WaitingRoom:
    """Bounded in all, by address, and by address and account."""

    def __init__(self) -> None:
        self._seats: dict[Seat, None] = {}  # in the order of their coming
        self._by_address: Counter[Hashable] = Counter()
        self._by_pair: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._seats)

    def sit(self, pair: Hashable, address: Hashable, level: float) -> Seat | None:
        """None if there is no room for this one. Of those who failed equally often the first to
        come gives way: hundreds of fresh addresses would else keep an owner's from its try."""
        if (
            self._by_pair[pair] >= SEATS_OF_PAIR_MAX
            or self._by_address[address] >= SEATS_OF_ADDRESS_MAX
        ):
            return None
        if len(self._seats) >= SEATS_MAX:
            worst = max(self._seats, key=lambda seat: seat.level)
            if worst.level < level:
                return None
            self.leave(worst)
            worst.left.set()
        seat = Seat(pair, address, level)
        self._seats[seat] = None
        self._by_address[address] += 1
        self._by_pair[pair] += 1
        return seat

    def leave(self, seat: Seat | None) -> None:
        """Harmless to repeat."""
        if seat is None or seat not in self._seats:
            return
        del self._seats[seat]
        _one_less(self._by_address, seat.address)
        _one_less(self._by_pair, seat.pair)


def _one_less(counter: Counter[Hashable], key: Hashable) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


class Familiar:
    """Addresses that signed in to an account: the last ADDRESSES_MAX of each."""

    def __init__(self) -> None:
        self._addresses: OrderedDict[str, tuple[Hashable, ...]] = OrderedDict()

    def __contains__(self, pair: tuple[str, Hashable]) -> bool:
        account, address = pair
        return address in self._addresses.get(account, ())

    def add(self, account: str, address: Hashable) -> None:
        before = self._addresses.pop(account, ())
        others = [one for one in before if one != address]
        self._addresses[account] = (*others, address)[-ADDRESSES_MAX:]
        if len(self._addresses) > KEYS_MAX:
            self._addresses.popitem(last=False)


class Guesses:
    """Args:
    free: failures without a wait; as many are forgotten a minute.
    """

    def __init__(self, free: int, clock: Clock, waits: Waits | None = None) -> None:
        self._free = free
        self._clock = clock
        self._waits = waits or Waits()
        self._levels = Levels(free, clock)
        self._familiar = Familiar()
        self._room = WaitingRoom()

    def knows(self, account: str, address: Hashable, device: str | None = None) -> bool:
        """Has this device or address signed in to the account before, and not failed too often
        since? A stolen device token is worth `free` failures a minute."""
        return self._device_is_good(device) or (
            (account, address) in self._familiar
            and self._levels.of((account, address)) < self._free
        )

    def welcome(self, account: str, address: Hashable) -> None:
        """Somebody who proved to own the account is at this address."""
        self._familiar.add(account, address)

    @contextlib.asynccontextmanager
    async def trying(
        self, account: str, address: Hashable, device: str | None = None
    ) -> AsyncIterator[None]:
        """Around one try. A Problem("bad_credentials") within is a failure, and its answer waits.

        Args:
            account: the e-mail as it was typed, in its canonical form if it has one.
            address: as `ClientAddresses` has it.
            device: the id of a device token that names this account.

        Raises:
            Problem: rate_limited, without a try or instead of its answer: too many wait.
        """
        if self._device_is_good(device):
            async with self._counted(("device", device)):
                yield
        else:
            async with self._slowed(account, address):
                yield
        self.welcome(account, address)

    def _device_is_good(self, device: str | None) -> bool:
        return device is not None and self._levels.of(("device", device)) < self._free

    @contextlib.asynccontextmanager
    async def _slowed(self, account: str, address: Hashable) -> AsyncIterator[None]:
        pair = (account, address)
        here, seat = self._levels.of(pair), None
        wait = self._wait(here + 1, self._levels.of(("account", account)) + 1)
        if wait and not self.knows(account, address):
            seat = self._room.sit(pair, address, here)
            if seat is None:
                raise _too_many(wait)
        began = self._clock.monotonic()
        try:
            async with self._counted(pair, ("account", account)):
                yield
        except Problem as problem:
            if problem.code == "bad_credentials" and wait:
                # Of the known, too: their neighbours learn nothing from a quicker answer.
                seat = seat or self._room.sit(pair, address, here)
                await _stay(seat, wait - (self._clock.monotonic() - began))
            raise
        finally:
            self._room.leave(seat)

    @contextlib.asynccontextmanager
    async def _counted(self, own: Hashable, *others: Hashable) -> AsyncIterator[None]:
        """Counted as a failure beforehand, so that many tries at once are no way around; given back
        if it was none, and whoever succeeds begins afresh."""
        for key in (own, *others):
            self._levels.add(key)
        try:
            yield
        except BaseException as error:
            if not (isinstance(error, Problem) and error.code == "bad_credentials"):
                for key in (own, *others):
                    self._levels.add(key, -1)
            raise
        self._levels.forget(own)
        for key in others:
            self._levels.add(key, -1)

    def _wait(self, here: float, anywhere: float) -> float:
        """Args: failures from this address, and from everywhere, this one included."""
        waits, wait = self._waits, 0.0
        if (over := here - self._free) > 0:
            wait = min(waits.longest, waits.first * 2 ** min(over - 1, 10))
        if (over := anywhere - self._free) > 0:
            wait = max(wait, min(waits.most, waits.step * over))
        return wait


async def _stay(seat: Seat | None, seconds: float) -> None:
    """Raises Problem("rate_limited") if the seat was taken away."""
    if seat is None or seconds <= 0:
        return
    with contextlib.suppress(TimeoutError):
        # not wait_for: that of Python 3.11 may swallow a cancellation
        async with asyncio.timeout(seconds):
            await seat.left.wait()
        raise _too_many(seconds)


def _too_many(wait: float) -> Problem:
    return Problem("rate_limited", f"The limit is {REFUSED}.", retry_after_s=int(wait) + 1)
