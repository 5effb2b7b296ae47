"""The README's commands in a fresh clone under a directory that only its owner may enter."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kit.running import environ, free_port

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None or shutil.which("make") is None,
    reason="needs a git checkout, git and make",
)


@pytest.mark.timeout(600)
def test_make_demo_in_a_fresh_clone(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    place = tmp_path / "tmp ;$x#?[*]"
    place.mkdir()
    clone = tmp_path / 'a clone\'s "#1"; $HOME 100%41 [b]* {é} `id`&'
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")  # of our own make
    outside = {k: v for k, v in environ().items() if k not in ours}
    options = "--crowd 40 --stock 4 --opens-in 1 --pay-within 2 --exit-when-settled"
    # as a script starts it: in the background, so with INT ignored
    done = subprocess.run(
        ["bash", "-c", f'make demo ARGS="{options} --port {free_port()}" & wait $!'],
        cwd=clone,
        env=outside | {"PATH": os.environ["PATH"], "TMPDIR": str(place)},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.strip().splitlines()
    assert lines[-1] == "audit: clean"
    assert any(line.startswith("orders") and "4 of 4 units" in line for line in lines), lines
    left = [path.name for path in place.iterdir() if path.name.startswith("miaosha")]
    assert left == []


@pytest.mark.parametrize("name", ["a?b", "a:b", "a\\b", "a\nb"])
def test_a_clone_where_nothing_could_be_made_is_refused_at_once(tmp_path: Path, name: str) -> None:
    clone = tmp_path / name
    clone.mkdir()
    shutil.copy(ROOT / "Makefile", clone)
    done = subprocess.run(
        ["make", ".tool/bin/uv"],
        cwd=clone,
        env=environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "This directory has" in done.stderr and "Clone into another one" in done.stderr
    assert [path.name for path in clone.iterdir()] == ["Makefile"]
