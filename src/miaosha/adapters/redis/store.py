"""Redis store: the port StockStore; each call is one Lua script (see lua/ and prelude.lua).

domain/allocation.py specifies what the scripts decide. This module lays out arguments and reads
replies; it decides nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from miaosha.adapters.redis import board
from miaosha.adapters.redis.connect import Client, reaching
from miaosha.adapters.redis.copies import Copies
from miaosha.adapters.redis.rebuild import Rebuilds
from miaosha.adapters.redis.scripts import Argument, load, refusal, run_many, sale_keys
from miaosha.domain.allocation import PROMOTE_MAX, Decision, Place, Promoted, Refusal
from miaosha.domain.messages import BATCH_USERS_MAX, Batch
from miaosha.domain.reservation import State
from miaosha.domain.sale import Phase, Sale
from miaosha.ports.store import Ending, GrantedHold, SaleBoard

LEAVE_TRIES = 3


class RedisStore(Rebuilds):
    """One store for all sales. Takes a client of `connect`, which its owner closes.

    Args:
        copies: what `decide_many` and `leave` wait for: their effects exist nowhere but here, or
            in an order that nothing else knows.

    Raises DependencyDown wherever the server does not answer; every call may be repeated.
    """

    def __init__(self, client: Client, copies: Copies | None = None) -> None:
        super().__init__(client)
        self._copies = copies

    async def decide(
        self,
        sale_id: int,
        epoch: int,
        batch: Batch,
        *,
        rebuilder: str = "",
        answered: Iterable[int] = (),
    ) -> Decision | Refusal:
        args = _decide_args(epoch, batch, rebuilder, answered)
        return _decision(await self._run("decide", sale_id, *args))

    async def decide_many(
        self, sale_id: int, epoch: int, batches: Sequence[Batch]
    ) -> list[Decision | Refusal]:
        calls = [_decide_args(epoch, batch) for batch in batches]
        answers = await self._run_many("decide", sale_id, calls, self._copies)
        return [_decision(answer) for answer in answers]

    async def granted(
        self, sale_id: int, epoch: int, told: Sequence[GrantedHold]
    ) -> Refusal | None:
        calls = [(epoch, t.user_id, t.rid, t.pay_by_ms, t.version) for t in told]
        return _first_refusal(await self._run_many("granted", sale_id, calls))

    async def release(
        self, sale_id: int, epoch: int, endings: Sequence[Ending]
    ) -> list[Promoted] | Refusal:
        assert all(e.state in (State.EXPIRED, State.DECLINED) for e in endings)
        calls = [(epoch, e.user_id, e.rid, e.state, e.version) for e in endings]
        answers = await self._run_many("release", sale_id, calls)
        if refused := _first_refusal(answers):
            return refused
        return [promoted for answer in answers for promoted in _promoted(answer)]

    async def settle(self, sale_id: int, epoch: int, endings: Sequence[Ending]) -> Refusal | None:
        assert all(e.state is State.PAID for e in endings)
        calls = [(epoch, e.user_id, e.rid, e.version) for e in endings]
        return _first_refusal(await self._run_many("settle", sale_id, calls))

    async def promote(
        self, sale_id: int, epoch: int, *, rebuilder: str = ""
    ) -> list[Promoted] | Refusal:
        answer = await self._run("promote", sale_id, epoch, rebuilder, PROMOTE_MAX)
        return refusal(answer) or _promoted(answer)

    async def leave(self, sale_id: int, epoch: int, user_id: int) -> Place | None | Refusal:
        """The place is named by its rid, so that a late repeat never ends a newer one."""
        place: Place | None = None
        for _ in range(LEAVE_TRIES):
            view = await self.place(sale_id, user_id)
            rid = view.place.rid if view else "-"
            calls = [(epoch, user_id, rid)]
            [answer] = await self._run_many("leave", sale_id, calls, self._copies)
            if refused := refusal(answer):
                return refused
            place = Place.parse(answer[0].decode()) if answer[0] else None
            if place is None or place.state is not State.STANDBY:
                break
        return place

    async def resize(self, sale_id: int, epoch: int, stock: int) -> list[Promoted] | Refusal:
        answer = await self._run("resize", sale_id, epoch, stock, PROMOTE_MAX)
        return refusal(answer) or _promoted(answer)

    async def set_phase(
        self, sale_id: int, epoch: int, phase: str, closes_at_ms: int, *, rebuilder: str = ""
    ) -> Refusal | None:
        assert phase in (Phase.OPEN, Phase.PAUSED), phase
        return refusal(await self._run("phase", sale_id, epoch, rebuilder, phase, closes_at_ms))

    async def drop(self, sale_id: int, epoch: int) -> Refusal | None:
        """Also of an older epoch or a server that restarted: a settled sale is never rebuilt."""
        return refusal(await self._run("drop", sale_id, epoch))

    async def write_sales(self, sales: Sequence[Sale]) -> None:
        await board.write(self._client, sales)

    async def read_sales(self, seen: SaleBoard | None = None) -> SaleBoard | None:
        return await board.read(self._client, seen)

    async def _run_many(
        self,
        name: str,
        sale_id: int,
        calls: Sequence[Sequence[Argument]],
        copies: Copies | None = None,
    ) -> list[Any]:
        with reaching("store"):
            return await run_many(self._client, load(name), sale_keys(sale_id), calls, copies)


def _decide_args(
    epoch: int, batch: Batch, rebuilder: str = "", answered: Iterable[int] = ()
) -> list[Argument]:
    assert len(batch.user_ids) <= BATCH_USERS_MAX
    skipped = ",".join(map(str, answered))
    return [epoch, rebuilder, batch.batch_id, batch.accepted_at_ms, skipped, *batch.user_ids]


def _decision(answer: Any) -> Decision | Refusal:
    if refused := refusal(answer):
        return refused
    letters, fresh, *texts = answer
    places = [None if text is None else Place.parse(text.decode()) for text in texts]
    return Decision(letters.decode(), places, bool(fresh))


def _promoted(answer: Any) -> list[Promoted]:
    rows = zip(*[iter(answer)] * 4, strict=True)
    return [Promoted(int(u), rid.decode(), int(rank), int(v)) for u, rid, rank, v in rows]


def _first_refusal(answers: Iterable[Any]) -> Refusal | None:
    return next((refused for answer in answers if (refused := refusal(answer))), None)
