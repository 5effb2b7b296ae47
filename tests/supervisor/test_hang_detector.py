"""A process that hangs is killed and started again; one that lives, starts, ends, or slept with the
whole machine is left alone.
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from miaosha.serving import alive
from miaosha.supervisor.child_spec import Health, Spec
from miaosha.supervisor.children import Child
from miaosha.supervisor.hang_detector import LOOKS, HangDetector, Life
from miaosha.supervisor.health_probes import processor_ns, says_alive, state, working
from tests.e2e.test_telling import mute
from tests.kit.clocks import HandClock
from tests.kit.killing import kill
from tests.kit.running import environ
from tests.kit.waits import until
from tests.supervisor.test_children import at_once

SILENCE_S = 0.15  # of the clock below, and of the looks themselves: ten milliseconds each
CHILD_SILENCE_S = 1.0


class Patient:
    """Whom a vigil looks at: it lives while it is told to."""

    def __init__(self, clock: HandClock, *, lives: bool = True, starts: bool = False) -> None:
        self.lives = lives
        self.starts = starts
        self.looks = 0
        self.asleep_at = -1  # the look before which the machine slept
        self._clock = clock

    async def sign(self) -> Life:
        self.looks += 1
        self._clock.advance(SILENCE_S * 1_000 / LOOKS)
        if self.looks == self.asleep_at:
            self._clock.advance(3_600_000)
        if not self.lives:
            return Life.NONE
        return Life.STARTING if self.starts else Life.ALIVE


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


async def looks(patient: Patient, number: int) -> None:
    """Until it has been looked at so often from now on."""
    wanted = patient.looks + number
    await until(lambda: patient.looks >= wanted)


async def test_only_the_silent_one_is_hung(clock: HandClock) -> None:
    vigil = HangDetector(SILENCE_S, print, clock.monotonic)
    well, ill = Patient(clock), Patient(clock)
    other = asyncio.create_task(vigil.until_hung(well.sign))
    hung = asyncio.create_task(vigil.until_hung(ill.sign))
    await looks(ill, 2)
    await looks(well, 3 * LOOKS)
    assert not hung.done() and not other.done()
    ill.lives = False
    await asyncio.wait_for(hung, 20)
    assert not other.done()
    other.cancel()


async def test_a_sign_that_fails_is_none(clock: HandClock) -> None:
    well, asked = Patient(clock), 0

    async def sign() -> Life:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise RuntimeError("the store says something unheard of")
        return Life.ALIVE

    vigil = HangDetector(SILENCE_S, print, clock.monotonic)
    other = asyncio.create_task(vigil.until_hung(well.sign))
    await asyncio.wait_for(vigil.until_hung(sign), 20)
    other.cancel()


async def test_a_machine_that_slept_has_no_hung_processes(clock: HandClock) -> None:
    """Each has its whole silence again from when it woke."""
    vigil = HangDetector(SILENCE_S, print, clock.monotonic)
    ill = Patient(clock)
    hung = asyncio.create_task(vigil.until_hung(ill.sign))
    await looks(ill, 1)
    ill.lives = False
    ill.asleep_at = ill.looks + 5
    await asyncio.wait_for(hung, 20)
    assert ill.looks >= ill.asleep_at + LOOKS


async def test_when_all_are_silent_at_once_none_is_hung(clock: HandClock) -> None:
    told: list[str] = []
    vigil = HangDetector(SILENCE_S, told.append, clock.monotonic)
    patients = [Patient(clock) for _ in range(3)]
    hung = [asyncio.create_task(vigil.until_hung(one.sign)) for one in patients]
    await looks(patients[-1], 2)
    for one in patients:
        one.lives = False
    await looks(patients[-1], 4 * LOOKS)
    assert not any(task.done() for task in hung)
    assert told == ["!! all processes are silent at once: none is killed for it"]
    patients[0].lives = True
    await asyncio.wait_for(asyncio.gather(*hung[1:]), 20)
    assert not hung[0].done()
    hung[0].cancel()


async def test_one_is_hung_although_nothing_can_be_told(clock: HandClock) -> None:
    """Of the silence of all, which came before."""
    vigil = HangDetector(SILENCE_S, mute, clock.monotonic)
    patients = [Patient(clock) for _ in range(2)]
    hung = [asyncio.create_task(vigil.until_hung(one.sign)) for one in patients]
    await looks(patients[-1], 2)
    for one in patients:
        one.lives = False
    await looks(patients[-1], 4 * LOOKS)
    patients[0].lives = True
    await asyncio.wait_for(hung[1], 20)
    assert not hung[0].done()
    hung[0].cancel()


async def test_one_that_starts_has_time(clock: HandClock) -> None:
    """Whether its loop has turned before, or not yet."""
    vigil = HangDetector(SILENCE_S, print, clock.monotonic)
    starting = Patient(clock, lives=False)
    await asyncio.wait_for(vigil.until_hung(starting.sign), 30)
    assert starting.looks >= alive.STARTS_WITHIN * LOOKS
    starting = Patient(clock, starts=True)
    hung = asyncio.create_task(vigil.until_hung(starting.sign))
    await looks(starting, 2)
    starting.lives = False
    before = starting.looks
    await asyncio.wait_for(hung, 30)
    assert starting.looks - before >= alive.STARTS_WITHIN * LOOKS - 1


ROLE = """
import asyncio, sys, time, uvloop
from miaosha.serving import alive
async def main():
    async with alive.answering(sys.argv[1]):
        await asyncio.sleep(float(sys.argv[2]))
        while True:
            pass
uvloop.run(main())
"""


def role(path: Path, spins_after_s: float, name: str = "role-0") -> Spec:
    lives = path / f"{name}.alive"

    async def answered(pid: int) -> bool:
        return await says_alive(lives) is Life.ALIVE

    return Spec(
        name,
        [sys.executable, "-c", ROLE, str(lives), str(spins_after_s)],
        answered,
        alive=lambda pid: says_alive(lives),
        stop_within_s=20,
    )


async def restarted(child: Child, after: int) -> None:
    await until(lambda: child.pid not in (0, after) and child.health is Health.READY)


async def ready(child: Child) -> int:
    await child.start()
    await until(lambda: child.health is Health.READY)
    return child.pid


async def lives(pid: int) -> Life:
    return Life.ALIVE


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.mark.parametrize("way", ["stopped", "spinning"])
async def test_a_child_that_hangs_is_started_again(
    run_dir: Path, told: list[str], way: str
) -> None:
    vigil = HangDetector(CHILD_SILENCE_S, told.append)
    well = Child(role(run_dir, 600, "well-0"), told.append, vigil=vigil)
    ill = Child(role(run_dir, 600 if way == "stopped" else 0.2), told.append, vigil=vigil)
    other, first = await ready(well), await ready(ill)
    if way == "stopped":
        kill(first, signal.SIGSTOP)
    await restarted(ill, after=first)
    assert told[0] == "!! role-0 is killed: it gave no sign of life for 1 s"
    assert well.pid == other and well.restarts == 0
    await until(lambda: ill.pid)
    kill(ill.pid, signal.SIGKILL)  # it spins: TERM is not heard
    await asyncio.gather(well.stop(), ill.stop())


async def test_a_child_that_was_told_to_end_may_be_silent(run_dir: Path, told: list[str]) -> None:
    """Its last work may take long; what limits that is `stop_within_s`."""
    vigil = HangDetector(0.2, told.append)
    argv = [
        sys.executable,
        "-c",
        "import signal, time; signal.signal(15, lambda *_: time.sleep(1))"
        "\nprint(flush=True)\nsignal.pause()",
    ]
    log = run_dir / "log"
    spec = Spec("slow-0", argv, at_once, alive=lives, log=log, stop_within_s=30)
    child = Child(spec, told.append, vigil=vigil)
    await ready(child)
    await until(lambda: log.read_text())
    await child.stop()
    assert told == []


async def test_a_child_whose_socket_is_gone_is_started_again(
    run_dir: Path, told: list[str]
) -> None:
    """A cleaner of temporary files took it: it beats, and nobody reaches it."""
    path = run_dir / "s.sock"
    script = f"import socket, time; socket.socket(1).bind({str(path)!r}); time.sleep(600)"
    argv = [
        sys.executable,
        "-c",
        f"import os; os.path.exists({str(path)!r}) and os.unlink({str(path)!r})\n{script}",
    ]

    async def bound(pid: int) -> bool:
        return path.exists()

    spec = Spec("bound-0", argv, bound, alive=lives, socket=path)
    child = Child(spec, told.append, vigil=HangDetector(CHILD_SILENCE_S, told.append))
    first = await ready(child)
    path.unlink()
    await restarted(child, after=first)
    assert told[0] == "!! bound-0 is killed: its socket is gone for 1 s"
    await child.stop()


@pytest.fixture
def servers() -> Iterator[tuple[int, int]]:
    """One that works all the time, and one that waits."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"], process_group=0)
    idle = subprocess.Popen(["/bin/sleep", "600"], process_group=0)
    yield busy.pid, idle.pid
    for process in (busy, idle):
        process.kill()
        process.wait()


async def test_a_server_lives_by_its_work_or_its_answer(servers: tuple[int, int]) -> None:
    answer, asked = True, 0

    async def speaks(pid: int) -> bool:
        nonlocal asked
        asked += 1
        return answer

    busy, idle = servers
    signs, of_idle = working(speaks), working(speaks)
    spent = [0]
    for _ in range(3):
        await until(lambda: processor_ns(busy) > spent[-1])
        spent.append(processor_ns(busy))
        assert await signs(busy) is Life.ALIVE
    assert asked == 0
    await until(lambda: state(idle) == "S")
    await of_idle(idle)
    assert await of_idle(idle) is Life.ALIVE and asked == 1
    answer = False
    assert await of_idle(idle) is Life.NONE


LONELY = """
import asyncio, time
from miaosha.serving import alive
def hung(stack):
    print(stack, flush=True)
    raise SystemExit
async def main():
    async with alive.LoopWatch(0.5, hung).watching():
        await asyncio.sleep(0.6)  # it turns
        print("turned", flush=True)
        here_it_hangs()
def here_it_hangs():
    ends = time.monotonic() + 2
    while time.monotonic() < ends:
        pass
asyncio.run(main())
"""


def test_a_process_that_nobody_supervises_notices_that_its_loop_hangs_and_tells_where() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LONELY], capture_output=True, text=True, timeout=60, check=True
    )
    turned, _, stack = done.stdout.partition("\n")
    assert turned == "turned"
    assert "in here_it_hangs" in stack
    assert stack.count("in here_it_hangs") == 1


HANGS = """
import sys
from miaosha.serving.process import run
from tests.kit.killing import kill
async def serve(process, settings):
    process.begun = True
    while True:
        pass
run("consumer", serve, ["--instance", "7"])
"""


def test_a_role_that_hangs_in_a_container_ends_and_tells_where() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGS],
        env=environ(role_silence_s="1"),
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert done.returncode == alive.HUNG
    told = [msgspec.json.decode(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in told] == ["started", "loop_hung"]
    assert (told[1]["role"], told[1]["instance"]) == ("consumer", "7")
    assert "in serve" in told[1]["stack"]
