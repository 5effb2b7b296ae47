"""During a sale of 2,000 buyers on two machines and the servers of a production deployment, one
thing after another goes wrong. After each: every 202 has one outcome, the views of all buyers agree
with the ledger, the audit is clean; and it is printed for how long purchases were refused.

The three that lose most run one after another, with 200 buyers each, wherever the servers are
(marker `servers`).
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.contract.sql.servers import administer
from tests.drills.machines import Shared, machines, shared_servers
from tests.drills.rush import People, Rush, Size, people_for, rush
from tests.kit.running import Up

AWAY_S = 6.0
BEHIND_S = 30
SMALL = Size(crowd=200, stock=20, rush_s=3.0, open_for_s=25.0)
LARGE = Size(crowd=2_000, stock=200, rush_s=6.0, open_for_s=45.0)


class World(NamedTuple):
    shared: Shared
    ups: list[Up]
    sale: Rush


async def rabbitmq_restarted(world: World) -> None:
    await world.shared.stack.rabbitmq.stop()
    await world.shared.stack.rabbitmq.start()


async def rabbitmq_killed(world: World) -> None:
    await world.shared.stack.rabbitmq.stop(signal.SIGKILL)
    await world.shared.stack.rabbitmq.start()


async def rabbitmq_blocked(world: World) -> None:
    """A memory alarm: the broker reads nothing from whoever publishes."""
    ctl = world.shared.stack.rabbitmq.ctl
    await ctl("set_vm_memory_high_watermark", "0.000001")
    await asyncio.sleep(AWAY_S)
    await ctl("set_vm_memory_high_watermark", "0.6")


async def redis_master_killed(world: World) -> None:
    """The one that has the sale; it does not come back, its replica takes over."""
    cluster = world.shared.stack.cluster
    owner = await cluster.owner(f"{{sale:{world.sale.sale_id}}}:meta")
    await cluster.nodes[owner].stop(signal.SIGKILL)


async def sql_primary_restarted(world: World) -> None:
    """Killed, with commits under way."""
    await world.shared.stack.mariadb.stop(signal.SIGKILL)
    await world.shared.stack.mariadb.start()


async def replica_behind(world: World) -> None:
    replica = world.shared.stack.replica
    delay = f"CHANGE MASTER TO MASTER_DELAY={BEHIND_S}"
    await administer(replica, "STOP SLAVE", delay, "START SLAVE")
    await asyncio.sleep(AWAY_S)
    await replica.stop(signal.SIGKILL)


async def mail_server_down(world: World) -> None:
    await world.shared.mail.stop()
    await asyncio.sleep(AWAY_S)
    await world.shared.mail.start()


async def machine_lost(world: World) -> None:
    world.ups[1].lose()


Fault = Callable[[World], Awaitable[None]]
FAULTS: list[Fault] = [
    rabbitmq_restarted,
    rabbitmq_killed,
    rabbitmq_blocked,
    redis_master_killed,
    sql_primary_restarted,
    replica_behind,
    mail_server_down,
    machine_lost,
]
SHORT: list[Fault] = [rabbitmq_killed, sql_primary_restarted, redis_master_killed]


def name_of(fault: Fault) -> str:
    return fault.__name__


@pytest.mark.servers
@pytest.mark.timeout(500)
async def test_small_sales_survive(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One after another on the same servers, none of which is as new after a fault."""
    async with shared_servers(run_dir) as shared, machines(run_dir, shared, count=1) as ups:
        people = await people_for(shared.opened(), SMALL)
        for fault in SHORT:
            said = await drill(run_dir, fault, shared, ups, SMALL, people)
            with capsys.disabled():
                print(said)


@pytest.mark.drill
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS, ids=name_of)
async def test_a_sale_survives(
    run_dir: Path, capsys: pytest.CaptureFixture[str], fault: Fault
) -> None:
    async with shared_servers(run_dir) as shared, machines(run_dir, shared, count=2) as ups:
        people = await people_for(shared.opened(), LARGE)
        said = await drill(run_dir, fault, shared, ups, LARGE, people)
        with capsys.disabled():
            print(said)


async def drill(
    run_dir: Path, fault: Fault, shared: Shared, ups: list[Up], size: Size, people: People
) -> str:
    """What went on, in a line."""
    began = time.monotonic()
    home = run_dir / name_of(fault)
    home.mkdir()
    async with rush(home, shared.opened(), ups, size, people) as sale:
        await sale.accepted(size.crowd // 5)
        await fault(World(shared, ups, sale))
        await sale.judge()
        mails = [mail for _, _, mail in (await sale.ledger()).mails]
    gaps = ", ".join(f"{gap:.1f}" for gap in sale.probe.gaps_s()) or "none"
    return (
        f"\n{name_of(fault)}, {size.crowd} buyers: purchases refused for {gaps} s "
        f"({sale.probe.refusals()} of {len(sale.probe.presses)} presses), "
        f"{mails.count('sent')} of {len(mails)} mails sent, {time.monotonic() - began:.0f} s"
    )
