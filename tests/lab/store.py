"""Store: clients of the laboratory's store server, one class for each of its ports.

Each call passes through the link as often as the real adapter makes a round trip, so that losses
and other clients come in between where they do there.
"""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import msgspec

from miaosha.adapters.redis.scripts import PIPELINE_MAX
from miaosha.domain.allocation import Decision, Place, Promoted, Refusal
from miaosha.domain.errors import DependencyDown
from miaosha.domain.messages import BATCH_USERS_MAX, Batch
from miaosha.domain.reservation import State
from miaosha.domain.sale import Phase, Sale
from miaosha.ports.rebuilding import PAGE, RebuildMeta
from miaosha.ports.store import (
    Ending,
    GrantedHold,
    Head,
    PlaceView,
    Reading,
    SaleBoard,
    Ungranted,
)
from tests.lab.link import Link
from tests.lab.store_server import StoreServer

Item = TypeVar("Item")
T = TypeVar("T")

LEAVE_TRIES: Final = 3
UNGRANTED_MAX: Final = 512
HEADS_MAX: Final = 1_000

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Sale).decode


class LabStore:
    """Implements ports/store.StockStore."""

    def __init__(self, server: StoreServer, link: Link) -> None:
        self._server = server
        self._link = link

    # decisions

    async def decide(
        self,
        sale_id: int,
        epoch: int,
        batch: Batch,
        *,
        rebuilder: str = "",
        answered: Iterable[int] = (),
    ) -> Decision | Refusal:
        assert len(batch.user_ids) <= BATCH_USERS_MAX
        skip = tuple(answered)
        return await self._link(
            "store.decide",
            lambda: self._server.decide(sale_id, epoch, batch, rebuilder, skip),
        )

    async def decide_many(
        self, sale_id: int, epoch: int, batches: Sequence[Batch]
    ) -> list[Decision | Refusal]:
        assert all(len(batch.user_ids) <= BATCH_USERS_MAX for batch in batches)
        return await self._each(
            "store.decide_many", batches, lambda b: self._server.decide(sale_id, epoch, b, "", ())
        )

    async def letter(self, sale_id: int, batch_id: str, index: int) -> str | None:
        found = await self._link("store.letter", lambda: self._server.records(sale_id, [batch_id]))
        letters = found.get(batch_id, "")
        return letters[index] if 0 <= index < len(letters) else None

    async def granted(
        self, sale_id: int, epoch: int, told: Sequence[GrantedHold]
    ) -> Refusal | None:
        return _refused(
            await self._each(
                "store.granted", told, lambda t: self._server.granted(sale_id, epoch, t)
            )
        )

    async def ungranted(
        self, sale_id: int, *, older_than_ms: int, limit: int
    ) -> tuple[int, list[Ungranted]]:
        most = min(limit, UNGRANTED_MAX)
        return await self._link(
            "store.ungranted", lambda: self._server.ungranted(sale_id, older_than_ms, most)
        )

    async def release(
        self, sale_id: int, epoch: int, endings: Sequence[Ending]
    ) -> list[Promoted] | Refusal:
        assert all(e.state in (State.EXPIRED, State.DECLINED) for e in endings)
        answers = await self._each(
            "store.release", endings, lambda e: self._server.release(sale_id, epoch, e)
        )
        if refused := _refused(answers):
            return refused
        return [one for answer in answers if not isinstance(answer, Refusal) for one in answer]

    async def settle(self, sale_id: int, epoch: int, endings: Sequence[Ending]) -> Refusal | None:
        assert all(e.state is State.PAID for e in endings)
        return _refused(
            await self._each(
                "store.settle", endings, lambda e: self._server.settle(sale_id, epoch, e)
            )
        )

    async def promote(
        self, sale_id: int, epoch: int, *, rebuilder: str = ""
    ) -> list[Promoted] | Refusal:
        return await self._link(
            "store.promote", lambda: self._server.promote(sale_id, epoch, rebuilder)
        )

    async def heads(self, sale_id: int, limit: int) -> list[Head]:
        most = min(limit, HEADS_MAX)
        return await self._link("store.heads", lambda: self._server.heads(sale_id, most))

    async def leave(self, sale_id: int, epoch: int, user_id: int) -> Place | None | Refusal:
        """The place is named by its rid, so that a late repeat never ends a newer one."""
        place: Place | None = None
        for _ in range(LEAVE_TRIES):
            view = await self.place(sale_id, user_id)
            rid = view.place.rid if view else "-"
            answer = await self._link(
                "store.leave", partial(self._server.leave, sale_id, epoch, user_id, rid)
            )
            if isinstance(answer, Refusal):
                return answer
            place = answer
            if place is None or place.state is not State.STANDBY:
                break
        return place

    # reads

    async def place(self, sale_id: int, user_id: int) -> PlaceView | None:
        return await self._link("store.place", lambda: self._server.place(sale_id, user_id))

    async def places(self, sale_ids: Sequence[int], user_id: int) -> dict[int, PlaceView | None]:
        found = await self._each(
            "store.places", sale_ids, lambda id_: self._server.place(id_, user_id)
        )
        return dict(zip(sale_ids, found, strict=True))

    async def reading(self, sale_id: int) -> Reading | None:
        return await self._link("store.reading", lambda: self._server.reading(sale_id))

    async def readings(
        self, sale_ids: Sequence[int], within_s: float | None = None
    ) -> dict[int, Reading | None]:
        try:
            async with asyncio.timeout(within_s):
                found = await self._each("store.readings", sale_ids, self._server.reading)
        except TimeoutError as error:
            raise DependencyDown("store: TimeoutError") from error
        return dict(zip(sale_ids, found, strict=True))

    async def now_ms(self) -> int:
        return await self._link("store.now_ms", self._server.now_ms)

    # a sale as a whole

    async def set_phase(
        self, sale_id: int, epoch: int, phase: str, closes_at_ms: int, *, rebuilder: str = ""
    ) -> Refusal | None:
        assert phase in (Phase.OPEN, Phase.PAUSED), phase
        answer = await self._link(
            "store.set_phase",
            lambda: self._server.set_phase(sale_id, epoch, phase, closes_at_ms, rebuilder),
        )
        return answer if isinstance(answer, Refusal) else None

    async def resize(self, sale_id: int, epoch: int, stock: int) -> list[Promoted] | Refusal:
        return await self._link("store.resize", lambda: self._server.resize(sale_id, epoch, stock))

    async def drop(self, sale_id: int, epoch: int) -> Refusal | None:
        return await self._link("store.drop", lambda: self._server.drop(sale_id, epoch))

    async def write_sales(self, sales: Sequence[Sale]) -> None:
        texts = tuple(_encode(sale) for sale in sorted(sales, key=lambda sale: sale.id))
        version = hashlib.blake2b(b"".join(texts), digest_size=16).hexdigest()
        await self._link("store.write_sales", lambda: self._server.write_board(version, texts))

    async def read_sales(self, seen: SaleBoard | None = None) -> SaleBoard | None:
        if seen is not None and seen.version:
            board = await self._link("store.read_sales", lambda: self._server.board)
            if board is not None and board.version == seen.version:
                return seen
        board = await self._link("store.read_sales", lambda: self._server.board)
        if board is None:
            return None
        sales = (_decode(text) for text in board.sales)
        return SaleBoard(board.version, {sale.id: sale for sale in sales})

    # rebuilds

    async def begin_rebuild(self, sale_id: int, epoch: int, rebuilder: str) -> bool:
        assert epoch > 0 and rebuilder
        return await self._link(
            "store.begin_rebuild", lambda: self._server.begin(sale_id, epoch, rebuilder)
        )

    async def scan_places(self, sale_id: int, cursor: int) -> tuple[int, list[tuple[int, Place]]]:
        return await self._link("store.scan_places", lambda: self._server.scan(sale_id, cursor))

    async def places_of(self, sale_id: int, users: Sequence[int]) -> dict[int, Place]:
        assert len(users) <= PAGE, len(users)
        if not users:
            return {}
        return await self._link("store.places_of", lambda: self._server.places_of(sale_id, users))

    async def merge_places(
        self, sale_id: int, epoch: int, rebuilder: str, places: Mapping[int, Place]
    ) -> bool:
        assert len(places) <= PAGE, f"{len(places)} places, at most {PAGE}"
        return await self._link(
            "store.merge_places", lambda: self._server.merge(sale_id, epoch, rebuilder, places)
        )

    async def finish_rebuild(
        self, sale_id: int, epoch: int, rebuilder: str, meta: RebuildMeta
    ) -> bool:
        return await self._link(
            "store.finish_rebuild", lambda: self._server.finish(sale_id, epoch, rebuilder, meta)
        )

    async def recorded(self, sale_id: int, batches: Collection[str]) -> set[str]:
        assert len(batches) <= PAGE, len(batches)
        if not batches:
            return set()
        return set(
            await self._link("store.recorded", lambda: self._server.records(sale_id, batches))
        )

    async def _each(self, call: str, items: Sequence[Item], act: Callable[[Item], T]) -> list[T]:
        """`act` on each in order, PIPELINE_MAX to a round trip."""
        answers: list[T] = []
        for start in range(0, len(items), PIPELINE_MAX):
            part = items[start : start + PIPELINE_MAX]
            answers += await self._link(call, partial(_all, act, part))
        return answers


def _all(act: Callable[[Item], T], items: Sequence[Item]) -> list[T]:
    return [act(item) for item in items]


def _refused(answers: Iterable[object]) -> Refusal | None:
    return next((answer for answer in answers if isinstance(answer, Refusal)), None)
