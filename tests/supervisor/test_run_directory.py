"""The run directory outlives cleaners of temporary files, and lies where systemd says."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from miaosha.supervisor.run_directory import held, run_directory, touch
from miaosha.supervisor.watches import Alarm
from tests.kit.waits import eventually

LONG_AGO = (1_000_000.0, 1_000_000.0)


@pytest.fixture
def temporary(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(run_dir))
    return run_dir


def test_it_is_private_and_goes_at_the_end(temporary: Path) -> None:
    with run_directory() as run:
        assert run.parent == temporary and run.stat().st_mode & 0o777 == 0o700
        (run / "a.sock").touch()
    assert not run.exists()


def test_it_lies_where_systemd_has_made_room(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = temporary / "runtime"
    ours.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{ours}:/elsewhere")
    with run_directory() as run:
        assert run.parent == ours
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(temporary / "gone"))
    with run_directory() as run:
        assert run.parent == temporary


def test_it_is_not_made_where_a_sockets_path_would_be_too_long(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = temporary / ("d" * 90)
    deep.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(deep))
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with run_directory() as run:
        assert run.parent == Path("/tmp")


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="no systemd-tmpfiles here")
def test_the_systems_cleaner_leaves_it_alone(temporary: Path) -> None:
    """It takes what is older than a second, of those that nobody holds."""
    config = temporary / "clean.conf"
    config.write_text(f"d {temporary} 0700 - - 1s\n")
    other = temporary / "other"
    other.mkdir()
    with run_directory() as run:
        for directory in (other, run):
            for path in (directory / "nginx.conf", directory):
                path.touch()
                os.utime(path, LONG_AGO)
        eventually(lambda: _cleaned(config, other), 30, what="the cleaner comes")
        assert (run / "nginx.conf").exists()


def _cleaned(config: Path, other: Path) -> bool:
    subprocess.run(["systemd-tmpfiles", "--clean", str(config)], check=True)
    return not (other / "nginx.conf").exists()


def test_what_lies_in_it_never_looks_old(temporary: Path) -> None:
    """For cleaners that only look at ages."""
    with run_directory() as run:
        (run / "edge.conf").touch()
        (run / "a.sock").symlink_to("nowhere")
        for path in (run / "edge.conf", run):
            os.utime(path, LONG_AGO)
        os.utime(run / "a.sock", LONG_AGO, follow_symlinks=False)
        touch(run)
        for path in (run, run / "edge.conf", run / "a.sock"):
            assert path.lstat().st_mtime > LONG_AGO[0] + 1


@pytest.mark.parametrize("way", ["removed", "replaced"])
async def test_its_loss_rings_the_alarm(temporary: Path, way: str) -> None:
    stop, told = asyncio.Event(), list[str]()
    with run_directory() as run:
        holding = asyncio.create_task(held(run, Alarm(stop, told.append), look_s=0.01))
        await asyncio.sleep(0.05)
        assert not stop.is_set()
        run.rename(temporary / "moved")
        if way == "replaced":
            run.mkdir()
        await asyncio.wait_for(stop.wait(), 20)
        await holding
    assert told == [
        f"!! run directory {run} is gone: somebody removed it, and no role is reached: "
        "everything is stopped"
    ]
