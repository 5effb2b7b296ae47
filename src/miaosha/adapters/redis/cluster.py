"""Cluster client: redis-py's client of a Redis Cluster, with the gaps closed that a sale meets.

A slot that is being moved answers ASK; the next command must follow on the same connection as its
ASKING. A call beyond the limit of connections waits its turn. A range of slots that nobody serves,
or a master that is down, stops what lies there and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode, ClusterPipeline, PipelineCommand

from miaosha.adapters.redis.packing import PACKING


class Cluster(RedisCluster):
    """Built by `open_cluster`.

    Args:
        connections_max: calls under way at most, and as many pipelines; more wait `turn_s` seconds.
    """

    def __init__(self, *, connections_max: int, turn_s: float, **options: Any) -> None:
        super().__init__(max_connections=2 * connections_max, **options)
        packing = PACKING[self.connection_kwargs["connection_class"]]
        self.connection_kwargs["connection_class"] = packing
        for node in self.startup_nodes:
            node.connection_class = packing
        # Two, since a pipeline that is sent elsewhere makes calls of its own.
        self._call_turns = asyncio.Semaphore(connections_max)
        self._pipeline_turns = asyncio.Semaphore(connections_max)
        self._turn_s = turn_s
        self._under_way = 0

    async def initialize(self, *args: Any, **options: Any) -> "RedisCluster":
        """redis-py then asks the first master which commands there are, and gives up if it is the
        one that is down."""
        tries = 1
        while True:
            try:
                return await super().initialize(*args, **options)
            except (exceptions.ConnectionError, exceptions.TimeoutError):
                masters = self.get_primaries()
                if tries >= len(masters):
                    raise
                self.nodes_manager.move_node_to_end_of_cached_nodes(masters[0].name)
                tries += 1

    async def aclose(self) -> None:
        """redis-py calls it too, in the middle of a call, to learn the cluster anew; and it leaves
        connections open if the last call has failed."""
        await super().aclose()
        if not self._under_way:
            await self.nodes_manager.aclose()
            await self.nodes_manager.aclose("startup_nodes")

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        async with self._turn(self._call_turns):
            return await super().execute_command(*args, **options)

    def pipeline(
        self, transaction: Any | None = None, shard_hint: Any | None = None
    ) -> "ClusterPipeline":
        return _Pipeline(self, transaction)  # type: ignore[abstract] # redis-py's is no better

    def get_node(
        self, host: str | None = None, port: int | None = None, node_name: str | None = None
    ) -> Any:
        """By its name alone redis-py looks for the node that an ASK named, maybe a new one."""
        node = super().get_node(host, port, node_name)
        if node_name is None:
            return node
        if node is None:
            name, _, number = node_name.rpartition(":")
            node = ClusterNode(name, int(number), "primary", **self.connection_kwargs)
            self.nodes_manager.nodes_cache[node.name] = node
        return _Asked(node)

    @asynccontextmanager
    async def _turn(self, turns: asyncio.Semaphore) -> AsyncIterator[None]:
        async with asyncio.timeout(self._turn_s):
            await turns.acquire()
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            turns.release()


class _Pipeline(ClusterPipeline):
    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> Any:
        cluster: Any = self.cluster_client
        async with cluster._turn(cluster._pipeline_turns):
            return await super().execute(raise_on_error, allow_redirections)


class _Asked:
    """A node that a slot is moving to: whatever is sent there goes right behind an ASKING."""

    def __init__(self, node: ClusterNode) -> None:
        self._node = node

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    async def execute_command(self, *args: Any, asking: bool = False, **options: Any) -> Any:
        if args == ("ASKING",):
            return b"OK"  # it goes with the command
        asked = [PipelineCommand(0, "ASKING"), PipelineCommand(1, *args, **options)]
        await self._node.execute_pipeline(asked)
        answer = asked[1].result
        if isinstance(answer, Exception):
            raise answer
        return answer


def open_cluster(url: str, *, connections_max: int, turn_s: float, **options: Any) -> Cluster:
    """A client of the cluster some of whose nodes `url` names.

    Args:
        url: redis:// or rediss://, hosts with ports, commas between them.
        options: of redis-py's client.

    Raises:
        ValueError: the URL is none of these.
    """
    first, *others = each_host(url)
    nodes = [ClusterNode(*_host_and_port(other)) for other in others]
    cluster: RedisCluster = Cluster.from_url(
        first,
        startup_nodes=nodes or None,
        connections_max=connections_max,
        turn_s=turn_s,
        require_full_coverage=False,
        **options,
    )
    return cast(Cluster, cluster)


async def open_owner(cluster: RedisCluster, key: str) -> Redis:
    """A client of the one node that serves `key` at the moment, as far as `cluster` knows; for a
    subscription, which lasts. The caller closes it."""
    await cluster.initialize()
    node = cluster.get_node_from_key(key)
    assert node is not None  # an uncovered slot raises
    pool = ConnectionPool(
        connection_class=node.connection_class, max_connections=1, **node.connection_kwargs
    )
    return Redis.from_pool(pool)


def each_host(url: str) -> list[str]:
    """The URL once per host."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    return [urlunsplit(parts._replace(netloc=f"{login}{at}{host}")) for host in hosts.split(",")]


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 6379
