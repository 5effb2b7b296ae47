"""Store: the fast decision state of live sales (Redis). See domain/allocation.py for the rules.

Every writing call takes the epoch and returns a `Refusal` instead of its result when it wrote
nothing. Every call is one atomic step and safe to run twice; a call that was lost on the way
(DependencyDown) may be repeated blindly. The server's own run id is compared inside each script:
after a restart or failover every call returns Refusal.RUN_ID until a rebuild.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from miaosha.domain.allocation import Decision, Place, Promoted, Refusal
from miaosha.domain.messages import Batch
from miaosha.domain.reservation import State
from miaosha.domain.sale import Sale
from miaosha.ports.rebuilding import RebuildStore


class Reading(msgspec.Struct, frozen=True):
    """The counters of a live sale, read in one step. `epoch` 0: none (lost, or mid-rebuild).

    `now_ms` is the sale's time at the reading, which never runs back within an epoch. `ahead_ms` is
    how far that is ahead of its server's clock. `standby` and `ungranted` are lengths. `genuine` is
    False when the server's run id is not the one the sale was written to. A reading that is not
    `usable` says nothing about the sale.
    """

    sale_id: int
    epoch: int
    genuine: bool
    phase: str
    stock: int
    free: int
    held: int
    paid: int
    refused: int
    seq: int
    standby: int
    standby_limit: int
    ungranted: int
    batches: int
    closes_at_ms: int
    now_ms: int
    ahead_ms: int = 0

    @property
    def usable(self) -> bool:
        """False: the store lost the sale, or is rebuilding it."""
        return self.genuine and self.epoch != 0

    @property
    def sold_out(self) -> bool:
        """No unit is free, and standby is full."""
        return self.usable and self.free == 0 and self.standby >= self.standby_limit


class SaleBoard(NamedTuple):
    """The board of sales by id. Two boards of one `version` are the same."""

    version: str
    sales: Mapping[int, Sale]


class PlaceView(NamedTuple):
    """A buyer's place with what is derived from its neighbours.

    `ungranted`: a hold SQL does not know yet (reads `queued` everywhere). `position`: 1 is the
    head of standby; None unless on standby.
    """

    place: Place
    ungranted: bool
    position: int | None


class Ungranted(NamedTuple):
    rid: str
    user_id: int
    rank: int
    version: int
    promoted: bool


class Head(NamedTuple):
    """A buyer near the head of standby."""

    user_id: int
    rid: str
    position: int
    version: int


class GrantedHold(NamedTuple):
    """One hold as SQL committed it, for `granted`."""

    user_id: int
    rid: str
    pay_by_ms: int
    version: int


class Ending(NamedTuple):
    """One hold that ended in SQL, for `release` (expired or declined) and `settle` (paid)."""

    user_id: int
    rid: str
    state: State
    version: int


class Decisions(Protocol):
    """What becomes of requests, and of the units that holds and standby wait for."""

    async def decide(
        self,
        sale_id: int,
        epoch: int,
        batch: Batch,
        *,
        rebuilder: str = "",
        answered: Iterable[int] = (),
    ) -> Decision | Refusal:
        """One letter per request, recorded once; a repeat returns the recorded ones. `answered`:
        indices whose request SQL has a row of. `rebuilder`: the rebuild that acts in a freeze."""

    async def decide_many(
        self, sale_id: int, epoch: int, batches: Sequence[Batch]
    ) -> list[Decision | Refusal]:
        """`decide` for several batches of one sale in order, in one round trip. Not one atomic
        step: each batch is."""

    async def letter(self, sale_id: int, batch_id: str, index: int) -> str | None:
        """The recorded letter of a request, or None while its batch is not recorded."""

    async def granted(
        self, sale_id: int, epoch: int, told: Sequence[GrantedHold]
    ) -> Refusal | None:
        """Each hold leaves `ungranted` with its pay_by; one that is gone or ended is left alone."""

    async def ungranted(
        self, sale_id: int, *, older_than_ms: int, limit: int
    ) -> tuple[int, list[Ungranted]]:
        """(epoch, holds put on `ungranted` at least `older_than_ms` ms ago, oldest first), read
        in one step: the grant must use exactly this epoch."""

    async def release(
        self, sale_id: int, epoch: int, endings: Sequence[Ending]
    ) -> list[Promoted] | Refusal:
        """Each ending is one atomic release+promotion; a refusal part-way is returned and the
        caller repeats all of them later (repeating the finished ones changes nothing). Promotions
        made before a refusal stay on `ungranted`, where the scheduler finds them."""

    async def settle(self, sale_id: int, epoch: int, endings: Sequence[Ending]) -> Refusal | None:
        """Each place that still holds under its rid becomes paid; each is one atomic step."""

    async def promote(
        self, sale_id: int, epoch: int, *, rebuilder: str = ""
    ) -> list[Promoted] | Refusal:
        """At most PROMOTE_MAX; call again while it returns that many."""

    async def heads(self, sale_id: int, limit: int) -> list[Head]:
        """The first `limit` buyers of standby by rank."""

    async def leave(self, sale_id: int, epoch: int, user_id: int) -> Place | None | Refusal:
        """Give up a standby place. Returns the place as it is then, held or not; None: no place."""


class PlaceViews(Protocol):
    """The places of buyers, as they may see them."""

    async def place(self, sale_id: int, user_id: int) -> PlaceView | None:
        """A read: it takes no epoch and works in every phase."""

    async def places(self, sale_ids: Sequence[int], user_id: int) -> dict[int, PlaceView | None]:
        """`place` of one buyer in many sales; as `readings`."""


class Readings(Protocol):
    """The counters of sales, and the clock."""

    async def reading(self, sale_id: int) -> Reading | None:
        """None if Redis knows nothing of the sale."""

    async def readings(
        self, sale_ids: Sequence[int], within_s: float | None = None
    ) -> dict[int, Reading | None]:
        """`reading` of many sales, in few round trips; each is one step, all of them are not. A
        sale whose server does not answer (within `within_s` seconds, if given), or whose state
        cannot be read, is left out. Raises DependencyDown if no server answers."""

    async def now_ms(self) -> int:
        """The store's own clock, Unix ms, which may be set. Tell the time by `Clock`."""


class SaleStates(Protocol):
    """What holds for a sale as a whole."""

    async def set_phase(
        self, sale_id: int, epoch: int, phase: str, closes_at_ms: int, *, rebuilder: str = ""
    ) -> Refusal | None:
        """`phase`: open or paused. With the `rebuilder` of a rebuild it also ends the freeze."""

    async def resize(self, sale_id: int, epoch: int, stock: int) -> list[Promoted] | Refusal:
        """Raise the stock to this total (it never falls), then promote at most PROMOTE_MAX."""

    async def drop(self, sale_id: int, epoch: int) -> Refusal | None:
        """Delete everything of a settled sale (not its entry in `sales`)."""


class SaleBoards(Protocol):
    """The board, for every role's local cache: every sale that is published and not settled, and
    those settled lately."""

    async def write_sales(self, sales: Sequence[Sale]) -> None:
        """Replace the `sales` hash."""

    async def read_sales(self, seen: SaleBoard | None = None) -> SaleBoard | None:
        """The board as it is now. One that did not change since `seen` was read costs a small
        read, and `seen` is returned. None: the hash is missing (roles keep their last copy)."""


class StockStore(Decisions, PlaceViews, Readings, SaleStates, SaleBoards, RebuildStore, Protocol):
    """All of them: one store has them, and shares connections, scripts and what is frozen."""
