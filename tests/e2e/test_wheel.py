"""The wheel without the project around it: whoever installs it has a whole platform."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import wheels
from tests.kit.running import free_port

WITHIN_S = 120


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Path]:
    """The folder of commands of a new environment, which takes 220 MB as long as it is there."""
    place = tmp_path / "env"
    yield wheels.install(wheels.build(tmp_path / "dist"), place)
    shutil.rmtree(place)


@pytest.mark.timeout(600)
def test_a_wheel_sells_out_in_an_empty_folder(tmp_path: Path, commands: Path) -> None:
    """With no variable set, too: no PATH, no HOME, no locale."""
    empty = tmp_path / "empty"
    empty.mkdir()
    done = subprocess.run(
        [
            *(str(commands / "miaosha"), "demo", "--port", str(free_port())),
            *("--crowd", "40", "--stock", "4", "--opens-in", "1", "--pay-within", "2"),
            "--exit-when-settled",
        ],
        cwd=empty,
        env={},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.strip().splitlines()
    assert lines[-1] == "audit: clean"
    assert any(line.startswith("orders") and "4 of 4 units" in line for line in lines), lines
    assert not list(empty.iterdir())
