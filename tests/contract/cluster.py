"""Private clusters for tests, and a slot on its way from one master to another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.crc import key_slot

from miaosha.supervisor.servers.packaged_server import LOOPBACK
from miaosha.supervisor.servers.valkey_cluster import ValkeyCluster

MIGRATE_MS = 10_000


async def start_cluster(directory: Path, *, replicas: int = 0, **options: Any) -> ValkeyCluster:
    """Three masters; a master's replica takes over after a second and a half of silence."""
    options = {"node_timeout_ms": 1_500, **options}
    cluster = ValkeyCluster.prepare(directory, replicas=replicas, **options)
    await cluster.start()
    return cluster


async def replica_of(cluster: ValkeyCluster, master: int) -> int:
    for number in range(len(cluster.ports)):
        async with cluster.client(number) as client:
            facts = await client.info("replication")
        if facts.get("master_port") == cluster.ports[master]:
            return number
    raise AssertionError(f"nobody follows {master}")


@dataclass
class Move:
    """The slot of `key` moves from master `source` to `target`, step by step, as `valkey-cli
    --cluster reshard` does it."""

    cluster: ValkeyCluster
    key: str
    source: int
    target: int

    @property
    def slot(self) -> int:
        return key_slot(self.key.encode())

    @classmethod
    async def of(cls, cluster: ValkeyCluster, key: str) -> "Move":
        """From its owner to the next master, none of whose nodes has failed."""
        source = await cluster.owner(key)
        return cls(cluster, key, source, (source + 1) % 3)

    async def begin(self) -> None:
        source, target = await self._id(self.source), await self._id(self.target)
        await self._ask(self.target, "CLUSTER", "SETSLOT", self.slot, "IMPORTING", source)
        await self._ask(self.source, "CLUSTER", "SETSLOT", self.slot, "MIGRATING", target)

    async def carry(self, *keys: str) -> None:
        """Some of the slot's keys; without a name all."""
        wanted: Any = keys
        if not keys:
            wanted = await self._ask(self.source, "CLUSTER", "GETKEYSINSLOT", self.slot, 1_000)
        where = (LOOPBACK, self.cluster.ports[self.target], "", 0, MIGRATE_MS)
        if wanted:
            await self._ask(self.source, "MIGRATE", *where, "KEYS", *wanted)

    async def end(self) -> None:
        target = await self._id(self.target)
        for node in (self.target, self.source):
            await self._ask(node, "CLUSTER", "SETSLOT", self.slot, "NODE", target)

    async def whole(self) -> None:
        await self.begin()
        await self.carry()
        await self.end()

    async def _id(self, node: int) -> str:
        answer: bytes = await self._ask(node, "CLUSTER", "MYID")
        return answer.decode()

    async def _ask(self, node: int, *command: Any) -> Any:
        async with self.cluster.client(node) as client:
            return await client.execute_command(*command)
