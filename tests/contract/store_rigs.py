"""Store rigs: a store with what its contract needs beside the port, on Redis or in the laboratory.

A rig shows all that is kept of a sale, and changes what no port may: run ids, clocks and losses.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol

from miaosha.adapters.redis import board
from miaosha.adapters.redis import heartbeats as beats
from miaosha.adapters.redis.connect import Client
from miaosha.adapters.redis.heartbeats import RedisHeartbeats
from miaosha.adapters.redis.scripts import Argument, load, run, sale_keys
from miaosha.adapters.redis.store import RedisStore
from miaosha.domain.allocation import Place, Refusal
from miaosha.ports.heartbeats import Heartbeats
from miaosha.ports.store import StockStore
from tests.contract.sales import Kept, kept
from tests.lab.kept_sale import KeptSale
from tests.lab.link import straight
from tests.lab.store import LabStore
from tests.lab.store_readers import LabHeartbeats
from tests.lab.store_server import StoreServer


class StoreRig(Protocol):
    store: StockStore

    async def kept(self, sale_id: int) -> Kept:
        """Everything there is of a sale."""

    async def since_ms(self, sale_id: int, rid: str, user_id: int) -> int:
        """When this hold, not promoted, came on `ungranted`."""

    async def leave(
        self, sale_id: int, epoch: int, user_id: int, rid: str
    ) -> Place | None | Refusal:
        """The one script, for the place of this rid."""

    async def set_clock(self, sale_id: int, ms: int) -> None:
        """Some script has seen this time."""

    async def disown(self, sale_id: int) -> None:
        """The sale was written to another server."""

    async def freeze(self, sale_id: int) -> None: ...

    async def lose_epoch(self, sale_id: int) -> None: ...

    async def lose(self, sale_id: int) -> None:
        """Everything of one sale."""

    async def thin_board(self) -> None:
        """The board loses its sales, and keeps its version."""

    async def lose_board(self) -> None: ...

    def heartbeats(self, monotonic: Callable[[], float] = time.monotonic) -> Heartbeats: ...

    async def beating(self) -> list[str]:
        """Whose beats are there, in the order they came."""

    async def close(self) -> None:
        """Leave no board and no beats."""


class RedisRig:
    def __init__(self, client: Client) -> None:
        self.store: StockStore = RedisStore(client)
        self._client: Any = client

    async def kept(self, sale_id: int) -> Kept:
        return await kept(self._client, sale_id)

    async def since_ms(self, sale_id: int, rid: str, user_id: int) -> int:
        score = await self._client.zscore(sale_keys(sale_id)[3], f"{rid}|{user_id}|0")
        return int(score)

    async def leave(
        self, sale_id: int, epoch: int, user_id: int, rid: str
    ) -> Place | None | Refusal:
        args: list[Argument] = [epoch, user_id, rid]
        answer = await run(self._client, load("leave"), sale_keys(sale_id), args)
        if isinstance(answer, bytes):
            return Refusal(answer.decode())
        return Place.parse(answer[0].decode()) if answer[0] else None

    async def set_clock(self, sale_id: int, ms: int) -> None:
        await self._set(sale_id, "clock_ms", str(ms))

    async def disown(self, sale_id: int) -> None:
        await self._set(sale_id, "run_id", "f" * 40)

    async def freeze(self, sale_id: int) -> None:
        await self._set(sale_id, "phase", "frozen")

    async def lose_epoch(self, sale_id: int) -> None:
        await self._client.hdel(sale_keys(sale_id)[0], "epoch")

    async def lose(self, sale_id: int) -> None:
        for key in sale_keys(sale_id):
            await self._client.delete(key)

    async def _set(self, sale_id: int, field: str, value: str) -> None:
        await self._client.hset(sale_keys(sale_id)[0], field, value)

    async def thin_board(self) -> None:
        fields = await self._client.hkeys(board.KEY)
        await self._client.hdel(board.KEY, *(name for name in fields if name.isdigit()))

    async def lose_board(self) -> None:
        await self._client.delete(board.KEY)

    def heartbeats(self, monotonic: Callable[[], float] = time.monotonic) -> Heartbeats:
        return RedisHeartbeats(self._client, monotonic)

    async def beating(self) -> list[str]:
        return [name.decode() for name in await self._client.hkeys(beats.KEY)]

    async def close(self) -> None:
        await self._client.delete(board.KEY)
        await self._client.delete(beats.KEY)


TEXTS = ("run_id", "phase", "rebuilder")
NUMBERS = ("epoch", "next_epoch", "stock", "free", "held", "paid", "refused", "seq")
TERMS = ("clock_ms", "closes_at_ms", "standby_limit")


class LabRig:
    def __init__(self) -> None:
        self.server = StoreServer(lambda: time.time_ns() // 1_000_000)
        self.store: StockStore = LabStore(self.server, straight)

    async def kept(self, sale_id: int) -> Kept:
        sale = self.server.sales.get(sale_id)
        return _kept(sale) if sale else Kept({}, {}, {}, set(), {})

    async def since_ms(self, sale_id: int, rid: str, user_id: int) -> int:
        sale = self._sale(sale_id)
        assert sale.ungranted[rid] == (user_id, False)
        return sale.since_ms[rid]

    async def leave(
        self, sale_id: int, epoch: int, user_id: int, rid: str
    ) -> Place | None | Refusal:
        return self.server.leave(sale_id, epoch, user_id, rid)

    async def set_clock(self, sale_id: int, ms: int) -> None:
        self._sale(sale_id).clock_ms = ms

    async def disown(self, sale_id: int) -> None:
        self._sale(sale_id).run_id = "f" * 40

    async def freeze(self, sale_id: int) -> None:
        self._sale(sale_id).phase = "frozen"

    async def lose_epoch(self, sale_id: int) -> None:
        if sale_id in self.server.sales:
            self._sale(sale_id).epoch = 0

    async def lose(self, sale_id: int) -> None:
        self.server.sales.pop(sale_id, None)

    def _sale(self, sale_id: int) -> KeptSale:
        return self.server.sales[sale_id]

    async def thin_board(self) -> None:
        assert self.server.board is not None
        self.server.board = self.server.board._replace(sales=())

    async def lose_board(self) -> None:
        self.server.board = None

    def heartbeats(self, monotonic: Callable[[], float] = time.monotonic) -> Heartbeats:
        return LabHeartbeats(self.server, straight, monotonic)

    async def beating(self) -> list[str]:
        return list(self.server.beats())

    async def close(self) -> None: ...


def _kept(sale: KeptSale) -> Kept:
    texts = {name: getattr(sale, name) for name in TEXTS}
    numbers = {name: str(getattr(sale, name)) for name in NUMBERS + TERMS}
    return Kept(
        {name: value for name, value in (texts | numbers).items() if value},
        {user: place.encode() for user, place in sale.users.items()},
        dict(sale.standby),
        {hold.member for hold in sale.holds()},
        dict(sale.batches),
    )
