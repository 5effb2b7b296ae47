"""What the doctor says of a Redis: durable as a broker must be, or refused; what strict does."""

import asyncio
import signal
from pathlib import Path

import pytest
from redis.crc import key_slot

from miaosha.adapters.clock import StoreClock
from miaosha.adapters.redis.examine import _Facts, _found, examine_redis
from miaosha.adapters.sql import migrate
from miaosha.bootstrap.examining import refuse_unfit, sql_connections
from miaosha.domain.errors import SettingsError
from miaosha.domain.findings import Examined, Fitness, clock_finding
from miaosha.settings import Settings
from miaosha.supervisor.machine import fit
from miaosha.supervisor.machine.capacity import Machine
from miaosha.supervisor.machine.demands import of_settings
from miaosha.supervisor.servers.valkey import Valkey, start_valkey
from tests.contract.cluster import replica_of, start_cluster

FORGETFUL = ("--appendonly", "no", "--maxmemory-policy", "allkeys-lru")


async def examined(url: str, part: str, *, wait_replicas: int = 0) -> list[Examined]:
    return await examine_redis(url, part, StoreClock().now_ms, wait_replicas)


def wrong(found: list[Examined], verdict: Fitness) -> set[str]:
    return {finding.what for finding in found if finding.verdict is verdict}


@pytest.mark.parametrize("part", ["store", "broker"])
async def test_our_own_servers_are_well(node_url: str, part: str) -> None:
    found = await examined(node_url, part)
    assert {finding.verdict for finding in found} == {Fitness.OK}
    assert {"version", "appendonly", "appendfsync", "maxmemory-policy", "clock"} <= {
        finding.what for finding in found
    }


@pytest.mark.parametrize(
    ("version", "verdict"), [("6.2.14", Fitness.REFUSED), ("7.0.15", Fitness.OK)]
)
def test_a_server_that_cannot_run_our_scripts_is_refused(version: str, verdict: Fitness) -> None:
    """`#!lua` on a script's first line, ENTRIESREAD and the lag of a group came with 7.0."""
    found = _found("store", _Facts("Redis", version, 0, {}, True, 0), clustered=False)
    assert [f.verdict for f in found if f.what == "version"] == [verdict]


async def test_a_cluster_is_one_row_for_what_its_nodes_have_alike(run_dir: Path) -> None:
    cluster = await start_cluster(run_dir, replicas=1, password=True)
    try:
        found = await examined(cluster.url, "store", wait_replicas=1)
        assert {finding.verdict for finding in found} == {Fitness.OK}, wrong(found, Fitness.WARNING)
        assert [finding.what for finding in found] == [
            "version",
            "clock",
            "appendonly",
            "appendfsync",
            "maxmemory-policy",
            "min-replicas-to-write",
            "cluster",
            "masters",
            "replicas of a master",
            "redis_wait_replicas",
            "cluster-require-full-coverage",
            "cluster-node-timeout",
        ]
        assert {finding.part for finding in found} == {"store"}
        assert "redis_wait_replicas" in wrong(
            await examined(cluster.url, "store", wait_replicas=2), Fitness.WARNING
        )
        owner = await cluster.owner("sales")
        odd = f"store 127.0.0.1:{cluster.ports[owner]}"
        async with cluster.client(owner) as node:
            await node.config_set("appendfsync", "everysec")
            await node.config_set("min-replicas-to-write", "2")
        found = await examined(cluster.url, "store")
        assert {(f.part, f.what) for f in found if f.verdict is not Fitness.OK} == {
            (odd, "appendfsync"),
            (odd, "min-replicas-to-write"),
        }

        await cluster.nodes[await replica_of(cluster, owner)].stop(signal.SIGKILL)
        async with asyncio.timeout(30):
            while "node" not in wrong(found, Fitness.WARNING):
                found = await examined(cluster.url, "store")
        assert "replicas of a master" in wrong(found, Fitness.WARNING), "its master has none now"
        async with cluster.client(owner) as node:
            await node.execute_command("CLUSTER", "DELSLOTS", key_slot(b"sales"))
        assert "cluster" in wrong(await examined(cluster.url, "store"), Fitness.REFUSED)
    finally:
        await cluster.stop(signal.SIGKILL)


async def test_a_forgetful_server_may_be_a_store_but_no_broker(run_dir: Path) -> None:
    server = await start_valkey(run_dir, "forgetful", extra=FORGETFUL)
    try:
        store, broker = await examined(server.url, "store"), await examined(server.url, "broker")
    finally:
        await server.stop()
    assert wrong(store, Fitness.WARNING) == {"appendonly"}
    assert wrong(store, Fitness.REFUSED) == {"maxmemory-policy"}
    assert wrong(broker, Fitness.REFUSED) == {"appendonly", "maxmemory-policy"}


async def test_one_that_is_away_is_a_finding(run_dir: Path) -> None:
    found = await examined(f"unix://{run_dir}/nowhere.sock", "store")
    assert wrong(found, Fitness.REFUSED) == {"answers"}


def test_a_clock_that_is_off_is_told() -> None:
    assert clock_finding("store", -400).verdict is Fitness.OK
    assert clock_finding("store", 700).verdict is Fitness.WARNING


async def test_strict_roles_refuse_what_breaks_a_promise(
    run_dir: Path, store_server: Valkey
) -> None:
    database_url = f"sqlite:///{run_dir}/shop.sqlite"
    settings = Settings(
        redis_url=store_server.url,
        broker_url=store_server.url,
        database_url=database_url,
        strict=1,
    )
    with pytest.raises(SettingsError, match="schema is none: miaosha db upgrade"):
        await refuse_unfit(settings)
    await refuse_unfit(settings, sql=False)  # a publisher never asks the database
    migrate.upgrade(database_url)
    await refuse_unfit(settings)


def test_a_machine_too_small_for_its_sockets_is_refused() -> None:
    small = Machine(1_024, 10_000, (32_768, 60_999), 10**10, 128, 2)
    found = fit.found(small, of_settings(small, Settings(gateways=1)))
    assert wrong(found, Fitness.REFUSED) == {"open files of a process", "fs.file-max"}
    assert wrong(found, Fitness.WARNING) == {"net.core.somaxconn"}
    big = Machine(100_000, 10**7, (10_240, 65_535), 10**11, 4_096, 8)
    assert {finding.verdict for finding in fit.found(big, of_settings(big, Settings()))} == {
        Fitness.OK
    }


def test_connections_of_all_processes_are_counted() -> None:
    one = sql_connections(Settings())
    assert sql_connections(Settings(apis=2)) == one + 2 * Settings().sql_connections_api
