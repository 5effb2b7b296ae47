"""Cluster forming: makes running Valkey nodes a cluster, by the commands valkey-cli would send.

It knows neither processes nor files. It is given a client of each node, and their ports.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from redis import exceptions

SLOTS: Final = 16_384
LOOPBACK: Final = "127.0.0.1"
POLL_S: Final = 0.02


async def form(clients: Sequence[Any], ports: Sequence[int], masters: int, *, new: bool) -> None:
    """Returns when every slot is served and every replica follows its master.

    Args:
        clients, ports: of each node, in the same order; the first `masters` are to be masters.
        new: the nodes hold nothing yet; else they were a cluster before, maybe on other ports.

    Raises:
        redis.exceptions.RedisError: a node is away or refuses. Waits without end: the caller
            sets the limit.
    """
    for client in clients:
        await _loaded(client)
    if new:
        await _give_slots(clients[:masters])
    await _meet(clients, ports)
    if new:
        await _follow(clients, masters)
    while not all([await _sees_whole(client, len(ports)) for client in clients]):  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)


async def _give_slots(masters: Sequence[Any]) -> None:
    for i, client in enumerate(masters):
        first, end = SLOTS * i // len(masters), SLOTS * (i + 1) // len(masters)
        await client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        await client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)


async def _meet(clients: Sequence[Any], ports: Sequence[int]) -> None:
    """Each is told of all: waiting for gossip would take seconds. Those who knew each other before
    learn a changed port by it."""
    for i, client in enumerate(clients):
        for port in ports[i + 1 :]:
            await client.execute_command("CLUSTER", "MEET", LOOPBACK, port)
    wanted = sorted(ports)
    while not all([sorted(await _known(client)) == wanted for client in clients]):  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)


async def _follow(clients: Sequence[Any], masters: int) -> None:
    """The first replica is given the first master, and so on."""
    ids = [_text(await client.execute_command("CLUSTER", "MYID")) for client in clients]
    for i, client in enumerate(clients[masters:]):
        await client.execute_command("CLUSTER", "REPLICATE", ids[i % masters])


async def _sees_whole(client: Any, nodes: int) -> bool:
    """All slots are served, and as many copies follow as there are."""
    info = _text(await client.execute_command("CLUSTER", "INFO")).split()
    if "cluster_state:ok" not in info or f"cluster_slots_ok:{SLOTS}" not in info:
        return False
    ranges = await client.execute_command("CLUSTER", "SLOTS")
    if len({int(port) for _, _, *having in ranges for _, port, *_ in having}) != nodes:
        return False
    link = (await client.info("replication")).get("master_link_status", "up")
    return bool(link == "up")


def _text(answer: Any) -> str:
    return answer.decode() if isinstance(answer, bytes) else str(answer)


async def _loaded(client: Any) -> None:
    """Returns when the node has read its files."""
    while True:
        try:
            await client.ping()
        except exceptions.BusyLoadingError:
            await asyncio.sleep(POLL_S)
        else:
            return


async def _known(client: Any) -> list[int]:
    """The ports of the nodes it knows, itself included, and is connected to."""
    raw = _text(await client.execute_command("CLUSTER", "NODES"))
    lines = [line.split() for line in raw.splitlines()]
    return [
        int(address.split("@")[0].rpartition(":")[2])
        for _, address, flags, _, _, _, _, link, *_ in lines
        if link == "connected" and "handshake" not in flags
    ]
