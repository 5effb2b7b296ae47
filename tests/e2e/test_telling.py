"""Telling never stands in the way of doing: whatever becomes of what the platform says, it goes on
supervising; and a supervisor that has lost a watch says so, and ends.
"""

import asyncio
import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from miaosha.domain.errors import DependencyDown
from miaosha.serving.waiting import Server
from miaosha.supervisor.child_spec import Health, Spec
from miaosha.supervisor.children import Child
from miaosha.supervisor.server_watch import answering
from miaosha.supervisor.watches import Alarm, WatchEnded, beside
from tests.kit.killing import kill
from tests.kit.running import MIAOSHA, Up, running
from tests.kit.waits import eventually, until
from tests.serving.test_outlet import fill
from tests.supervisor.test_children import SLEEPER, STUBBORN, at_once

CHATTERER = [
    sys.executable,
    "-c",
    "import os, time\nfor _ in range(100): os.write(2, b'x' * 65536 + b'\\n')\n"
    "open('went on', 'w')\ntime.sleep(600)\n",
]


def mute(text: str) -> None:
    raise OSError(28, "No space left on device")


async def ready(child: Child, after: int = 0) -> int:
    async with asyncio.timeout(30):
        while child.health is not Health.READY or child.pid in (0, after):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return child.pid


async def test_a_child_whose_crash_cannot_be_told_is_started_again() -> None:
    child = Child(Spec("sleeper-0", SLEEPER, at_once), mute)
    await child.start()
    first = await ready(child)
    kill(first, signal.SIGKILL)
    assert await ready(child, after=first)
    await child.stop()


async def test_a_deaf_child_is_killed_though_that_cannot_be_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = Child(Spec("deaf-0", STUBBORN, at_once, stop_within_s=0.2, log=log), mute)
    await child.start()
    await until(lambda: log.exists() and log.read_text())
    await asyncio.wait_for(child.stop(), 20)
    assert not child.pid


async def test_a_child_whose_log_cannot_be_opened_runs(tmp_path: Path) -> None:
    spec = Spec("sleeper-0", SLEEPER, at_once, log=tmp_path / "gone" / "log")
    child = Child(spec, lambda text: None)
    await child.start()
    assert await ready(child)
    assert child.last_words() == ""
    await child.stop()


async def test_a_program_that_is_not_ours_never_waits_for_a_reader_of_its_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    ours, theirs = os.pipe()
    fill(theirs)
    stderr = os.dup(2)
    os.dup2(theirs, 2)  # ours, which it would inherit
    try:
        spec = Spec("chatterer-0", CHATTERER, at_once, heard=True, cwd=tmp_path)
        child = Child(spec, lambda text: None)
        await child.start()
        async with asyncio.timeout(20):
            while not (tmp_path / "went on").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await child.stop()
        assert "xxx" in child.last_words()
    finally:
        os.dup2(stderr, 2)
        for descriptor in (ours, theirs, stderr):
            os.close(descriptor)


async def test_a_server_is_waited_for_although_that_cannot_be_told() -> None:
    looks = 0

    async def check() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise DependencyDown("store: refused")

    async with asyncio.timeout(20):
        await answering([Server("MIAOSHA_REDIS_URL", "redis://cache:6379", check)], mute)
    assert looks == 2


async def test_a_watch_that_breaks_stops_the_platform_and_says_so() -> None:
    """No command line may hold a NUL: the start raises what no watch expects."""
    told, stop = list[str](), asyncio.Event()
    alarm = Alarm(stop, told.append)
    child = Child(Spec("broken-0", ["/bin/sh", "-c", "\0"], at_once), told.append, alarm)
    await child.start()
    await asyncio.wait_for(stop.wait(), 20)
    await child.stop()
    assert "!! the watch of broken-0 broke: ValueError" in told[-1]
    with pytest.raises(WatchEnded, match="broken-0"):
        alarm.check()


async def test_an_alarm_that_cannot_tell_stops_the_platform_all_the_same() -> None:
    stop = asyncio.Event()
    alarm = Alarm(stop, mute)

    async def breaks() -> None:
        raise RuntimeError("no")

    async with beside(breaks(), "helper", alarm):
        await asyncio.wait_for(stop.wait(), 20)
    with pytest.raises(WatchEnded, match="the helper broke: RuntimeError: no"):
        alarm.check()


def again(up: Up, role: str) -> None:
    """KILL it; another one comes."""
    old = up.children()[role]
    kill(old, signal.SIGKILL)
    eventually(lambda: up.children().get(role, old) != old, 40, what=f"another {role}")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ours, theirs = os.pipe()
    yield ours, theirs
    os.close(theirs)


def test_it_supervises_when_nobody_reads_what_it_says_and_when_the_reader_is_gone(
    tmp_path: Path, pipe: tuple[int, int]
) -> None:
    """A pipe into a program that sleeps is full for ever; one into a program that has ended is
    closed. The roles write into the same one."""
    ours, theirs = pipe
    fill(theirs)
    with running(tmp_path, said_to=theirs, settings={"log_level": "debug"}) as up:
        for role in ("consumer", "store", "publisher"):
            again(up, role)
        eventually(up.ready, what="ready again")
        os.close(ours)
        for role in ("broker", "scheduler", "store"):
            again(up, role)
        eventually(up.ready, what="ready again")
        assert up.stop() == 0


CLOSED = ("/bin/sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', MIAOSHA)


@pytest.mark.parametrize("command", [(MIAOSHA,), CLOSED], ids=["full disk", "closed"])
def test_it_supervises_when_its_output_is_on_a_full_disk_or_closed(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    with (
        Path("/dev/full").open("w") as full,
        running(tmp_path, said_to=full.fileno(), command=command) as up,
    ):
        for role in ("store", "broker", "consumer", "gateway"):
            again(up, role)
        eventually(up.ready, what="ready again")
        assert up.stop() == 0
