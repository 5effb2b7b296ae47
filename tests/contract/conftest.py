"""Stores for contract tests: one node and a cluster, each started once and shared, and the lab's.

Tests keep apart by their sale id. A test that restarts or flushes a server takes `store_server`.
"""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from miaosha.adapters.redis.connect import Client, connect
from miaosha.adapters.redis.store import RedisStore
from miaosha.ports.store import StockStore
from miaosha.supervisor.servers.rabbitmq import RabbitMq, start_rabbitmq
from miaosha.supervisor.servers.valkey import start_valkey
from miaosha.supervisor.servers.valkey_cluster import ValkeyCluster
from tests.contract.cluster import start_cluster
from tests.contract.store_rigs import LabRig, RedisRig, StoreRig

_sale_ids = itertools.count(1)


@pytest.fixture(scope="session")
def node_url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as name, asyncio.Runner() as runner:
        server = runner.run(start_valkey(Path(name), "store"))
        yield server.url
        runner.run(server.stop())


@pytest.fixture(scope="session")
def cluster() -> Iterator[ValkeyCluster]:
    """Whose nodes nobody stops: one that is slow to answer is no lost one."""
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as name, asyncio.Runner() as runner:
        cluster = runner.run(start_cluster(Path(name), node_timeout_ms=30_000))
        yield cluster
        runner.run(cluster.stop())


@pytest.fixture
def cluster_url(cluster: ValkeyCluster) -> str:
    return cluster.url


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMq]:
    """A server that tests may stop, if they start it again."""
    with tempfile.TemporaryDirectory(prefix="ms-", dir="/tmp") as name, asyncio.Runner() as runner:
        server = runner.run(start_rabbitmq(Path(name)))
        yield server
        runner.run(server.stop())


@pytest.fixture(params=["node", "cluster"])
def store_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def store_client(store_url: str) -> AsyncIterator[Client]:
    client = connect(store_url)
    yield client
    await client.aclose()


@pytest.fixture
def redis_store(store_client: Client) -> RedisStore:
    return RedisStore(store_client)


@pytest.fixture(params=["node", "cluster", "lab"])
def rig_url(request: pytest.FixtureRequest) -> str:
    """ "": the laboratory's store."""
    url: str = "" if request.param == "lab" else request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def rig(rig_url: str) -> AsyncIterator[StoreRig]:
    if not rig_url:
        yield LabRig()
        return
    client = connect(rig_url)
    yield RedisRig(client)
    await client.aclose()


@pytest.fixture
def store(rig: StoreRig) -> StockStore:
    return rig.store


@pytest.fixture
def sale_id() -> int:
    return next(_sale_ids)
