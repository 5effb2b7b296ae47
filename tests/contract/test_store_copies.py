"""Decisions that wait for replicas: these have what is told, or the wait ends and is counted."""

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis

from miaosha.adapters.redis.connect import connect
from miaosha.adapters.redis.copies import Copies
from miaosha.adapters.redis.scripts import sale_keys
from miaosha.adapters.redis.store import RedisStore
from miaosha.domain.allocation import Decision, Place
from miaosha.domain.errors import SettingsError
from miaosha.domain.reservation import State
from miaosha.settings import Settings
from miaosha.supervisor.servers.valkey import Valkey, start_valkey
from tests.contract.cluster import replica_of, start_cluster
from tests.contract.sales import arm, batch
from tests.contract.test_store_faults import forget_scripts
from tests.kit.running import free_port

SALE = 1
_, USERS, _, _, BATCHES = sale_keys(SALE)
LONG_MS = 20_000
SHORT_MS = 50


class Pair(NamedTuple):
    """A master, by its or its cluster's URL, and the replica of the sale's keys."""

    url: str
    server: Valkey
    replica: Any  # a client of it alone


@asynccontextmanager
async def node(home: Path) -> AsyncIterator[Pair]:
    port = free_port()
    async with AsyncExitStack() as stack:
        listening = ("--port", str(port), "--repl-diskless-sync-delay", "0")
        master = await start_valkey(home, "master", extra=listening)
        stack.push_async_callback(master.stop)
        server = await start_valkey(home, "copy", extra=("--replicaof", f"127.0.0.1 {port}"))
        stack.push_async_callback(server.stop)
        replica: Any = Redis(unix_socket_path=str(server.socket), protocol=2)
        stack.push_async_callback(replica.aclose)
        yield Pair(master.url, server, replica)


@asynccontextmanager
async def cluster(home: Path) -> AsyncIterator[Pair]:
    cluster = await start_cluster(home, replicas=1)
    try:
        number = await replica_of(cluster, await cluster.owner(BATCHES))
        async with cluster.client(number) as replica:
            await replica.execute_command("READONLY")
            yield Pair(cluster.url, cluster.nodes[number], replica)
    finally:
        await cluster.stop()


@pytest.fixture(params=[node, cluster])
async def pair(request: pytest.FixtureRequest, run_dir: Path) -> AsyncIterator[Pair]:
    async with request.param(run_dir) as pair:
        yield pair


async def decided(store: RedisStore, *names: str) -> None:
    batches = [batch(SALE, name, 100 + i) for i, name in enumerate(names)]
    answers = await store.decide_many(SALE, 1, batches)
    assert all(isinstance(answer, Decision) for answer in answers), answers


async def test_replicas_have_what_buyers_are_told(pair: Pair) -> None:
    client = connect(pair.url)
    wanted = Copies(1, LONG_MS)
    store = RedisStore(client, wanted)
    try:
        await arm(store, SALE, 1)
        for number in range(20):
            await decided(store, f"b{number}")
            assert await pair.replica.hget(BATCHES, f"b{number}") is not None, "at once"
        await forget_scripts(client)
        await decided(store, "c0", "c1", "c2")
        assert await pair.replica.hmget(BATCHES, "c0", "c1", "c2") == [b"r", b"s", b"s"]
        place = await store.leave(SALE, 1, 101)
        assert isinstance(place, Place) and place.state is State.LEFT
        assert await pair.replica.hget(USERS, "101") == place.encode().encode()
        assert wanted.missed == 0
    finally:
        await client.aclose()


async def test_a_replica_that_is_away_is_counted_and_not_waited_for_long(pair: Pair) -> None:
    client = connect(pair.url)
    wanted = Copies(1, SHORT_MS)
    store = RedisStore(client, wanted)
    try:
        await arm(store, SALE, 1)
        pair.server.process.send_signal(signal.SIGSTOP)
        await decided(store, "b0")
        await decided(store, "b1")
        assert wanted.missed == 2
    finally:
        pair.server.process.send_signal(signal.SIGCONT)
        await client.aclose()


def test_a_wait_longer_than_a_command_may_take_is_a_bad_setting() -> None:
    with pytest.raises(SettingsError, match="at most 1000"):
        Settings(redis_wait_replicas=1, redis_wait_ms=1_001)
