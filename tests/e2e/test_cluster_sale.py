"""A sale whose store is a Redis cluster, everything else embedded: masters die, restart, and give
slots away in the middle of it. Every 202 has one outcome, and the audit is clean.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from miaosha.adapters.redis.scripts import sale_keys
from miaosha.cli.command import here
from miaosha.supervisor.servers.valkey_cluster import ValkeyCluster
from tests.contract.cluster import Move, start_cluster
from tests.drills.rush import Rush, Size, people_for, rush
from tests.kit.running import START_S, starting
from tests.kit.waits import until

SIZE = Size(crowd=300, stock=30, rush_s=3.0, open_for_s=20.0)
NODE_TIMEOUT_MS = 1_500  # silent for this long a master has failed
HALF_MOVED_S = 1.0  # the keys of a moving slot are in two places for so long
REFUSED_MAX_S = 60.0  # on a slow machine, too

pytestmark = pytest.mark.timeout(300)


@dataclass
class Selling:
    """The running sale, on `cluster`."""

    cluster: ValkeyCluster
    rush: Rush

    @property
    def keys(self) -> tuple[str, ...]:
        return sale_keys(self.rush.sale_id)

    async def epoch(self) -> int:
        terms = await self.rush.parts.ledger.sales.terms(self.rush.sale_id)
        assert terms is not None
        return terms.epoch

    async def lose_master(self) -> int:
        """The number of the sale's, killed."""
        owner = await self.cluster.owner(self.keys[0])
        await self.cluster.nodes[owner].stop(signal.SIGKILL)
        return owner

    async def judge(self, what: str) -> None:
        """While holds are still live: every 202 of the probe has one outcome, the crowd's are in
        order by the audit. Says for how long purchases were refused."""
        await self.rush.accepted(SIZE.crowd * 9 // 10)
        assert await self.rush.probe.outcomes()
        self._tell(what)
        report = await self.rush.parts.auditor.audit(self.rush.sale_id)
        broken = [f"{finding.invariant}: {finding.detail}" for finding in report.findings]
        assert not broken, "\n".join(broken)

    async def judge_the_end(self, what: str) -> None:
        """And once it is settled: what every buyer was told agrees with the ledger, all is sold."""
        await self.rush.judge()
        self._tell(what)
        assert (await self.rush.ledger()).sold == SIZE.stock

    def _tell(self, what: str) -> None:
        probe = self.rush.probe
        refused_s = sum(probe.gaps_s())
        said = ", ".join(f"{count} {name}" for name, count in probe.refusals().items())
        print(f"\n{what}: purchases were refused for {refused_s:.1f} s ({said or 'none'})")
        assert refused_s < REFUSED_MAX_S


@asynccontextmanager
async def selling(home: Path, **settings: str) -> AsyncIterator[Selling]:
    """The sale is open, and a sixth of its crowd accepted."""
    cluster = await start_cluster(home / "redis", replicas=1, node_timeout_ms=NODE_TIMEOUT_MS)
    try:
        wanted = {"redis_url": cluster.url, "payment_max_s": "15", **settings}
        with starting(home, settings=wanted) as up:
            await until(lambda: asyncio.to_thread(up.ready), START_S, what="ready")
            opened = here(up.data)
            people = await people_for(opened, SIZE)
            async with rush(home, opened, [up], SIZE, people) as sale:
                await sale.accepted(SIZE.crowd // 6)
                yield Selling(cluster, sale)
    finally:
        await cluster.stop(signal.SIGKILL)


async def test_a_replica_takes_over_in_the_middle_of_a_sale(run_dir: Path) -> None:
    async with selling(run_dir, redis_wait_replicas="1") as sale:
        before, owner = await sale.epoch(), await sale.lose_master()
        await sale.judge("a master was lost, and its replica took over")
        assert await sale.cluster.owner(sale.keys[0]) != owner
        assert await sale.epoch() > before, "rebuilt where the sale is now"


@pytest.mark.drill
async def test_a_sale_that_lost_its_master_comes_to_a_clean_end(run_dir: Path) -> None:
    async with selling(run_dir) as sale:
        await sale.lose_master()
        await sale.judge_the_end("a master was lost, and its replica took over")


@pytest.mark.drill
async def test_a_master_restarts_before_it_is_missed(run_dir: Path) -> None:
    async with selling(run_dir) as sale:
        before, owner = await sale.epoch(), await sale.cluster.owner(sale.keys[0])
        await sale.cluster.nodes[owner].stop()
        await sale.cluster.nodes[owner].start_again()
        await sale.judge_the_end("a master restarted")
        assert await sale.epoch() > before


@pytest.mark.drill
async def test_the_slot_of_a_running_sale_moves(run_dir: Path) -> None:
    async with selling(run_dir) as sale:
        before = await sale.epoch()
        move = await Move.of(sale.cluster, sale.keys[0])
        await move.begin()
        await move.carry(sale.keys[1])
        await asyncio.sleep(HALF_MOVED_S)
        await move.carry()
        await move.end()
        await sale.judge_the_end("the sale's slot moved")
        assert await sale.epoch() > before


@pytest.mark.drill
async def test_a_replica_is_lost(run_dir: Path) -> None:
    async with selling(run_dir) as sale:
        before = await sale.epoch()
        await sale.cluster.nodes[3].stop(signal.SIGKILL)
        await sale.judge_the_end("a replica was lost")
        assert await sale.epoch() == before, "which concerns nobody"


@pytest.mark.drill
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
async def test_the_whole_cluster_restarts(run_dir: Path, sig: int) -> None:
    async with selling(run_dir) as sale:
        await sale.cluster.stop(sig)
        await sale.cluster.start()
        await sale.judge_the_end(
            f"the whole cluster got a {signal.Signals(sig).name} and restarted"
        )
