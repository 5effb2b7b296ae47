"""What store tests share: to put a sale into the store, and to see all that is kept of one."""

from typing import Any, NamedTuple

from miaosha.adapters.redis.connect import Client
from miaosha.adapters.redis.scripts import sale_keys
from miaosha.domain.allocation import Decision, Promoted, Refusal
from miaosha.domain.messages import BATCH_VERSION, Batch
from miaosha.ports.rebuilding import RebuildMeta
from miaosha.ports.store import StockStore

FAR_MS = 9_000_000_000_000
BY = "lease-1"


async def arm(
    store: StockStore,
    sale_id: int,
    stock: int,
    *,
    epoch: int = 1,
    standby_limit: int = 1000,
    closes_at_ms: int = FAR_MS,
) -> None:
    """A fresh sale, open: a rebuild with nothing to merge."""
    meta = RebuildMeta(stock, 0, 0, 0, closes_at_ms, standby_limit)
    assert await store.begin_rebuild(sale_id, epoch, BY)
    assert await store.finish_rebuild(sale_id, epoch, BY, meta)
    assert await store.set_phase(sale_id, epoch, "open", closes_at_ms, rebuilder=BY) is None


def batch(sale_id: int, name: str, *users: int, at_ms: int = 1000) -> Batch:
    return Batch(BATCH_VERSION, sale_id, name, at_ms, list(users))


async def press(store: StockStore, sale_id: int, name: str, *users: int) -> Decision:
    """Decide one batch in epoch 1."""
    answer = await store.decide(sale_id, 1, batch(sale_id, name, *users))
    assert isinstance(answer, Decision), answer
    return answer


def promoted(answer: list[Promoted] | Refusal) -> list[int]:
    """The users of an answer that must not be a refusal."""
    assert not isinstance(answer, Refusal), answer
    return [p.user_id for p in answer]


class Kept(NamedTuple):
    """Everything Redis has of a sale; `ungranted` without its times."""

    meta: dict[str, str]
    users: dict[int, str]
    standby: dict[int, int]
    ungranted: set[str]
    batches: dict[str, str]

    def number(self, field: str) -> int:
        return int(self.meta.get(field, 0))


async def kept(client: Client, sale_id: int) -> Kept:
    meta, users, standby, ungranted, batches = sale_keys(sale_id)
    ranks: Any = await client.zrange(standby, 0, -1, withscores=True)
    holds: Any = await client.zrange(ungranted, 0, -1)
    return Kept(
        await _hash(client, meta),
        {int(user): place for user, place in (await _hash(client, users)).items()},
        {int(user): int(rank) for user, rank in ranks},
        {hold.decode() for hold in holds},
        await _hash(client, batches),
    )


async def _hash(client: Client, key: str) -> dict[str, str]:
    fields: Any = await client.hgetall(key)
    return {name.decode(): value.decode() for name, value in fields.items()}
