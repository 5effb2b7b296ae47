"""Connect schedule: which socket is opened when: in order, paced, and again after a pause."""

import heapq
import random
import time
from typing import Final

TRIES_MAX: Final = 8
RETRY_S: Final = (0.25, 2.0)


class ConnectSchedule:
    """Args:
    numbers: sockets 0 … numbers - 1.
    rate_per_s: how many are opened a second; 0: as many as are asked for.
    seed: of the pauses.
    """

    def __init__(self, numbers: int, rate_per_s: float, seed: str) -> None:
        self._numbers = numbers
        self._rate = rate_per_s
        self._random = random.Random(seed)  # noqa: S311 - jitter
        self._tries = bytearray(numbers)
        self._fresh = 0  # numbers from here on were never tried
        self._again: list[tuple[float, int]] = []  # (not before, number)
        self._since = 0.0  # when the first was asked for
        self._taken = 0

    @property
    def waiting(self) -> bool:
        return self._fresh < self._numbers or bool(self._again)

    def take(self, most: int, now: float) -> list[int]:
        """Up to `most` numbers whose turn it is."""
        self._since = self._since or now
        if self._rate:
            most = min(most, int((now - self._since) * self._rate) - self._taken)
        taken: list[int] = []
        while len(taken) < most:
            if self._again and self._again[0][0] <= now:
                taken.append(heapq.heappop(self._again)[1])
            elif self._fresh < self._numbers:
                taken.append(self._fresh)
                self._fresh += 1
            else:
                break
        self._taken += len(taken)
        return taken

    def unpaced(self) -> None:
        self._rate = 0.0

    def at_once(self, number: int) -> None:
        heapq.heappush(self._again, (0.0, number))

    def later(self, number: int, at_least_s: float = 0.0) -> None:
        """After a random pause, and not before `at_least_s` seconds."""
        pause_s = max(0.0, at_least_s) + self._random.uniform(*RETRY_S)
        heapq.heappush(self._again, (time.monotonic() + pause_s, number))

    def failed(self, number: int, at_least_s: float) -> bool:
        """It comes again later; False: it has failed TRIES_MAX times in a row and does not."""
        self._tries[number] += 1
        if self._tries[number] >= TRIES_MAX:
            return False
        self.later(number, at_least_s)
        return True

    def worked(self, number: int) -> None:
        self._tries[number] = 0
