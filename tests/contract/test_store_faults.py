"""A store that restarts, forgets its scripts, is full, busy, away or somebody else's replica."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ResponseError

from miaosha.adapters.redis.connect import Client, connect, reaching
from miaosha.adapters.redis.store import RedisStore
from miaosha.domain.allocation import Decision, Refusal
from miaosha.domain.errors import DependencyDown, SettingsError
from miaosha.domain.reservation import State
from miaosha.ports.rebuilding import RebuildMeta
from miaosha.ports.store import Ending
from miaosha.supervisor.servers.valkey import Valkey, start_valkey
from tests.contract.cluster import start_cluster
from tests.contract.sales import BY, FAR_MS, arm, batch, kept, press
from tests.kit.waits import until

META = RebuildMeta(2, 0, 0, 0, FAR_MS, 10)


async def forget_scripts(client: Any) -> None:
    everywhere = {"target_nodes": client.ALL_NODES} if isinstance(client, RedisCluster) else {}
    await client.execute_command("SCRIPT FLUSH", **everywhere)


async def test_forgotten_scripts_are_sent_again(
    redis_store: RedisStore, store_client: Client, sale_id: int
) -> None:
    store = redis_store
    await arm(store, sale_id, 2)
    await press(store, sale_id, "b", 11, 12, 13)
    await forget_scripts(store_client)
    assert (await press(store, sale_id, "c", 14)).letters == "s"
    await forget_scripts(store_client)
    batches = [batch(sale_id, f"d{i}", 20 + i) for i in range(4)]
    decisions = await store.decide_many(sale_id, 1, batches)
    ranks = [d.places[0].rank for d in decisions if isinstance(d, Decision) and d.places[0]]
    assert ranks == [5, 6, 7, 8]
    await forget_scripts(store_client)
    endings = [Ending(11, "b.0", State.EXPIRED, 2), Ending(12, "b.1", State.EXPIRED, 2)]
    released = await store.release(sale_id, 1, endings)
    assert not isinstance(released, Refusal) and [p.user_id for p in released] == [13, 14]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restart_is_a_loss_until_a_rebuild(store_server: Valkey, sig: int) -> None:
    client = connect(store_server.url)
    store = RedisStore(client)
    try:
        await arm(store, 7, 1)
        await press(store, 7, "b", 11, 12)
        before = await kept(client, 7)
        await store_server.stop(sig)
        await store_server.start_again()
        assert await kept(client, 7) == before, "every confirmed write is there"
        assert await store.decide(7, 1, batch(7, "c", 13)) is Refusal.RUN_ID
        reading = await store.reading(7)
        assert reading is not None and not reading.genuine
        assert await store.begin_rebuild(7, 2, BY)
        assert await store.finish_rebuild(7, 2, BY, META._replace(stock=1, held=1))
        assert await store.set_phase(7, 2, "open", FAR_MS, rebuilder=BY) is None
        assert isinstance(await store.decide(7, 2, batch(7, "c", 13)), Decision)
    finally:
        await client.aclose()


async def test_a_restart_amid_a_rebuild_ends_it(store_server: Valkey) -> None:
    client = connect(store_server.url)
    store = RedisStore(client)
    try:
        assert await store.begin_rebuild(7, 2, BY)
        await store_server.stop()
        await store_server.start_again()
        assert not await store.merge_places(7, 2, BY, {})
        assert not await store.finish_rebuild(7, 2, BY, META)
        assert not await store.begin_rebuild(7, 2, BY)
        assert await store.begin_rebuild(7, 3, BY)
        assert await store.finish_rebuild(7, 3, BY, META)
    finally:
        await client.aclose()


async def test_a_server_that_lost_everything_knows_nothing(run_dir: Path) -> None:
    server = await start_valkey(run_dir, "store", extra=("--appendonly", "no"))
    client = connect(server.url)
    store = RedisStore(client)
    try:
        await arm(store, 7, 1)
        await store.write_sales([])
        await server.stop(signal.SIGKILL)
        await server.start_again()
        assert await store.reading(7) is None
        assert await store.decide(7, 1, batch(7, "c", 13)) is Refusal.EPOCH
        assert await store.read_sales() is None
    finally:
        await client.aclose()
        await server.stop()


async def test_away_is_dependency_down_within_bounds(store_server: Valkey) -> None:
    client = connect(store_server.url, timeout_s=1.0)
    store = RedisStore(client)
    try:
        await arm(store, 7, 1)
        store_server.process.send_signal(signal.SIGSTOP)  # it accepts, and never answers
        try:
            async with asyncio.timeout(30):
                with pytest.raises(DependencyDown, match="store"):
                    await store.decide(7, 1, batch(7, "b", 11))
        finally:
            store_server.process.send_signal(signal.SIGCONT)
        await store_server.stop()
        for call in (store.now_ms(), store.reading(7), store.letter(7, "b", 0)):
            with pytest.raises(DependencyDown):
                await call
        with pytest.raises(DependencyDown):
            await store.decide_many(7, 1, [batch(7, "b", 11)])
        await store_server.start_again()
        assert await store.decide(7, 1, batch(7, "b", 11)) is Refusal.RUN_ID, "same client"
    finally:
        await client.aclose()


async def test_a_dead_master_takes_only_its_own_sales_along(run_dir: Path) -> None:
    cluster = await start_cluster(run_dir)
    client: Any = connect(cluster.url)
    store = RedisStore(client)
    try:
        for sale_id in range(1, 13):
            await arm(store, sale_id, 1)
        port = client.get_primaries()[0].port  # whom a new client asks first
        await cluster.nodes[cluster.ports.index(port)].stop(signal.SIGKILL)
        answers = [await _try(store, sale_id) for sale_id in range(1, 13)]
        assert set(answers) == {"decided", "down"}
        assert [await _try(store, sale_id) for sale_id in range(1, 13)] == answers
        for other in {*cluster.ports} - {port}:
            fresh = connect(f"redis+cluster://127.0.0.1:{port},127.0.0.1:{other}")
            assert [await _try(RedisStore(fresh), i) for i in range(1, 13)] == answers
            await fresh.aclose()
    finally:
        await client.aclose()
        await cluster.stop()


async def _try(store: RedisStore, sale_id: int) -> str:
    try:
        await store.decide(sale_id, 1, batch(sale_id, "b", 11))
    except DependencyDown:
        return "down"
    return "decided"


async def test_busy_full_and_read_only_are_away(run_dir: Path) -> None:
    server = await start_valkey(run_dir, "store", extra=("--busy-reply-threshold", "20"))
    client, admin = connect(server.url), await _raw(server)
    store = RedisStore(client)
    try:
        await arm(store, 7, 1)
        admin.write(b"EVAL 'while true do end' 0\r\n")
        await _until_busy(client, True)
        with pytest.raises(DependencyDown, match="BUSY"):
            await press(store, 7, "b", 11)
        await client.script_kill()
        await _until_busy(client, False)

        await client.config_set("maxmemory", "1")
        before = await kept(client, 7)
        with pytest.raises(DependencyDown):
            await press(store, 7, "b", 11)
        assert await kept(client, 7) == before, "refused before its first write"
        assert await store.reading(7) is not None, "reads go on"
        await client.config_set("maxmemory", "0")

        await client.config_set("min-replicas-to-write", "1")
        with pytest.raises(DependencyDown, match="NOREPLICAS"):
            await press(store, 7, "b", 11)
        assert await kept(client, 7) == before
        await client.config_set("min-replicas-to-write", "0")

        admin.write(b"REPLICAOF 127.0.0.1 1\r\n")
        await admin.drain()
        await _until_replica(client)
        with pytest.raises(DependencyDown):
            await press(store, 7, "b", 11)
    finally:
        admin.close()
        await client.aclose()
        await server.stop(signal.SIGKILL)


async def test_a_server_that_loads_its_files_is_away(run_dir: Path) -> None:
    slowly = ("--key-load-delay", "100")  # microseconds for each of its log's commands
    server = await start_valkey(run_dir, "store", extra=slowly)
    client: Any = connect(server.url)
    store = RedisStore(client)
    try:
        pipe = client.pipeline(transaction=False)
        for number in range(20_000):
            pipe.set(f"k{number}", "")
        await pipe.execute()
        await arm(store, 7, 1)
        await server.stop(signal.SIGKILL)
        starting = asyncio.create_task(server.start_again())
        said: set[str] = set()
        while not starting.done():
            try:
                await store.decide(7, 1, batch(7, "b", 11))
            except DependencyDown as error:
                said.add(str(error))
        await starting
        assert any("loading" in text for text in said), said
        assert await store.decide(7, 1, batch(7, "b", 11)) is Refusal.RUN_ID
    finally:
        await client.aclose()
        await server.stop()


async def _raw(server: Valkey) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_unix_connection(str(server.socket))
    return writer


async def _until_busy(client: Any, busy: bool) -> None:
    async def so() -> bool:
        return await _is_busy(client) is busy

    await until(so)


async def _is_busy(client: Any) -> bool:
    try:
        await client.ping()
    except ResponseError as error:
        assert str(error).startswith("BUSY")
        return True
    return False


async def _until_replica(client: Any) -> None:
    async with asyncio.timeout(30):
        while (await client.info("replication"))["role"] != "slave":
            pass


@pytest.mark.parametrize(
    ("text", "away"),
    [
        ("LOADING Valkey is loading the dataset in memory", True),
        ("CLUSTERDOWN The cluster is down", True),
        ("TRYAGAIN Multiple keys request during rehashing of slot", True),
        ("MISCONF Errors writing to the AOF file", True),
        ("NOREPLICAS Not enough good replicas to write", True),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", False),
        ("ERR user_script:12: attempt to index a nil value", False),
    ],
)
async def test_which_answers_mean_away(text: str, away: bool) -> None:
    with (
        pytest.raises(DependencyDown if away else ResponseError, match=text[:7]),
        reaching("store"),
    ):
        raise ResponseError(text)


@pytest.mark.parametrize("url", ["http://x", "valkey", "", "amqp://h"])
def test_a_bad_url_is_a_bad_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="expected one of redis"):
        connect(url)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://u:p@h:1/2", Redis),
        ("rediss://h:1", Redis),
        ("unix:///tmp/x.sock?db=1", Redis),
        ("redis+cluster://h:1", RedisCluster),
        ("rediss+cluster://h:1", RedisCluster),
    ],
)
def test_every_scheme_makes_a_client(url: str, kind: type) -> None:
    assert isinstance(connect(url), kind)
