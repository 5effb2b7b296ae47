"""The demo as somebody ends it; a whole sale to its end is in test_clone and test_faults."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.kit.running import MIAOSHA, STOP_S, alive, descendants, environ, free_port
from tests.kit.waits import eventually

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    ("sig", "outside"), [(signal.SIGINT, {}), (signal.SIGTERM, ASCII)], ids=["INT", "TERM in ASCII"]
)
def test_an_interrupted_demo_leaves_nothing_behind(
    tmp_path: Path, sig: int, outside: dict[str, str]
) -> None:
    tmp_path.chmod(0o700)
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(
            [MIAOSHA, "demo", "--crowd", "20", "--port", str(free_port())],
            env=environ() | {"TMPDIR": str(tmp_path), **outside},
            stdout=out,
            stderr=out,
        )
    try:
        eventually(lambda: "scheduled" in (tmp_path / "out").read_text(), what="the sale is shown")
        pids = descendants(process.pid)
        process.send_signal(sig)
        assert process.wait(STOP_S) == 0
        assert (tmp_path / "out").read_text().splitlines()[-1] == "stopped"
        assert alive(pids) == set()
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
