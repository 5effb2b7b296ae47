"""Redis examination: what a server is, and whether it keeps what it confirms, for the doctor."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

from redis import exceptions

from miaosha.adapters.redis.connect import connect, is_cluster, reaching
from miaosha.adapters.redis.examine_cluster import (
    cluster_nodes,
    examine_whole,
    merged,
    waited_for,
)
from miaosha.domain.errors import MiaoshaError
from miaosha.domain.findings import Examined, Fitness, clock_finding, judged

OLDEST = (7, 0)  # the first with flags of scripts, the lag of consumer groups, sharded channels
ASK_S = 5.0
BROKER = "broker"
SETTINGS = ("appendonly", "appendfsync", "maxmemory-policy", "min-replicas-to-write")


async def examine_redis(
    url: str, part: str, machine_ms: Callable[[], int], wait_replicas: int = 0
) -> list[Examined]:
    """Every node of it; a server that does not answer is a finding, not an error.

    Args:
        part: `store`, which can be rebuilt, or `broker`, whose loss is a lost 202.
        machine_ms: this machine's wall clock.
        wait_replicas: what `redis_wait_replicas` is set to.
    """
    client = connect(url, connections_max=2)
    try:
        async with asyncio.timeout(ASK_S):
            with reaching(part):
                if is_cluster(client):
                    return await _cluster(client, part, machine_ms, wait_replicas)
                facts = await _ask(client, machine_ms, {})
                copies = waited_for(part, facts.replicas, wait_replicas)
                return _found(part, facts, clustered=False) + copies
    except (MiaoshaError, TimeoutError) as error:
        said = str(error) or "no answer"
        return [Examined(part, "answers", "no", Fitness.REFUSED, said)]
    finally:
        await client.aclose()


class _Facts(NamedTuple):
    """Of one node. `settings` is empty where CONFIG is forbidden."""

    name: str
    version: str
    offset_ms: int
    settings: dict[str, str]
    master: bool
    replicas: int


async def _cluster(
    cluster: Any, part: str, machine_ms: Callable[[], int], wait_replicas: int
) -> list[Examined]:
    await cluster.initialize()
    nodes = await cluster_nodes(cluster)
    by_node, clocks = {}, []
    for node in nodes:
        reached = cluster.get_node(*node.place)
        if node.down or reached is None:  # None: nobody's replica, and without a slot
            continue
        try:
            facts = await _ask(cluster, machine_ms, {"target_nodes": reached})
        except (exceptions.ConnectionError, exceptions.TimeoutError):
            node.down = True  # the others have not missed it yet
            continue
        by_node[node.address] = [
            f for f in _found(part, facts, clustered=True) if f.what != "clock"
        ]
        clocks.append(facts.offset_ms)
    if not clocks:
        raise exceptions.ConnectionError("no node of the cluster answers")
    found = merged(part, by_node)
    found.insert(1, clock_finding(part, max(clocks, key=abs)))
    return found + await examine_whole(cluster, part, nodes, wait_replicas)


async def _ask(client: Any, machine_ms: Callable[[], int], target: dict[str, Any]) -> _Facts:
    info = await client.info(**target)
    seconds, microseconds = await client.time(**target)
    offset_ms = int(seconds) * 1000 + int(microseconds) // 1000 - machine_ms()
    settings: dict[Any, Any] = {}
    with contextlib.suppress(exceptions.ResponseError):  # some providers forbid CONFIG
        settings = await client.config_get(*SETTINGS, **target)
    return _Facts(
        "Valkey" if "valkey_version" in info else "Redis",
        str(info.get("valkey_version", info.get("redis_version", "0"))),
        offset_ms,
        {_text(key): _text(value) for key, value in settings.items()},
        info.get("role") == "master",
        int(info.get("connected_slaves", 0)),
    )


def _found(part: str, facts: _Facts, *, clustered: bool) -> list[Examined]:
    version = tuple(int(n) for n in facts.version.split(".")[:2])
    said, advice = f"{facts.name} {facts.version}", "at least 7.0: older ones lack what we call"
    found = [
        judged(part, "version", said, version >= OLDEST, Fitness.REFUSED, advice),
        clock_finding(part, facts.offset_ms),
    ]
    if not facts.settings:
        advice = "CONFIG is forbidden here: see to it that writes are kept, and none is evicted"
        return [*found, Examined(part, "settings", "unknown", Fitness.WARNING, advice)]
    return found + _durability(part, facts.settings) + _copies(part, facts, clustered=clustered)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _durability(part: str, settings: dict[str, str]) -> list[Examined]:
    kept = part.startswith(BROKER)
    lost = "a crash forgets requests that were told 202" if kept else "a crash costs a rebuild"
    bad = Fitness.REFUSED if kept else Fitness.WARNING
    appended, fsync = settings.get("appendonly", "?"), settings.get("appendfsync", "?")
    policy = settings.get("maxmemory-policy", "?")
    return [
        judged(part, "appendonly", appended, appended == "yes", bad, f"set it to yes: {lost}"),
        judged(part, "appendfsync", fsync, fsync == "always", bad, f"set it to always: {lost}"),
        judged(
            part,
            "maxmemory-policy",
            policy,
            policy == "noeviction",
            Fitness.REFUSED,
            "set it to noeviction: anything else drops keys of a running sale",
        ),
    ]


def _copies(part: str, facts: _Facts, *, clustered: bool) -> list[Examined]:
    """What a master takes whose replicas are away, a failover forgets. A store finds it again by a
    rebuild; with a broker it is a 202."""
    if not (facts.replicas or clustered):
        return []
    least = facts.settings.get("min-replicas-to-write", "0")
    if facts.master and int(least) > facts.replicas:
        advice = "start the replicas, or lower it: no write is taken until so many follow"
        return [Examined(part, "min-replicas-to-write", least, Fitness.REFUSED, advice)]
    advice = "set it to 1: a master that lost its replicas takes writes a failover forgets"
    good = least != "0" or not part.startswith(BROKER)
    return [judged(part, "min-replicas-to-write", least, good, Fitness.WARNING, advice)]
