"""Sale queue: what waits for one sale: the batch that gathers, and full ones one by one."""

from collections import deque
from typing import Protocol

from miaosha.publisher.responses import Accepted


class Asker(Protocol):
    """A connection, which gets the answers to its requests by their numbers."""

    def answer(self, number: int, response: bytes) -> None: ...


class Gathering:
    """The presses of one batch: user n waits on connection n for request number n."""

    __slots__ = (
        "accepted",
        "began",
        "confirmed_at_s",
        "connections",
        "numbers",
        "over",
        "shared",
        "user_ids",
    )

    def __init__(self) -> None:
        self.user_ids: list[int] = []
        self.connections: list[Asker] = []
        self.numbers: list[int] = []
        self.shared: list[tuple[int, Asker, int]] = []  # (index, connection, number)
        self.accepted: Accepted | None = None
        self.began = 0.0  # when its first press came (monotonic seconds)
        self.confirmed_at_s = 0.0  # likewise
        self.over = False


class SaleQueue:
    """What waits for one sale: full batches, the one being gathered, and who pressed lately."""

    __slots__ = (
        "full",
        "gathering",
        "inflight",
        "older",
        "ready",
        "recent",
        "sale_id",
        "swap_at_s",
    )

    def __init__(self, sale_id: int) -> None:
        self.sale_id = sale_id
        self.full: deque[Gathering] = deque()
        self.gathering = Gathering()
        self.inflight = 0
        self.ready = False  # it stands in the batcher's round
        self.recent: dict[int, Gathering] = {}
        self.older: dict[int, Gathering] = {}
        self.swap_at_s = 0.0

    @property
    def idle(self) -> bool:
        return not self.inflight and not self.full and not self.gathering.user_ids

    @property
    def quiet(self) -> bool:
        """True: nothing waits, and no user pressed lately (see `forget`)."""
        return self.idle and not self.recent and not self.older

    def forget(self, at_s: float, keep_s: float) -> None:
        """Forget presses older than `keep_s` seconds, sooner or later; costs nothing per user.

        Args:
            at_s: now, in monotonic seconds.
        """
        if at_s >= self.swap_at_s:
            self.older, self.recent = self.recent, {}
            self.swap_at_s = at_s + keep_s

    def take(self) -> Gathering | None:
        """Returns the next batch that may go: a full one, or any if none is under way."""
        if self.full:
            return self.full.popleft()
        if self.inflight or not self.gathering.user_ids:
            return None
        gathering, self.gathering = self.gathering, Gathering()
        return gathering
