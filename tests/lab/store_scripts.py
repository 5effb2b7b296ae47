"""Store scripts: what the laboratory's Redis decides, rebuilds and reads, sale by sale.

Each method is one script or command, at one instant. `domain/allocation.py` and `domain/rebuild.py`
decide. Here is what they have no word for: run ids and the clock. Where the scripts differ from the
specification, this follows the scripts.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from miaosha.domain import allocation as spec
from miaosha.domain import rebuild
from miaosha.domain.allocation import Decision, Place, Promoted, Refusal
from miaosha.domain.messages import Batch
from miaosha.domain.reservation import State
from miaosha.ports.rebuilding import RebuildMeta
from miaosha.ports.store import Ending, GrantedHold, Head, PlaceView, Reading, Ungranted
from tests.lab.kept_sale import KeptSale, unknown_sale

T = TypeVar("T")

Stamps = Callable[[KeptSale, KeptSale], bool]  # whether a script notes the time, before and after


class StoreScripts:
    """See the module; `tests/lab/store_server.py` is the whole server.

    Args:
        now_ms: its own clock, Unix ms, which may be set, also back.
        scan_page: entries of one page of a scan; with fewer, a small sale has several.

    Attributes:
        sales: what is kept, by sale id. Tests and oracles may look, and nobody else.
    """

    run_id: str

    def __init__(self, now_ms: Callable[[], int], scan_page: int) -> None:
        assert scan_page > 1
        self.now_ms = now_ms
        self.scan_page = scan_page
        self.sales: dict[int, KeptSale] = {}

    def wrote(self, sale_id: int, before: KeptSale | None) -> None:
        """A sale is not any more as it was `before` (None: it was unknown)."""

    # decisions

    def decide(
        self, sale_id: int, epoch: int, batch: Batch, rebuilder: str, answered: Sequence[int]
    ) -> Decision | Refusal:
        return self._write(
            sale_id,
            epoch,
            lambda sale: spec.decide(sale, epoch, batch, rebuilder=rebuilder, answered=answered),
        )

    def granted(self, sale_id: int, epoch: int, told: GrantedHold) -> bool | Refusal:
        user, rid, pay_by_ms, version = told

        def act(sale: KeptSale) -> bool | Refusal:
            other = None
            if rid in sale.ungranted and not sale.is_ungranted(rid, user):
                other = sale.ungranted.pop(rid)  # the set's members name the user, too
            changed = spec.granted(sale, epoch, user, rid, pay_by_ms, version)
            if other is not None:
                sale.ungranted[rid] = other
            return changed

        return self._write(
            sale_id, epoch, act, stamps=lambda before, sale: before.users != sale.users
        )

    def release(self, sale_id: int, epoch: int, ending: Ending) -> list[Promoted] | Refusal:
        user, rid, reason, version = ending

        def act(sale: KeptSale) -> list[Promoted] | Refusal:
            line, over = sale.standby, sale.free < 0
            if over:  # more is held than there is stock: the unit is nobody's
                sale.standby = {}
            promoted = spec.release(sale, epoch, user, rid, reason, version)
            if over:
                sale.standby = line
            return promoted

        return self._write(sale_id, epoch, act)

    def settle(self, sale_id: int, epoch: int, ending: Ending) -> bool | Refusal:
        user, rid, _, version = ending
        return self._write(
            sale_id, epoch, lambda sale: spec.settle(sale, epoch, user, rid, version)
        )

    def promote(self, sale_id: int, epoch: int, rebuilder: str) -> list[Promoted] | Refusal:
        return self._write(
            sale_id,
            epoch,
            lambda sale: spec.promote(sale, epoch, rebuilder=rebuilder),
            stamps=lambda before, sale: before.free > 0,
            always=True,
        )

    def leave(self, sale_id: int, epoch: int, user: int, rid: str) -> Place | None | Refusal:
        return self._write(sale_id, epoch, lambda sale: spec.leave(sale, epoch, user, rid))

    def resize(self, sale_id: int, epoch: int, stock: int) -> list[Promoted] | Refusal:
        return self._write(
            sale_id,
            epoch,
            lambda sale: spec.resize(sale, epoch, stock),
            always=True,
        )

    def set_phase(
        self, sale_id: int, epoch: int, phase: str, closes_at_ms: int, rebuilder: str
    ) -> bool | Refusal:
        return self._write(
            sale_id,
            epoch,
            lambda sale: spec.set_phase(sale, epoch, phase, closes_at_ms, rebuilder=rebuilder),
            always=True,
        )

    def drop(self, sale_id: int, epoch: int) -> Refusal | None:
        """Whichever server the sale was written to."""
        sale = self.sales.get(sale_id)
        if sale is None:
            return None
        if max(sale.epoch, sale.next_epoch) > epoch:
            return Refusal.EPOCH
        self.wrote(sale_id, self.sales.pop(sale_id))
        return None

    def _write(
        self,
        sale_id: int,
        epoch: int,
        act: Callable[[KeptSale], T | Refusal],
        *,
        stamps: Stamps = lambda before, sale: True,
        always: bool = False,
    ) -> T | Refusal:
        """One script of an epoch. It notes the time if it changed something and `stamps` says so;
        `always`: whether or not it changed anything."""
        sale = self.sales.get(sale_id)
        if sale is None or not epoch or sale.epoch != epoch:
            return Refusal.EPOCH
        if sale.run_id != self.run_id:
            return Refusal.RUN_ID
        now_ms, before = max(self.now_ms(), sale.clock_ms), sale.copy()
        answer = act(sale)
        if isinstance(answer, Refusal):
            assert sale == before, "a refusal leaves no trace"
            return answer
        changed = sale != before
        if (changed or always) and stamps(before, sale):
            sale.clock_ms = now_ms
        if changed:
            sale.stamp(now_ms)
        if changed or sale.clock_ms != before.clock_ms:
            self.wrote(sale_id, before)
        return answer

    # rebuilds

    def begin(self, sale_id: int, epoch: int, rebuilder: str) -> bool:
        before = self.sales.get(sale_id)
        sale = before.copy() if before else unknown_sale()
        ours = sale.run_id == self.run_id
        if (sale.next_epoch, sale.rebuilder) == (epoch, rebuilder):
            return ours
        if not rebuild.begin(sale, epoch, rebuilder):
            return False
        sale.run_id, sale.clock_ms = self.run_id, self.now_ms()  # time begins anew
        self.sales[sale_id] = sale
        self.wrote(sale_id, before)
        return True

    def merge(self, sale_id: int, epoch: int, rebuilder: str, places: Mapping[int, Place]) -> bool:
        return self._rebuild(
            sale_id, lambda sale: rebuild.merge_places(sale, epoch, rebuilder, places)
        )

    def finish(self, sale_id: int, epoch: int, rebuilder: str, meta: RebuildMeta) -> bool:
        def act(sale: KeptSale) -> bool:
            waited = sale.epoch == 0
            done = rebuild.finish(sale, epoch, rebuilder, **meta._asdict())
            if done and waited:
                sale.clock_ms = max(self.now_ms(), sale.clock_ms)
                sale.stamp(sale.clock_ms)
            return done

        return self._rebuild(sale_id, act)

    def _rebuild(self, sale_id: int, act: Callable[[KeptSale], bool]) -> bool:
        """A step of a rebuild that began on this server since it started."""
        sale = self.sales.get(sale_id)
        if sale is None or sale.run_id != self.run_id:
            return False
        before = sale.copy()
        done = act(sale)
        if sale != before:
            self.wrote(sale_id, before)
        return done

    # reads, in every phase and epoch, on whichever server

    def reading(self, sale_id: int) -> Reading | None:
        sale = self.sales.get(sale_id)
        if sale is None:
            return None
        server_ms = self.now_ms()
        now_ms = max(server_ms, sale.clock_ms)
        return Reading(
            sale_id=sale_id,
            epoch=sale.epoch,
            genuine=sale.run_id == self.run_id,
            phase=sale.phase,
            stock=sale.stock,
            free=sale.free,
            held=sale.held,
            paid=sale.paid,
            refused=sale.refused,
            seq=sale.seq,
            standby=len(sale.standby),
            standby_limit=sale.standby_limit,
            ungranted=len(sale.ungranted),
            batches=len(sale.batches),
            closes_at_ms=sale.closes_at_ms,
            now_ms=now_ms,
            ahead_ms=now_ms - server_ms,
        )

    def place(self, sale_id: int, user: int) -> PlaceView | None:
        sale = self.sales.get(sale_id)
        place = sale.users.get(user) if sale else None
        if sale is None or place is None:
            return None
        position = sale.line().index(user) + 1 if place.state is State.STANDBY else None
        ungranted = place.state is State.HELD and sale.is_ungranted(place.rid, user)
        return PlaceView(place, ungranted, position)

    def ungranted(
        self, sale_id: int, older_than_ms: int, limit: int
    ) -> tuple[int, list[Ungranted]]:
        sale = self.sales.get(sale_id)
        if sale is None or not sale.epoch or sale.run_id != self.run_id:
            return 0, []
        until_ms = max(self.now_ms(), sale.clock_ms) - older_than_ms
        old = [hold for hold in sale.holds() if hold.since_ms <= until_ms][:limit]
        answer = []
        for hold in old:
            place = sale.users.get(hold.user_id)
            if place and place.state is State.HELD and place.rid == hold.rid:
                answer.append(
                    Ungranted(hold.rid, hold.user_id, place.rank, place.version, hold.promoted)
                )
        return sale.epoch, answer

    def heads(self, sale_id: int, limit: int) -> list[Head]:
        """A limit of 0 is no limit, as it is to ZRANGE there."""
        sale = self.sales.get(sale_id)
        if sale is None:
            return []
        line = enumerate(sale.line()[: limit or None], start=1)
        places = ((position, user, sale.users[user]) for position, user in line)
        return [Head(user, place.rid, position, place.version) for position, user, place in places]

    def places_of(self, sale_id: int, users: Collection[int]) -> dict[int, Place]:
        known = self.sales[sale_id].users if sale_id in self.sales else {}
        return {user: known[user] for user in users if user in known}

    def records(self, sale_id: int, batches: Collection[str]) -> dict[str, str]:
        known = self.sales[sale_id].batches if sale_id in self.sales else {}
        return {batch: known[batch] for batch in batches if batch in known}

    def scan(self, sale_id: int, cursor: int) -> tuple[int, list[tuple[int, Place]]]:
        """A page of the places. Its last entry comes again in the next one, as HSCAN may do."""
        sale = self.sales.get(sale_id)
        places = list(sale.users.items()) if sale else []  # in order of coming; none is deleted
        after = cursor + self.scan_page
        page = places[max(cursor - 1, 0) : after]
        return (after if after < len(places) else 0), page
