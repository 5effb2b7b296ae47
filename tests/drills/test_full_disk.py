"""A sale whose disk is filled to the last byte, again and again, with the data, the logs and the
supervisor's own output on it, and servers and roles killed meanwhile: each comes back, and the sale
ends with a clean audit.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from miaosha.cli.command import here
from tests.drills.rush import Size, people_for, rush
from tests.kit.killing import kill
from tests.kit.running import Up, running
from tests.kit.waits import eventually

SIZE = Size(crowd=200, stock=40, rush_s=8.0, open_for_s=100.0, pay_within_s=8)
FULL_S = 6.0
BLOCKS = (65_536, 512, 1)
KILLED = (("store", "publisher"), ("broker", "consumer"), ("store", "broker", "scheduler"))


@pytest.fixture
def small_disk(run_dir: Path) -> Iterator[Path]:
    disk = run_dir / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=0755", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root may mount a small disk, and not everywhere")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """To the last byte; the file that takes it all."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for block in BLOCKS:
            try:
                while True:
                    file.write(b"x" * block)
            except OSError:
                continue
    return ballast


@pytest.mark.drill
@pytest.mark.timeout(600)
async def test_whatever_dies_on_a_full_disk_comes_back(small_disk: Path, run_dir: Path) -> None:
    with running(small_disk, settings={"payment_max_s": "15", "log_level": "debug"}) as up:
        people = await people_for(here(up.data), SIZE)
        async with rush(run_dir, here(up.data), [up], SIZE, people) as sale:
            await sale.accepted(20)
            for killed in KILLED:
                ballast = fill(small_disk)
                before = up.children()
                for role in killed:
                    kill(before[role], signal.SIGKILL)
                await asyncio.sleep(FULL_S)
                ballast.unlink()
                await asyncio.to_thread(back, up, {role: before[role] for role in killed})
            await sale.judge()
        assert await asyncio.to_thread(up.stop) == 0


def back(up: Up, gone: dict[str, int]) -> None:
    for role, old in gone.items():
        eventually(lambda r=role, o=old: up.children().get(r, o) != o, 60, what=f"another {role}")  # type: ignore[misc]
    eventually(up.ready, what="ready again")
