"""The wheel as it is released: built by uv, and put into an environment of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOR_OURS = {"VIRTUAL_ENV", "PYTHONPATH", "UV_PROJECT_ENVIRONMENT"}  # of the tests' environment


def uv(*arguments: str) -> None:
    """Run it on the project. Raises AssertionError, with what it said, unless it ends well."""
    ours = ROOT / ".tool" / "bin" / "uv"
    tool = str(ours) if ours.exists() else shutil.which("uv")
    assert tool, "needs uv (make install has it in .tool)"
    done = subprocess.run(
        [tool, *arguments],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k not in FOR_OURS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def build(folder: Path) -> Path:
    """The wheel, in that folder."""
    uv("build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT))
    [wheel] = folder.glob("*.whl")
    return wheel


def install(wheel: Path, place: Path) -> Path:
    """A new environment at `place` with the wheel and what that asks for, in the versions of the
    lock; its folder of commands."""
    lock = wheel.with_name("locked.txt")
    uv(
        *("export", "--locked", "--quiet", "--no-dev", "--no-emit-project", "--no-hashes"),
        *("--output-file", str(lock)),
    )
    uv("venv", "--quiet", "--python", sys.executable, str(place))
    uv(
        *("pip", "install", "--quiet", "--python", str(place), "--constraint", str(lock)),
        str(wheel),
    )
    return place / "bin"
