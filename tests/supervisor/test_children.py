"""A child process: restarts, backoff, loudness, polite and impolite ends."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from miaosha.supervisor.child_spec import Health, Spec
from miaosha.supervisor.children import BACKOFF_FIRST_S, BACKOFF_MAX_S, LOUD_AFTER, Child, backoff_s
from miaosha.supervisor.die_with_parent import die_with_parent
from tests.kit.killing import kill
from tests.kit.waits import until

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True);"
    "time.sleep(600)",
]


async def at_once(pid: int) -> bool:
    return True


async def never(pid: int) -> bool:
    return False


@pytest.fixture
async def told() -> AsyncIterator[list[str]]:
    yield []


async def test_a_crashed_child_is_started_again(told: list[str]) -> None:
    child = Child(Spec("sleeper-0", SLEEPER, at_once), told.append)
    await child.start()
    await until(lambda: child.health is Health.READY)
    first = child.pid
    kill(first, signal.SIGKILL)
    await until(lambda: child.health is Health.READY and child.pid not in (0, first))
    assert child.restarts == 1
    assert told == ["sleeper-0 was killed by signal 9; started again"]
    await child.stop()
    assert child.health is Health.STOPPED and child.pid == 0


async def test_an_abandoned_child_is_not_started_again(told: list[str]) -> None:
    child = Child(Spec("sleeper-0", SLEEPER, at_once), told.append)
    await child.start()
    await until(lambda: child.health is Health.READY)
    child.abandon()
    await until(lambda: child.health is Health.STOPPED)
    await child.stop()
    assert (child.pid, child.restarts, told) == (0, 0, [])


async def test_quick_crashes_grow_loud_with_its_last_words(told: list[str], tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "raise SystemExit('no luck today')"]
    child = Child(Spec("unlucky-0", argv, never, log=tmp_path / "log"), told.append)
    await child.start()
    await until(lambda: child.restarts >= LOUD_AFTER)
    assert not told[0].startswith("!!")
    assert told[LOUD_AFTER - 1].startswith("!! unlucky-0 exited with 1, 3 crashes in a row")
    assert "no luck today" in told[LOUD_AFTER - 1]
    await child.stop()


async def test_a_long_row_of_crashes_is_told_once_a_minute(told: list[str]) -> None:
    argv = [sys.executable, "-c", "raise SystemExit(1)"]
    child = Child(Spec("unlucky-0", argv, never), told.append)
    await child.start()
    await until(lambda: child.restarts >= LOUD_AFTER + 2)
    assert len(told) == LOUD_AFTER
    await child.stop()


def test_however_long_it_crashes_it_is_started_again() -> None:
    """A database that is away for a day is thousands of crashes."""
    pauses = [backoff_s(quick) for quick in (1, 2, 3, 100, 2_000, 100_000)]
    assert pauses[:3] == [BACKOFF_FIRST_S, 2 * BACKOFF_FIRST_S, 4 * BACKOFF_FIRST_S]
    assert set(pauses[3:]) == {BACKOFF_MAX_S}


async def test_a_child_that_is_stopped_while_it_is_being_started_ends_in_order(
    told: list[str],
) -> None:
    child = Child(Spec("sleeper-0", SLEEPER, at_once, stop_within_s=30), told.append)
    await child.start()
    await asyncio.sleep(0)  # now it is being started
    assert child.pid == 0
    await asyncio.wait_for(child.stop(), 20)
    assert told == [] and child.pid == 0


async def test_a_child_that_refuses_its_settings_is_not_started_again(told: list[str]) -> None:
    argv = [sys.executable, "-c", "raise SystemExit(2)"]
    child = Child(Spec("picky-0", argv, never), told.append)
    await child.start()
    await until(lambda: child.gave_up is not None)
    assert child.gave_up == 2 and child.restarts == 0
    await child.stop()


async def test_a_deaf_child_is_killed_after_its_time(told: list[str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = Child(Spec("deaf-0", STUBBORN, at_once, stop_within_s=0.2, log=log), told.append)
    await child.start()
    await until(lambda: log.exists() and log.read_text())
    await child.stop()
    assert child.pid == 0
    assert "did not end" in told[-1]


async def test_what_a_killed_child_had_started_ends_with_it(
    told: list[str], tmp_path: Path
) -> None:
    """As the workers of a killed nginx, which would keep its port."""
    log = tmp_path / "log"
    argv = ["/bin/sh", "-c", "sleep 600 & echo $!; wait"]
    child = Child(Spec("parent-0", argv, at_once, log=log), told.append)
    await child.start()
    await until(lambda: child.pid and log.exists() and log.read_text().endswith("\n"))
    worker = int(log.read_text())
    assert _runs(worker)
    kill(child.pid, signal.SIGKILL)
    await until(lambda: not _runs(worker))
    await child.stop()


async def test_a_binary_that_is_not_there_is_told_not_raised(told: list[str]) -> None:
    child = Child(Spec("ghost-0", ["/nonexistent/ghost"], never), told.append)
    await child.start()
    await until(lambda: told)
    assert "ghost-0 cannot be started" in told[0]
    await child.stop()


async def test_a_tethered_program_dies_with_its_parent(tmp_path: Path) -> None:
    command = die_with_parent(["/bin/sleep", "600"])
    script = (
        "import os, subprocess, sys, time\n"
        f"argv = {command!r}\n"
        f"argv[argv.index({str(os.getpid())!r})] = str(os.getpid())\n"
        "print(subprocess.Popen(argv).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    await until(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_child_that_writes_its_reason_into_a_file_of_its_own(
    told: list[str], tmp_path: Path
) -> None:
    says = tmp_path / "server.log"
    says.write_text("starting\n# Failed opening Unix socket\n")
    child = Child(Spec("store", ["/bin/false"], never, says=says), told.append)
    await child.start()
    await until(lambda: child.restarts >= LOUD_AFTER)
    await child.stop()
    assert told[-1].endswith("\n     starting\n     # Failed opening Unix socket")
