"""The board of live sales and the heartbeats, on one node, on a cluster and in the laboratory."""

from collections.abc import AsyncIterator, Mapping

import msgspec
import pytest

from miaosha.adapters.redis import heartbeats as beats
from miaosha.adapters.redis.board import KEY
from miaosha.adapters.redis.connect import Client
from miaosha.adapters.redis.heartbeats import ALIVE_MS, KEPT_MS, RedisHeartbeats
from miaosha.adapters.redis.store import RedisStore
from miaosha.domain.money import Money
from miaosha.domain.sale import Choice, Mode, Phase, ProductView, Question, Sale
from miaosha.ports.heartbeats import Heartbeat
from miaosha.ports.store import StockStore
from tests.contract.store_rigs import RedisRig, StoreRig


@pytest.fixture
async def clean(rig: StoreRig) -> AsyncIterator[None]:
    yield
    await rig.close()


@pytest.fixture
async def clean_redis(store_client: Client) -> AsyncIterator[None]:
    yield
    await RedisRig(store_client).close()


def sale(sale_id: int, *, stock: int = 5) -> Sale:
    product = ProductView(1, "鍵盤", "a keyboard", "/p.png", Money(200, "TWD"))
    question = Question(1, "Which colour?", [Choice("a", "黑"), Choice("b", "white")], "b")
    return Sale(
        id=sale_id,
        title="秒殺",
        mode=Mode.FIFO,
        phase=Phase.SCHEDULED,
        product=product,
        price=Money(100, "TWD"),
        stock=stock,
        opens_at_ms=1,
        closes_at_ms=2,
        pay_within_s=600,
        standby_pay_within_s=300,
        standby_limit=1000,
        questions=[question],
    )


async def sales_of(store: StockStore) -> Mapping[int, Sale] | None:
    board = await store.read_sales()
    return None if board is None else board.sales


async def test_the_board_is_replaced_as_a_whole(store: StockStore, clean: None) -> None:
    assert await store.read_sales() is None, "none yet"
    await store.write_sales([sale(1), sale(2)])
    assert await sales_of(store) == {1: sale(1), 2: sale(2)}
    await store.write_sales([sale(2, stock=9)])
    assert await sales_of(store) == {2: sale(2, stock=9)}
    await store.write_sales([])
    assert await sales_of(store) == {}, "empty is not lost"
    many = {i: sale(i) for i in range(1, 1_300)}
    await store.write_sales(list(many.values()))
    assert await sales_of(store) == many


async def test_a_board_that_did_not_change_costs_one_small_read(
    store: StockStore, rig: StoreRig, clean: None
) -> None:
    await store.write_sales([sale(1), sale(2)])
    seen = await store.read_sales()
    assert seen is not None
    await rig.thin_board()  # whoever reads the whole of it would see that

    assert await store.read_sales(seen) is seen
    await store.write_sales([sale(2), sale(1)])  # the same, in another order
    assert await store.read_sales(seen) is seen

    await store.write_sales([sale(1), sale(2, stock=9)])
    changed = await store.read_sales(seen)
    assert changed is not None and changed.sales == {1: sale(1), 2: sale(2, stock=9)}
    await rig.lose_board()
    assert await store.read_sales(changed) is None


async def test_a_board_of_an_earlier_release_is_read_whole(
    redis_store: RedisStore, store_client: Client, clean_redis: None
) -> None:
    await redis_store.write_sales([sale(1)])
    await store_client.hdel(KEY, "version")
    first = await redis_store.read_sales()
    assert first is not None and first.sales == {1: sale(1)}
    await store_client.hset(KEY, "2", msgspec.json.encode(sale(2)))
    second = await redis_store.read_sales(first)
    assert second is not None and second.sales == {1: sale(1), 2: sale(2)}


def heartbeat(role: str, instance: str, beat_ms: int) -> Heartbeat:
    return Heartbeat(role, instance, 123, beat_ms, {"accepted": 7.0}, {1: 3})


async def test_heartbeats_count_for_five_seconds(
    store: StockStore, rig: StoreRig, clean: None
) -> None:
    book = rig.heartbeats()
    assert await book.alive() == []
    now_ms = await store.now_ms()
    second = heartbeat("publisher", "10", now_ms)
    first = heartbeat("publisher", "2", now_ms)
    api = heartbeat("api", "0", now_ms)
    late = heartbeat("gateway", "0", now_ms - ALIVE_MS - 1_000)
    gone = heartbeat("gateway", "1", now_ms - KEPT_MS - 1_000)
    for beat in (second, first, api, late, gone):
        await book.beat(beat)
    assert await book.alive() == [api, first, second]
    assert await rig.beating() == ["publisher:10", "publisher:2", "api:0", "gateway:0"]
    await book.beat(late := heartbeat("gateway", "0", now_ms))
    assert late in await book.alive()


async def test_the_beats_go_with_the_last_one(store_client: Client, clean_redis: None) -> None:
    await RedisHeartbeats(store_client).beat(heartbeat("api", "0", 1))
    assert 0 < await store_client.pttl(beats.KEY) <= KEPT_MS


@pytest.mark.parametrize("text", [b"{}", b'{"role": "\xff"}', b""])
async def test_a_heartbeat_of_another_version_counts_as_none(
    redis_store: RedisStore, store_client: Client, clean_redis: None, text: bytes
) -> None:
    await store_client.hset(beats.KEY, "api:9", text)
    assert await RedisHeartbeats(store_client).alive() == []
    assert not await store_client.exists(beats.KEY)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_who_looks_often_judges_by_its_own_clock(
    store: StockStore, rig: StoreRig, clean: None, hours: int
) -> None:
    """The store's clock was set against the roles': the living live and the dead are dead."""
    now_s = 1_000.0
    book = rig.heartbeats(lambda: now_s)
    roles_ms = await store.now_ms() - hours * 3_600_000
    await book.alive()
    living, dead = heartbeat("publisher", "0", roles_ms), heartbeat("consumer", "0", roles_ms)
    await book.beat(living)
    await book.beat(dead)
    for second in range(1, 8):
        now_s += 1
        await book.beat(living := heartbeat("publisher", "0", roles_ms + second * 1_000))
        alive = await book.alive()
        assert (living in alive) or second == 1
    assert alive == [living]
    for _ in range(KEPT_MS // 1_000 + 2):
        now_s += 1
        await book.alive()
    assert not await rig.beating(), "the field of a silent process goes"
