"""A private Valkey cluster of three masters, made without valkey-cli."""

import asyncio
import random
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from miaosha.supervisor.servers import Valkey, start_valkey

SLOTS = 16384
MASTERS = 3
BUS_OFFSET = 10_000  # a node's cluster bus listens on its port + this, so ports are <= 55535


@dataclass
class Cluster:
    """`url` is what MIAOSHA_REDIS_URL takes."""

    nodes: list[Valkey]
    ports: list[int]

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.ports[0]}"

    async def stop(self) -> None:
        await asyncio.gather(*(node.stop() for node in self.nodes))


async def start_cluster(directory: Path) -> Cluster:
    """Three masters that share the slots and agree on it."""
    ports = _free_ports(MASTERS)
    nodes = [await _start_node(directory, port) for port in ports]
    cluster = Cluster(nodes, ports)
    try:
        await _join(cluster)
    except BaseException:
        await cluster.stop()
        raise
    return cluster


async def _start_node(directory: Path, port: int) -> Valkey:
    options = ["--port", str(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes"]
    options += ["--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "5000"]
    return await start_valkey(directory, f"n{port}", extra=tuple(options))


async def _join(cluster: Cluster) -> None:
    clients: list[Any] = [
        Redis(unix_socket_path=str(node.socket), protocol=2) for node in cluster.nodes
    ]
    try:
        for i, client in enumerate(clients):
            first, end = SLOTS * i // MASTERS, SLOTS * (i + 1) // MASTERS
            await client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            await client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        for port in cluster.ports[1:]:
            await clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)
        deadline = asyncio.get_running_loop().time() + 20
        while not all([await _agrees(client) for client in clients]):
            assert asyncio.get_running_loop().time() < deadline, "the cluster did not form"
            await asyncio.sleep(0.05)
    finally:
        for client in clients:
            await client.aclose()


async def _agrees(client: Any) -> bool:
    raw = await client.execute_command("CLUSTER INFO")
    slots = await client.execute_command("CLUSTER SLOTS")
    info = (
        raw
        if isinstance(raw, dict)
        else dict(line.split(":", 1) for line in raw.decode().split("\r\n") if ":" in line)
    )
    return info["cluster_state"] == "ok" and len(slots) == MASTERS


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        port = random.randint(20_000, 32_000)
        if port not in found and _free(port) and _free(port + BUS_OFFSET):
            found.append(port)
    return found


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
