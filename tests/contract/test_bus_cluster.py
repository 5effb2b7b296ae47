"""The bus on a cluster: who carries it, and what becomes of listeners when that changes."""

import asyncio
import signal
from pathlib import Path

from miaosha.adapters.redis.bus import CHANNEL, RedisBus
from miaosha.supervisor.servers.valkey_cluster import ValkeyCluster
from tests.contract.cluster import Move, start_cluster
from tests.contract.test_bus import PERIOD_S, Ear, results
from tests.kit.waits import until

OLDER = ("--rename-command", "SPUBLISH", "", "--rename-command", "SSUBSCRIBE", "")


async def heard_by_all(buses: list[RedisBus], number: int) -> None:
    """Every listener of each hears what another process tells."""
    ears = [Ear(bus) for bus in buses for _ in range(2)]
    for ear in ears:
        await ear.until_hears(buses[0])
    await buses[-1].publish(results(number))
    for ear in ears:
        await until(lambda ear=ear: results(number) in ear.heard)  # type: ignore[misc]
        await ear.stop()


async def test_one_master_carries_the_messages_and_the_others_see_none(
    cluster: ValkeyCluster,
) -> None:
    buses = [RedisBus(cluster.url, ping_period_s=PERIOD_S) for _ in range(2)]
    try:
        await heard_by_all(buses, 5)
        ear = Ear(buses[0])
        await ear.until_hears(buses[1])
        owner = await cluster.owner(CHANNEL)
        for node in range(3):
            async with cluster.client(node) as client:
                sharded = await client.execute_command("PUBSUB", "SHARDCHANNELS")
                assert (CHANNEL.encode() in sharded) == (node == owner)
        await ear.stop()
        await buses[0].ping()
    finally:
        for bus in buses:
            await bus.close()


async def test_listeners_follow_a_slot_that_moves(cluster: ValkeyCluster) -> None:
    bus = RedisBus(cluster.url)  # pings every second: three of them missed would be too late here
    ears = [Ear(bus), Ear(bus)]
    try:
        for ear in ears:
            await ear.until_hears(bus)
        await (await Move.of(cluster, CHANNEL)).whole()
        async with asyncio.timeout(2.5):  # told by the server, not found out by deafness
            for ear in ears:
                await ear.until_hears(bus)
    finally:
        for ear in ears:
            await ear.stop()
        await bus.close()


async def test_listeners_outlive_the_master_that_carries_them(run_dir: Path) -> None:
    cluster = await start_cluster(run_dir, replicas=1)
    buses = [RedisBus(cluster.url, ping_period_s=PERIOD_S) for _ in range(2)]
    ears = [Ear(bus) for bus in buses]
    try:
        for ear in ears:
            await ear.until_hears(buses[0])
        owner = await cluster.owner(CHANNEL)
        await cluster.nodes[owner].stop(signal.SIGKILL)
        for ear in ears:
            await ear.until_hears(buses[1])
        assert await cluster.owner(CHANNEL) != owner
    finally:
        for ear in ears:
            await ear.stop()
        for bus in buses:
            await bus.close()
        await cluster.stop()


async def test_servers_without_sharded_channels_carry_a_plain_one(run_dir: Path) -> None:
    cluster = await start_cluster(run_dir, extra=OLDER)
    buses = [RedisBus(cluster.url, ping_period_s=PERIOD_S) for _ in range(2)]
    try:
        await heard_by_all(buses, 6)
        await buses[0].ping()
    finally:
        for bus in buses:
            await bus.close()
        await cluster.stop()
