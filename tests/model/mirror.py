"""Holds the model's scripts against `miaosha.domain`, call by call.

`mirrored(scope)` gives for every function of redis_steps one that also makes the same call on an
`Allocation` and asserts that both end up the same. What the model leaves out is left out of the
comparison: pay_by, the count of refusals, whether an ungranted hold was promoted, and the server's
run id, which is the prelude's business and not the specification's.
"""

from collections.abc import Callable, Sequence
from typing import Any

from miaosha.domain import allocation, rebuild
from miaosha.domain.allocation import Allocation, Decision, Place, Refusal
from miaosha.domain.messages import BATCH_VERSION, Batch
from miaosha.domain.place import Row, merge
from miaosha.domain.reservation import HoldState, State
from tests.model import redis_steps as steps
from tests.model import state as model
from tests.model.scope import Scope
from tests.model.state import LETTERS, PAID, PLACE_NAMES, RUN_ID, STANDBY, Redis, Rows

CLOSES_AT_MS = 1_000
PHASES = ("open", "paused", "frozen")
REFUSED = (None, Refusal.EPOCH, Refusal.RUN_ID, Refusal.FROZEN, Refusal.PAUSED)


class Mirror:
    """The calls of one scope; `calls` counts those compared."""

    def __init__(self, c: Scope) -> None:
        self.c = c
        self.calls: dict[str, int] = {}
        self._model: dict[str, Callable[..., Any]] = {
            name: getattr(steps, name)
            for name in (
                *("decide", "promote", "granted", "release", "settle", "leave", "resize"),
                *("set_phase", "begin_rebuild", "merge_places", "finish_rebuild"),
            )
        }

    def functions(self) -> dict[str, Callable[..., Any]]:
        return {name: self._checked(name) for name in self._model}

    def _checked(self, name: str) -> Callable[..., Any]:
        model = self._model[name]
        told = getattr(self, f"_{name}")

        def call(c: Scope, redis: Redis, *args: Any, **more: Any) -> Any:
            answer = model(c, redis, *args, **more)
            refusal, after, said = (
                answer if isinstance(answer, tuple) and len(answer) == 3 else (0, answer, None)
            )
            if refusal == RUN_ID or not (
                redis.genuine or name == "begin_rebuild" or not redis.epoch
            ):
                return answer
            sale = self.sale(redis)
            twin = told(sale, *args, **more)
            expected = self.sale(redis if after is None else after)
            assert masked(sale) == masked(expected), (name, redis, args, more)
            assert self.same(refusal, after, said, twin), (name, redis, args, more, twin)
            self.calls[name] = self.calls.get(name, 0) + 1
            return answer

        return call

    @staticmethod
    def same(refusal: int, after: Any, said: Any, twin: Any) -> bool:
        if isinstance(twin, Refusal) or refusal:
            return bool(REFUSED[refusal] is twin)
        if isinstance(twin, Decision):
            return twin.letters == "".join(LETTERS[letter] for letter in said)
        if isinstance(twin, bool) and said is None:  # a step of the rebuild
            return twin == (after is not None)
        return True

    # the domain's side

    def rid(self, rid: int) -> str:
        batch = self.c.batch_of[rid]
        return f"b{batch}.{rid - self.c.first[batch]}"

    def place(self, place: model.Place) -> Place:
        state = State(PLACE_NAMES[place.state])
        return Place(state, self.rid(place.rid), place.rank, place.version)

    def sale(self, redis: Redis) -> Allocation:
        places = {user: place for user, place in enumerate(redis.users) if place}
        return Allocation(
            epoch=redis.epoch,
            stock=redis.stock,
            free=redis.free,
            closes_at_ms=CLOSES_AT_MS,
            standby_limit=self.c.standby_limit,
            phase=PHASES[redis.phase],
            rebuilder=str(redis.rebuilder or ""),
            next_epoch=redis.begun,
            held=redis.held,
            paid=redis.paid,
            seq=redis.seq,
            users={user: self.place(place) for user, place in places.items()},
            standby={u: place.rank for u, place in places.items() if place.state == STANDBY},
            ungranted={self.rid(rid): (self.c.user_of[rid], False) for rid in redis.ungranted},
            batches={
                f"b{b}": "".join(LETTERS[letter] for letter in letters)
                for b, letters in enumerate(redis.batches)
                if letters
            },
        )

    def _decide(
        self,
        sale: Allocation,
        epoch: int,
        batch: int,
        late: bool,
        rebuilder: int = 0,
        answered: Sequence[int] = (),
    ) -> Any:
        accepted = CLOSES_AT_MS if late else 0
        users = list(self.c.batches[batch])
        message = Batch(BATCH_VERSION, 1, f"b{batch}", accepted, users)
        return allocation.decide(
            sale, epoch, message, rebuilder=str(rebuilder or ""), answered=answered
        )

    def _promote(self, sale: Allocation, epoch: int, rebuilder: int = 0) -> Any:
        return allocation.promote(sale, epoch, rebuilder=str(rebuilder or ""))

    def _granted(self, sale: Allocation, epoch: int, rid: int, version: int) -> Any:
        return allocation.granted(sale, epoch, self.c.user_of[rid], self.rid(rid), 0, version)

    def _release(self, sale: Allocation, epoch: int, rid: int, reason: int, version: int) -> Any:
        state = State(PLACE_NAMES[reason])
        user = self.c.user_of[rid]
        return allocation.release(sale, epoch, user, self.rid(rid), state, version)

    def _settle(self, sale: Allocation, epoch: int, rid: int, version: int) -> Any:
        return allocation.settle(sale, epoch, self.c.user_of[rid], self.rid(rid), version)

    def _leave(self, sale: Allocation, epoch: int, user: int) -> Any:
        return allocation.leave(sale, epoch, user)

    def _resize(self, sale: Allocation, epoch: int, stock: int) -> Any:
        return allocation.resize(sale, epoch, stock)

    def _set_phase(self, sale: Allocation, epoch: int, phase: int, rebuilder: int = 0) -> Any:
        name = PHASES[phase]
        return allocation.set_phase(sale, epoch, name, CLOSES_AT_MS, rebuilder=str(rebuilder or ""))

    def _begin_rebuild(self, sale: Allocation, epoch: int) -> bool:
        return rebuild.begin(sale, epoch, str(epoch))

    def _merge_places(self, sale: Allocation, epoch: int, users: Sequence[int], rows: Rows) -> bool:
        merged = {user: merge(sale.users.get(user), self._rows(user, rows)) for user in users}
        places = {user: place for user, place in merged.items() if place is not None}
        return rebuild.merge_places(sale, epoch, str(epoch), places)

    def _rows(self, user: int, rows: Rows) -> list[Row]:
        found = []
        for rid in self.c.rids_of[user]:
            if row := rows[rid]:
                ended = row.state > PAID
                name = PLACE_NAMES[row.state]
                state = HoldState.RELEASED if ended else HoldState(name.upper())
                reason = name if ended else None
                found.append(Row(self.rid(rid), user, state, reason, row.rank, row.version, 0))
        return found

    def _finish_rebuild(self, sale: Allocation, epoch: int, stock: int, rows: Rows) -> bool:
        known = [row for row in rows if row]
        return rebuild.finish(
            sale,
            epoch,
            str(epoch),
            stock=stock,
            held=sum(1 for row in known if row.state < PAID),
            paid=sum(1 for row in known if row.state == PAID),
            seq=max((row.rank for row in known), default=0),
            closes_at_ms=CLOSES_AT_MS,
            standby_limit=self.c.standby_limit,
        )


def masked(sale: Allocation) -> Allocation:
    """Without what the model leaves out."""
    sale.refused = 0
    sale.ungranted = {rid: (user, False) for rid, (user, _) in sale.ungranted.items()}
    return sale
