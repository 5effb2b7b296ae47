"""An interrupted benchmark or rehearsal leaves nothing: no process, no file, no traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.killing import kill
from tests.kit.running import MIAOSHA, STOP_S, alive, descendants, environ, free_port
from tests.kit.waits import eventually

ROOT = Path(__file__).parents[2]
BENCH = (sys.executable, "-m", "bench")
REHEARSE = (MIAOSHA, "rehearse", "sockets", "--connections", "200", "--gateways", "1")
RUSH = ("--seconds", "6", "--buyers", "3000", "--connections", "16", "--processes", "1")


@pytest.mark.parametrize(
    ("command", "seen", "sig", "status"),
    [
        ((*BENCH, "run", "--only", "rush", *RUSH), "== rush", None, 130),
        ((*BENCH, "run", "--only", "rush", *RUSH), "== starting", signal.SIGINT, 130),
        ((*BENCH, "sockets", "--only", "heartbeat", "--heartbeat", "200"), "hold", None, 130),
        ((*REHEARSE, "--hold", "600"), "holding", signal.SIGTERM, 143),
        ((*REHEARSE, "--hold", "600"), "connecting", None, 130),
    ],
    ids=["rush", "starting", "heartbeat", "TERM", "ramp"],
)
def test_an_interrupted_benchmark_leaves_nothing_behind(
    tmp_path: Path, command: tuple[str, ...], seen: str, sig: int | None, status: int
) -> None:
    """sig: None: INT to its whole process group, as a terminal's Ctrl-C does."""
    if command[0] == MIAOSHA:
        command = (*command, "--listen", f"127.0.0.1:{free_port()}")
    place = tmp_path / "tmp"
    place.mkdir()
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ() | {"TMPDIR": str(place)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            process_group=0,
        )
    left: set[int] = set()
    try:
        eventually(lambda: seen in (tmp_path / "out").read_text(), what=seen)
        eventually(lambda: len(descendants(process.pid)) >= 2, what="it has started something")
        left = descendants(process.pid)
        if sig is None:
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(sig)
        assert process.wait(STOP_S) == status
        said = (tmp_path / "out").read_text()
        assert "Traceback" not in said and "never retrieved" not in said, said
        eventually(lambda: not alive(left), what="its processes are gone")
        assert not list(place.iterdir())
    finally:
        for pid in alive({process.pid, *left}):
            kill(pid, signal.SIGKILL)
        process.wait()
