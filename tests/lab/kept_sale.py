"""Kept sale: what the laboratory's store has of one sale.

The specification's `Allocation`, and beside it what the scripts keep for themselves.
"""

from copy import copy
from dataclasses import dataclass, field
from typing import NamedTuple

from miaosha.domain.allocation import Allocation


class KeptHold(NamedTuple):
    """A member of `ungranted`, in the order of its sorted set."""

    since_ms: int
    member: str
    rid: str
    user_id: int
    promoted: bool


@dataclass
class KeptSale(Allocation):
    """See the module.

    Attributes:
        run_id: of the server that the sale was written to.
        clock_ms: the latest time a script has seen, Unix ms.
        since_ms: when a hold came on `ungranted`, by rid.
    """

    run_id: str = ""
    clock_ms: int = 0
    since_ms: dict[str, int] = field(default_factory=dict)

    def head(self) -> int:
        return self.line()[0]

    def line(self) -> list[int]:
        """Standby in order. Equal ranks sort as a sorted set of Redis does: by the user's text."""
        return sorted(self.standby, key=lambda user: (self.standby[user], str(user)))

    def stamp(self, now_ms: int) -> None:
        """Note the time of those that came on `ungranted` just now, and forget those that left."""
        since = self.since_ms
        self.since_ms = {rid: since.get(rid, now_ms) for rid in self.ungranted}

    def holds(self) -> list[KeptHold]:
        """`ungranted`, the oldest first."""
        return sorted(
            KeptHold(self.since_ms[rid], f"{rid}|{user}|{int(promoted)}", rid, user, promoted)
            for rid, (user, promoted) in self.ungranted.items()
        )

    def is_ungranted(self, rid: str, user: int) -> bool:
        return rid in self.ungranted and self.ungranted[rid][0] == user

    def copy(self) -> "KeptSale":
        """One that shares nothing which changes."""
        twin = copy(self)
        twin.users, twin.standby = dict(self.users), dict(self.standby)
        twin.ungranted, twin.since_ms = dict(self.ungranted), dict(self.since_ms)
        twin.batches = dict(self.batches)
        return twin


def unknown_sale() -> KeptSale:
    """As `rebuild.empty`: nothing is known of the sale."""
    return KeptSale(epoch=0, stock=0, free=0, closes_at_ms=0, standby_limit=0, phase="")
