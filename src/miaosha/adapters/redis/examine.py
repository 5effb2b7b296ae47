"""What a Redis or Valkey is and whether it keeps what it confirms, for `miaosha doctor`."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from redis import exceptions

from miaosha.adapters.redis.connect import Client, connect, is_cluster, reaching
from miaosha.domain.errors import MiaoshaError
from miaosha.ports.findings import Finding, Verdict, clock_finding, judged

OLDEST = (6, 2)
ASK_S = 5.0
BROKER = "broker"
SETTINGS = ("appendonly", "appendfsync", "maxmemory-policy", "min-replicas-to-write")


async def examine_redis(url: str, part: str, machine_ms: Callable[[], int]) -> list[Finding]:
    """Every master of it; a server that does not answer is a finding, not an error.

    Args:
        part: `store`, which can be rebuilt, or `broker`, whose loss is a lost 202.
        machine_ms: this machine's wall clock.
    """
    client = connect(url, connections_max=2)
    try:
        async with asyncio.timeout(ASK_S):
            with reaching(part):
                return await _examine(client, part, machine_ms)
    except (MiaoshaError, TimeoutError) as error:
        said = str(error) or "no answer"
        return [Finding(part, "answers", "no", Verdict.REFUSED, said)]
    finally:
        await client.aclose()


async def _examine(client: Client, part: str, machine_ms: Callable[[], int]) -> list[Finding]:
    if not is_cluster(client):
        return await _node(client, part, machine_ms, {})
    cluster: Any = client
    await cluster.initialize()
    found: list[Finding] = []
    for node in cluster.get_primaries():
        found += await _node(cluster, f"{part} {node.name}", machine_ms, {"target_nodes": node})
    return found


async def _node(
    client: Any, part: str, machine_ms: Callable[[], int], target: dict[str, Any]
) -> list[Finding]:
    info = await client.info(**target)
    seconds, microseconds = await client.time(**target)
    offset_ms = int(seconds) * 1000 + int(microseconds) // 1000 - machine_ms()
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version", info.get("redis_version", "0")))
    settings: dict[str, str] = {}
    with contextlib.suppress(exceptions.ResponseError):  # some providers forbid CONFIG
        settings = await client.config_get(*SETTINGS, **target)
    found = [
        judged(
            part,
            "version",
            f"{name} {version}",
            tuple(int(n) for n in version.split(".")[:2]) >= OLDEST,
            Verdict.REFUSED,
            "at least 6.2",
        ),
        clock_finding(part, offset_ms),
    ]
    if not settings:
        advice = "CONFIG is forbidden here: see to it that writes are kept, and none is evicted"
        return [*found, Finding(part, "settings", "unknown", Verdict.WARNING, advice)]
    settings = {_text(key): _text(value) for key, value in settings.items()}
    return found + _durability(part, settings) + _copies(part, settings, info)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _durability(part: str, settings: dict[str, str]) -> list[Finding]:
    kept = part.startswith(BROKER)
    lost = "a crash forgets requests that were told 202" if kept else "a crash costs a rebuild"
    bad = Verdict.REFUSED if kept else Verdict.WARNING
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
            Verdict.REFUSED,
            "set it to noeviction: anything else drops keys of a running sale",
        ),
    ]


def _copies(part: str, settings: dict[str, str], info: dict[str, Any]) -> list[Finding]:
    """A master without replicas has nobody to wait for."""
    replicas = int(info.get("connected_slaves", 0))
    if not replicas:
        return []
    least = settings.get("min-replicas-to-write", "0")
    advice = "set it to 1: a master that lost its replicas takes writes a failover forgets"
    return [judged(part, "min-replicas-to-write", least, least != "0", Verdict.WARNING, advice)]
