"""A rolling upgrade in the middle of a sale: every role process is another one afterwards, and
nobody who asked for something meanwhile was refused. A successor that fails changes nothing.
"""

import asyncio
import sys
from collections import Counter
from pathlib import Path

import pytest

from miaosha.cli.session import here
from miaosha.supervisor.children import Child, Health, Spec
from miaosha.supervisor.rolling import RollFailed, Rolling
from tests.drills.rush import Size, people_for, rush
from tests.e2e.running import Up, miaosha, running

ROLES = {"publisher", "consumer", "gateway", "api", "scheduler", "mailer"}
SIZE = Size(crowd=200, stock=20, rush_s=5.0, open_for_s=40.0)
EVERY_S = 0.02


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


@pytest.mark.timeout(400)
async def test_nobody_is_refused_while_every_role_is_replaced(run_dir: Path) -> None:
    answers: Counter[int] = Counter()
    with running(run_dir) as up:
        people = await people_for(here(up.data), SIZE)
        async with rush(run_dir, here(up.data), [up], SIZE, people) as sale:
            await sale.accepted(20)
            before = up.children()
            patron = asyncio.create_task(asking(up, sale.sale_id, answers))
            rolled = await asyncio.to_thread(miaosha, "roll", "--data-dir", str(up.data))
            patron.cancel()
            after = up.children()
            await sale.judge()

    assert rolled.returncode == 0, rolled.stderr
    assert {line.split("-")[0] for line in rolled.stdout.splitlines()[:-1]} == ROLES
    assert all(before[role] != after[role] for role in ROLES)
    assert sale.probe.refusals() == {}
    assert set(answers) == {401}, answers
    assert any(view.reconnects for view in sale.views)
    refused = Counter(name for view in sale.views for name in view.answers)
    assert not refused.keys() & {"0", "503", "502", "unavailable"}, refused


async def running_child(script: str) -> Child:
    child = Child(spec(script), print)
    await child.start()
    async with asyncio.timeout(20):
        while child.health is not Health.READY:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return child


def spec(script: str) -> Spec:
    async def ready(pid: int) -> bool:
        return script != DIES

    return Spec("publisher-0", [sys.executable, "-c", script], ready)


DIES = "raise SystemExit(1)"
LIVES = "import time; time.sleep(600)"


async def test_a_successor_that_fails_leaves_its_predecessor() -> None:
    old = await running_child(LIVES)
    children, switched = [old], list[Spec]()
    pid = old.pid
    rolling = Rolling(children, lambda _: spec(DIES), switched.append, lambda text: None)
    try:
        with pytest.raises(RollFailed, match="successor of publisher-0 ended at once"):
            await rolling.roll(("publisher",), lambda text: None)

        assert children == [old] and old.pid == pid and not switched
    finally:
        await old.stop()
