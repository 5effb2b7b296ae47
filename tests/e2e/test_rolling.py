"""A rolling upgrade in the middle of a sale: every role process is another one afterwards, and
nobody who asked for something meanwhile was refused. A successor that fails changes nothing.
"""

import asyncio
import sys
from collections import Counter
from pathlib import Path

import pytest

from miaosha.cli.command import here
from miaosha.settings import Settings
from miaosha.supervisor.child_spec import Health, Spec
from miaosha.supervisor.children import Child
from miaosha.supervisor.process_plan import Places
from miaosha.supervisor.rolling import RollFailed, Rolling
from miaosha.supervisor.servers.packaged_server import free_ports, is_free
from miaosha.supervisor.up import Platform
from tests.drills.rush import Size, people_for, rush
from tests.kit.running import Up, miaosha, running

ROLES = {"publisher", "consumer", "gateway", "api", "scheduler", "mailer"}
SIZE = Size(crowd=200, stock=20, rush_s=5.0, open_for_s=40.0)
EVERY_S = 0.02
SILENT_MAX_S = 5.0  # half a second, on a machine that has time


def consecutive_ports(count: int) -> int:
    """The first of so many."""
    for port in free_ports(100):
        if all(is_free("127.0.0.1", port + i) for i in range(count)):
            return port
    raise AssertionError("no free ports")


async def asking(up: Up, sale_id: int, answers: Counter[int]) -> None:
    """Ask the api, one request after another, through the edge: each a POST, which no proxy dares
    to send twice."""
    while True:
        path = f"/api/v1/sales/{sale_id}/checkout"
        try:
            answer = await asyncio.to_thread(up.get, path, "POST", b"{}")
            answers[answer.status] += 1
        except OSError:
            answers[0] += 1
        await asyncio.sleep(EVERY_S)


async def scraping(port: int, silent_s: dict[int, float]) -> None:
    """Scrape the port, and note the longest time for which it did not answer."""
    loop = asyncio.get_running_loop()
    answered = loop.time()
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            silent_s[port] = max(silent_s.get(port, 0.0), loop.time() - answered)
            answered = loop.time()
        except OSError:
            pass
        await asyncio.sleep(EVERY_S)


@pytest.mark.timeout(400)
async def test_nobody_is_refused_while_every_role_is_replaced(run_dir: Path) -> None:
    """And each goes on being measured on its port."""
    answers: Counter[int] = Counter()
    silent_s: dict[int, float] = {}
    first = consecutive_ports(len(ROLES))
    with running(run_dir, settings={"metrics_port": str(first)}) as up:
        people = await people_for(here(up.data), SIZE)
        async with rush(run_dir, here(up.data), [up], SIZE, people) as sale:
            await sale.accepted(20)
            before = up.children()
            ports = range(first, first + len(ROLES))
            others = [asyncio.create_task(asking(up, sale.sale_id, answers))]
            others += [asyncio.create_task(scraping(port, silent_s)) for port in ports]
            rolled = await asyncio.to_thread(miaosha, "roll", "--data-dir", str(up.data))
            for other in others:
                other.cancel()
            after = up.children()
            await sale.judge()

    assert rolled.returncode == 0, rolled.stderr
    assert {line.split("-")[0] for line in rolled.stdout.splitlines()[:-1]} == ROLES
    assert all(before[role] != after[role] for role in ROLES)
    assert sale.probe.refusals() == {}
    assert set(answers) == {401}, answers
    assert set(silent_s) == set(ports) and max(silent_s.values()) < SILENT_MAX_S, silent_s
    assert any(view.reconnects for view in sale.views)
    refused = Counter(name for view in sale.views for name in view.answers)
    assert not refused.keys() & {"0", "503", "502", "unavailable"}, refused


async def running_child(script: str, name: str = "publisher-0") -> Child:
    child = Child(spec(script, name), print)
    await child.start()
    async with asyncio.timeout(20):
        while child.health is not Health.READY:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return child


def spec(script: str, name: str = "publisher-0") -> Spec:
    async def ready(pid: int) -> bool:
        return script != DIES

    return Spec(name, [sys.executable, "-c", script], ready)


DIES = "raise SystemExit(1)"
LIVES = "import time; time.sleep(600)"


async def test_a_successor_that_fails_leaves_its_predecessor() -> None:
    old = await running_child(LIVES)
    children, switched = [old], list[Spec]()
    pid = old.pid
    rolling = Rolling(children, lambda _: Child(spec(DIES), print), switched.append)
    try:
        with pytest.raises(RollFailed, match="successor of publisher-0 ended at once"):
            await rolling.roll(("publisher",), lambda text: None)

        assert children == [old] and old.pid == pid and not switched
    finally:
        await old.stop()


async def test_a_switch_that_fails_leaves_the_predecessor() -> None:
    """The disk is full, say."""
    old = await running_child(LIVES)
    new = Child(spec(LIVES), print)
    children, pid = [old], old.pid

    def full(_: Spec) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        await Rolling(children, lambda _: new, full).roll(("publisher",), print)
    assert children == [old] and old.pid == pid and not new.pid
    await old.stop()


async def test_a_roll_that_is_broken_off_leaves_nobody_running_unknown() -> None:
    """A drain ends what is in the list: the predecessor is in it until it has ended."""
    old = await running_child(LIVES)
    children, switched = [old], asyncio.Event()
    successor = Child(spec(LIVES), print)
    rolling = Rolling(children, lambda _: successor, lambda _: switched.set())
    roll = asyncio.create_task(rolling.roll(("publisher",), lambda text: None))
    await asyncio.wait_for(switched.wait(), 20)
    roll.cancel()
    await asyncio.wait({roll})
    assert old in children and len(children) == 2
    await asyncio.gather(*(child.stop() for child in children))
    assert not any(child.pid for child in children)


async def test_a_replaced_process_is_forgotten() -> None:
    old = await running_child(LIVES)
    children = [old]
    rolling = Rolling(children, lambda _: Child(spec(LIVES), print), lambda _: None)
    assert await rolling.roll(("publisher",), lambda text: None) == 1
    [new] = children
    assert new is not old and not old.pid
    await new.stop()


class Broken(Child):
    async def stop(self, within_s: float = 0.0) -> None:
        raise RuntimeError("broken")


async def test_a_drain_ends_every_part_whatever_one_of_them_does(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path)
    platform = Platform(Settings(), places, print)
    store = await running_child(LIVES, "store")
    platform.children = [store, Broken(spec(LIVES), print)]
    with pytest.raises(RuntimeError, match="broken"):
        await platform.drain()
    assert not store.pid
