"""An outlet takes whatever is said, at once, whatever its descriptor leads to."""

import asyncio
import fcntl
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from miaosha.serving.outlet import Outlet, plain_notice
from tests.kit.waits import eventually

SOON_S = 20.0
AT_ONCE_S = 1.0  # a thousand lines take some milliseconds


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb", 0) as reader, os.fdopen(theirs, "wb", 0) as writer:
        yield reader.fileno(), writer.fileno()


def fill(pipe: int) -> None:
    """Until nothing more goes in."""
    os.set_blocking(pipe, False)
    try:
        while True:
            os.write(pipe, b"x" * 65_536)
    except BlockingIOError:
        os.set_blocking(pipe, True)


def read(pipe: int) -> bytes:
    """All that is in it."""
    os.set_blocking(pipe, False)
    found = b""
    try:
        while part := os.read(pipe, 65_536):
            found += part
    except BlockingIOError:
        pass
    return found


def test_lines_arrive_whole_and_in_order(pipe: tuple[int, int]) -> None:
    ours, theirs = pipe
    outlet = Outlet(theirs)
    print("one", 2, file=outlet)
    outlet.write("thr")
    outlet.write("ee\n")
    outlet.write("no end yet")
    outlet.flush()
    assert outlet.drain(SOON_S)
    assert read(ours) == b"one 2\nthree\nno end yet" and outlet.lost == 0


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        outlet = Outlet(full.fileno())
        for number in range(100):
            print(number, file=outlet)
        assert outlet.drain(SOON_S)
    assert outlet.lost == 100


def test_once_there_is_room_the_lost_lines_are_mentioned(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Path("/dev/full").open("wb", buffering=0) as place, log.open("wb", buffering=0) as roomy:
        outlet = Outlet(place.fileno())
        print("lost\nlost", file=outlet)
        assert outlet.drain(SOON_S)
        os.dup2(roomy.fileno(), place.fileno())
        print("said", file=outlet)
        print("again", file=outlet)
        assert outlet.drain(SOON_S)
    assert log.read_text() == plain_notice(2) + "said\nagain\n"


def test_a_pipe_nobody_reads_is_not_waited_for(pipe: tuple[int, int]) -> None:
    ours, theirs = pipe
    fill(theirs)
    outlet = Outlet(theirs, waiting_bytes_max=10_000)
    print(f"line {0:014}", file=outlet)  # 20 bytes
    eventually(lambda: outlet._writing, what="the thread has taken the first line")
    began = time.monotonic()
    for number in range(1, 1_000):
        print(f"line {number:014}", file=outlet)
    assert time.monotonic() - began < AT_ONCE_S
    assert not outlet.drain(0.01)
    lost = outlet.lost
    assert lost == 499  # the thread holds one, 500 wait
    heard = b""
    deadline = time.monotonic() + SOON_S
    while outlet.drain(0.01) is False and time.monotonic() < deadline:
        heard += read(ours)  # somebody reads again
    print("the last", file=outlet)
    assert outlet.drain(SOON_S)
    lines = (heard + read(ours)).decode().lstrip("x").splitlines(keepends=True)
    notices = [line for line in lines if line.startswith("(")]
    assert set(notices) <= set(lines[:3])  # before the second line, or the first: as threads go
    assert sum(int(notice[1:].split()[0]) for notice in notices) == lost
    kept = [f"line {n:014}\n" for n in range(1_000 - lost)]
    assert [line for line in lines if line not in notices] == [*kept, "the last\n"]


@pytest.mark.parametrize("gone", ["reader", "descriptor"])
def test_a_reader_or_a_descriptor_that_is_gone_costs_lines(gone: str) -> None:
    ours, theirs = os.pipe()
    os.close(ours if gone == "reader" else theirs)
    outlet = Outlet(theirs)
    print("hello", file=outlet)
    assert outlet.drain(SOON_S)
    assert outlet.lost == 1
    assert not outlet.isatty()
    os.close(theirs if gone == "reader" else ours)


async def test_a_pipe_that_somebody_made_non_blocking_loses_nothing(
    pipe: tuple[int, int],
) -> None:
    """As programs do that share a terminal or a pipe with us."""
    ours, theirs = pipe
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4_096)
    os.set_blocking(theirs, False)
    outlet = Outlet(theirs)
    for number in range(1_000):
        print(f"line {number:014}", file=outlet)
    heard = b""
    async with asyncio.timeout(SOON_S):
        while heard.count(b"\n") < 1_000:
            heard += read(ours)
            await asyncio.sleep(0.001)
    assert heard.decode().splitlines() == [f"line {n:014}" for n in range(1_000)]
    assert outlet.lost == 0


def test_a_character_that_cannot_be_written_is_an_escape(pipe: tuple[int, int]) -> None:
    ours, theirs = pipe
    outlet = Outlet(theirs, "ascii")
    print("秒殺 é", file=outlet)
    assert outlet.drain(SOON_S)
    assert read(ours) == b"\\u79d2\\u6bba \\xe9\n"


INSTALLED = """
import sys
from miaosha.serving import outlet
outlet.install()
"""


def test_what_follows_a_closed_stderr_is_not_written_into_a_file(tmp_path: Path) -> None:
    """The next file that is opened would get its number."""
    ledger = tmp_path / "ledger"
    script = INSTALLED + f"file = open({str(ledger)!r}, 'w')\nprint('said', file=sys.stderr)\n"
    command = ["/bin/sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, script]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 0
    assert ledger.read_text() == ""


def test_a_process_ends_although_nobody_reads_its_last_words(pipe: tuple[int, int]) -> None:
    _, theirs = pipe
    fill(theirs)
    script = INSTALLED + "print('bye')\nraise RuntimeError('a traceback that nobody reads')\n"
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=theirs, stderr=theirs, timeout=60, check=False
    )
    assert done.returncode == 1


def test_the_very_end_waits_for_no_reader_of_a_pipe_with_some_room(pipe: tuple[int, int]) -> None:
    ours, theirs = pipe
    outlet = Outlet(theirs)
    outlet.leave()
    fill(theirs)
    os.read(ours, select.PIPE_BUF)
    said = threading.Thread(target=lambda: outlet.write("y" * 65_536 + "\n"), daemon=True)
    said.start()
    said.join(SOON_S)
    assert not said.is_alive()
    assert read(ours).endswith(b"y" * select.PIPE_BUF)


def test_what_is_said_at_the_very_end_is_heard() -> None:
    script = f"import atexit\natexit.register(lambda: print('the very last'))\n{INSTALLED}"
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"the very last\n"


def test_both_streams_into_one_file_keep_their_order(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = INSTALLED + (
        "for n in range(200):\n"
        "    print(n, file=sys.stderr if n % 2 else sys.stdout)\n"
        "raise RuntimeError('last')\n"
    )
    with out.open("w") as place:
        subprocess.run([sys.executable, "-c", script], stdout=place, stderr=place, check=False)
    lines = out.read_text().splitlines()
    assert lines[:200] == [str(n) for n in range(200)]
    assert lines[-1] == "RuntimeError: last"
