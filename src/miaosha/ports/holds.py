"""Holds: units that buyers may pay for, from the grant to the release.

Part of `ports.ledger.Ledger`, whose first lines hold here, too.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from miaosha.domain.reservation import HoldState


class Winner(NamedTuple):
    rid: str
    user_id: int
    rank: int
    version: int
    promoted: bool


class Hold(NamedTuple):
    rid: str
    sale_id: int
    user_id: int
    state: HoldState
    reason: str | None  # expired | declined, once RELEASED
    pay_by_ms: int
    paying_since_ms: int | None
    attempt: int
    rank: int
    version: int
    promoted: bool
    extended: bool  # its pay_by was lengthened on request; that is done once
    synced: bool


class GrantRefusal(StrEnum):
    EPOCH = "epoch"  # the epoch moved: decide again
    FROZEN = "frozen"  # wait
    STOCK = "stock"  # Redis promised too much: freeze, rebuild
    USER = "user"  # a second live hold of a user: likewise


class Released(NamedTuple):
    """`holds` are those this call moved to RELEASED; `epoch`: the ledger's in that transaction."""

    epoch: int
    frozen: bool
    holds: list[Hold]


class Extended(NamedTuple):
    """`fresh`: this call lengthened the hold. `hold`: the row now, None if foreign or unknown."""

    fresh: bool
    hold: Hold | None


class Holds(Protocol):
    async def grant(
        self, sale_id: int, epoch: int, winners: Sequence[Winner], now_ms: int
    ) -> list[Hold] | GrantRefusal:
        """Holds for all winners, or none. Returns each winner's row as it is now (repeats included:
        a row may be RELEASED by now), in the order of `winners`. Writes the `won` or `your_turn`
        mail into the outbox. pay_by = now + pay_within_s (standby_pay_within_s if promoted)."""

    async def by_rid(self, rids: Sequence[str]) -> dict[str, Hold]:
        """The rows by rid, in any state. A rid without a row is left out."""

    async def live(self, sale_id: int, user_id: int) -> Hold | None:
        """The user's row that is HELD, PAYING or PAID; None: there is none."""

    async def newest(self, sale_id: int, user_id: int) -> Hold | None:
        """The user's row of the highest rank, in any state; None: there is none."""

    async def due(self, now_ms: int, limit: int) -> list[Hold]:
        """HELD rows with pay_by + grace <= now, of sales that are not frozen, oldest first."""

    async def release(
        self, sale_id: int, rids: Sequence[str], reason: str, now_ms: int
    ) -> Released:
        """`expired` moves only what is due; `declined` any HELD. granted falls by as many; the
        `expired` mail goes into the outbox. A frozen sale: nothing."""

    async def unsynced(self, limit: int) -> list[Hold]:
        """RELEASED and PAID rows Redis has not been told of, of sales that are not frozen."""

    async def mark_synced(self, rids: Sequence[str], state: HoldState) -> None:
        """Redis was told of these (at most 512). A row in another state by now is left alone."""

    async def extend(
        self, rid: str, user_id: int, epoch: int, extra_s: int, now_ms: int
    ) -> Extended:
        """pay_by + extra_s of a HELD row that was never extended and is not due. The sale has this
        epoch and is not frozen. The trail's entry is in the same transaction."""

    async def page(self, sale_id: int, after: tuple[int, str]) -> list[Hold]:
        """The rows behind (user, rid) `after`, in that order: PAGE of them, or fewer, which are the
        last. (0, "") begins."""
