"""A store whose slots move, whose masters die and whose nodes load: what redirections and refusals
of real clusters come to."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from miaosha.adapters.redis.connect import connect
from miaosha.adapters.redis.scripts import sale_keys
from miaosha.adapters.redis.store import RedisStore
from miaosha.domain.allocation import Decision, Refusal
from miaosha.domain.errors import DependencyDown
from miaosha.supervisor.servers.valkey_cluster import ValkeyCluster
from tests.contract.cluster import Move, replica_of, start_cluster
from tests.contract.sales import arm, batch, kept, press


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[tuple[RedisStore, Any]]:
    client = connect(url, **options)
    try:
        yield RedisStore(client), client
    finally:
        await client.aclose()


async def until_decided(store: RedisStore, sale_id: int, name: str) -> Decision | Refusal:
    """The answer of a consumer that comes back until it gets one."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await store.decide(sale_id, 1, batch(sale_id, name, 99))
            except DependencyDown:
                await asyncio.sleep(0.05)


async def test_a_slot_that_has_moved_is_followed_and_counts_as_a_loss(
    cluster: ValkeyCluster, sale_id: int
) -> None:
    async with opened(cluster.url) as (store, client):
        await arm(store, sale_id, 1)
        await press(store, sale_id, "b", 11, 12)
        before = await kept(client, sale_id)
        await (await Move.of(cluster, sale_keys(sale_id)[0])).whole()
        assert await store.decide(sale_id, 1, batch(sale_id, "c", 13)) is Refusal.RUN_ID
        batches = [batch(sale_id, f"d{i}", 20 + i) for i in range(20)]
        assert set(await store.decide_many(sale_id, 1, batches)) == {Refusal.RUN_ID}
        assert await kept(client, sale_id) == before, "nothing was lost, nothing was written"
        await arm(store, sale_id, 1, epoch=2)
        answer = await store.decide(sale_id, 2, batch(sale_id, "b", 11, 12))
        assert isinstance(answer, Decision) and answer.letters == "hs", "as before"


async def test_a_script_in_a_slot_that_is_moving_waits_until_its_keys_are_together(
    cluster: ValkeyCluster, sale_id: int
) -> None:
    keys = sale_keys(sale_id)
    move = await Move.of(cluster, keys[0])
    async with opened(cluster.url) as (store, client):
        await arm(store, sale_id, 1)
        await press(store, sale_id, "b", 11, 12)
        before = await kept(client, sale_id)
        await move.begin()
        assert (await press(store, sale_id, "b", 11, 12)).letters == "hs", "all are still here"
        await move.carry(keys[1], keys[2])
        for call in (
            store.decide(sale_id, 1, batch(sale_id, "c", 13)),
            store.decide_many(sale_id, 1, [batch(sale_id, "c", 13)] * 3),
        ):
            async with asyncio.timeout(10):
                with pytest.raises(DependencyDown):
                    await call
        assert await kept(client, sale_id) == before, "single keys are read wherever they are"
        await move.carry()
        answer = await store.decide(sale_id, 1, batch(sale_id, "c", 13))
        assert answer is Refusal.RUN_ID, "asked where they are all now: another server"
        await move.end()
        assert await store.decide(sale_id, 1, batch(sale_id, "c", 13)) is Refusal.RUN_ID


@pytest.mark.parametrize("at_once", [1, 2, 16])
async def test_whatever_is_asked_for_goes_right_behind_its_asking(
    cluster: ValkeyCluster, sale_id: int, at_once: int
) -> None:
    key = f"{{sale:{sale_id}}}:asked"
    move = await Move.of(cluster, key)
    async with opened(cluster.url) as (_, client):
        await client.hset(key, "field", "value")
        everywhere = {"target_nodes": client.ALL_NODES}
        await asyncio.gather(*(client.dbsize(**everywhere) for _ in range(at_once)))  # connects
        await move.begin()
        await move.carry()
        reads = [client.hgetall(key) for _ in range(at_once)]
        assert await asyncio.gather(*reads) == [{b"field": b"value"}] * at_once
        pipe = client.pipeline(transaction=False)
        for _ in range(5):
            pipe.hget(key, "field")
        assert await pipe.execute() == [b"value"] * 5
        await move.end()


async def test_slots_that_nobody_serves_stop_their_own_sales_alone(
    cluster: ValkeyCluster, sale_id: int
) -> None:
    key = sale_keys(sale_id)[0]
    owner = await cluster.owner(key)
    slot = Move(cluster, key, owner, owner).slot
    others = [sale_id * 1_000 + i for i in range(6)]
    async with opened(cluster.url) as (store, _):
        await arm(store, sale_id, 1)
        async with cluster.client(owner) as node:
            await node.execute_command("CLUSTER", "DELSLOTS", slot)
            try:
                async with asyncio.timeout(10):
                    with pytest.raises(DependencyDown, match="Hash slot not served"):
                        await press(store, sale_id, "b", 11)
                for other in others:
                    await arm(store, other, 1)
                async with opened(cluster.url) as (fresh, _):  # which never saw that slot served
                    with pytest.raises(DependencyDown):
                        await press(fresh, sale_id, "b", 11)
                    assert (await press(fresh, others[0], "b", 11)).letters == "h"
            finally:
                await node.execute_command("CLUSTER", "ADDSLOTS", slot)
        assert isinstance(await until_decided(store, sale_id, "b"), Decision)


async def test_calls_beyond_the_connections_wait_their_turn(
    cluster: ValkeyCluster, sale_id: int
) -> None:
    async with opened(cluster.url, connections_max=2) as (store, client):
        await arm(store, sale_id, 1)
        await asyncio.gather(*(store.reading(sale_id) for _ in range(300)))
        calls = [store.decide_many(sale_id, 1, [batch(sale_id, f"b{i}", i)]) for i in range(1, 100)]
        assert len(await asyncio.gather(*calls)) == 99
        for node in client.get_nodes():
            assert len(node._connections) <= 4  # two for calls, two for pipelines


async def test_a_busy_node_stops_its_own_sales_alone(run_dir: Path) -> None:
    cluster = await start_cluster(run_dir, extra=("--busy-reply-threshold", "20"))
    try:
        async with opened(cluster.url) as (store, _):
            for sale_id in range(1, 10):
                await arm(store, sale_id, 1)
            owners = {i: await cluster.owner(sale_keys(i)[0]) for i in range(1, 10)}
            async with cluster.client(owners[1]) as node:
                endless = asyncio.create_task(node.eval("while true do end", 0))
                async with asyncio.timeout(20):
                    while await tried(store, 1) != "away":
                        pass
                for sale_id, owner in owners.items():
                    wanted = "away" if owner == owners[1] else "decided"
                    assert await tried(store, sale_id) == wanted
                async with cluster.client(owners[1]) as other:
                    await other.script_kill()
                with pytest.raises(ResponseError, match="killed by user"):
                    await endless
                assert isinstance(await until_decided(store, 1, "c"), Decision)
    finally:
        await cluster.stop(signal.SIGKILL)


async def tried(store: RedisStore, sale_id: int) -> str:
    try:
        await store.decide(sale_id, 1, batch(sale_id, "b", 11))
    except DependencyDown:
        return "away"
    return "decided"


async def test_a_replica_takes_over_and_the_sale_is_rebuilt_there(run_dir: Path) -> None:
    cluster = await start_cluster(run_dir, replicas=1)
    try:
        async with opened(cluster.url, timeout_s=0.5) as (store, client):
            await arm(store, 1, 1)
            await press(store, 1, "b", 11, 12)
            owner = await cluster.owner(sale_keys(1)[0])
            replica = await replica_of(cluster, owner)
            other = await replica_of(cluster, (owner + 1) % 3)

            await cluster.nodes[other].stop(signal.SIGKILL)  # a replica is missed by nobody
            assert isinstance(await store.decide(1, 1, batch(1, "c", 13)), Decision)
            await store.now_ms()
            before = await kept(client, 1)
            async with cluster.client(owner) as node:
                await node.set("{sale:1}:last", "1")
                assert await node.execute_command("WAIT", 1, 10_000) == 1

            await cluster.nodes[owner].stop(signal.SIGKILL)
            await store.now_ms()  # any other master tells the time
            assert await until_decided(store, 1, "d") is Refusal.RUN_ID
            assert await cluster.owner(sale_keys(1)[0]) == replica
            assert await kept(client, 1) == before
            await arm(store, 1, 1, epoch=2)
            answer = await store.decide(1, 2, batch(1, "b", 11, 12))
            assert isinstance(answer, Decision) and answer.letters == "hs"

            await cluster.nodes[owner].start_again()  # and follows the one that took over
            assert isinstance(await store.decide(1, 2, batch(1, "e", 14)), Decision)
    finally:
        await cluster.stop()
