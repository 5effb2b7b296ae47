"""Rebuild specification: its scripts, begin → merge_places… → finish, at once to others.

Between begin and finish the sale has no epoch, so that every other script is refused. The three
act only for the rebuild whose turn it is: the one with the highest epoch that has begun.
"""

from collections.abc import Mapping

from miaosha.domain.allocation import Allocation
from miaosha.domain.place import Place
from miaosha.domain.reservation import State


def empty() -> Allocation:
    """A sale Redis knows nothing of: what a rebuild finds after a loss, or when it arms a sale."""
    return Allocation(epoch=0, stock=0, free=0, closes_at_ms=0, standby_limit=0, phase="")


def begin(sale: Allocation, epoch: int, rebuilder: str) -> bool:
    """Take the epoch away. False over an epoch, or another unfinished rebuild, not lower."""
    if sale.next_epoch == epoch and sale.rebuilder == rebuilder:
        return True
    if max(sale.epoch, sale.next_epoch) >= epoch:
        return False
    sale.epoch, sale.next_epoch, sale.rebuilder, sale.phase = 0, epoch, rebuilder, "frozen"
    return True


def _under_way(sale: Allocation, epoch: int, rebuilder: str) -> bool:
    return epoch > 0 and (sale.next_epoch, sale.rebuilder) == (epoch, rebuilder)


def merge_places(sale: Allocation, epoch: int, rebuilder: str, places: Mapping[int, Place]) -> bool:
    """Write places with their standby membership. False if it is not this rebuild's turn."""
    if not _under_way(sale, epoch, rebuilder):
        return False
    for user, place in places.items():
        sale.users[user] = place
        sale.standby.pop(user, None)
        if place.state is State.STANDBY:
            sale.standby[user] = place.rank
    return True


def finish(
    sale: Allocation,
    epoch: int,
    rebuilder: str,
    *,
    stock: int,
    held: int,
    paid: int,
    seq: int,
    closes_at_ms: int,
    standby_limit: int,
) -> bool:
    """Counters as SQL has them, `ungranted` empty, still frozen; the epoch is back. `seq` never
    falls. False if it is not this rebuild's turn (a repeat while the sale is frozen is True)."""
    if epoch and (sale.epoch, sale.rebuilder, sale.phase) == (epoch, rebuilder, "frozen"):
        return True
    if not _under_way(sale, epoch, rebuilder):
        return False
    sale.stock, sale.held, sale.paid = stock, held, paid
    sale.free = stock - held - paid
    sale.seq = max(sale.seq, seq, *sale.standby.values())
    sale.closes_at_ms, sale.standby_limit = closes_at_ms, standby_limit
    sale.ungranted.clear()
    sale.epoch, sale.next_epoch, sale.phase = epoch, 0, "frozen"
    return True
