"""`up` started by root: as the account that is named, or with a word about root."""

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from miaosha.domain.errors import SettingsError
from miaosha.settings import Settings
from miaosha.supervisor import account
from miaosha.supervisor.account import AS_ROOT, _setpriv, _try
from miaosha.supervisor.servers.packaged_server import is_free
from tests.kit.killing import kill
from tests.kit.running import Up, alive, descendants, environ, free_port, miaosha, starting
from tests.kit.waits import eventually

NOBODY = "nobody"
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")


def up_refused(data: Path, user: str) -> str:
    """What it says."""
    done = miaosha("up", "--port", str(free_port()), "--data-dir", str(data), "--user", user)
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    return line


def test_an_account_that_is_none_is_refused(tmp_path: Path) -> None:
    line = up_refused(tmp_path / "data", "no-such-account")
    assert "MIAOSHA_USER='no-such-account': no such account" in line
    assert "not root's" in up_refused(tmp_path / "data", "root")
    assert not (tmp_path / "data").exists()


@NEEDS_ROOT
@pytest.mark.parametrize("foreign", ["", "store", "store/appendonlydir"])
def test_a_tree_of_another_is_not_taken_over(tmp_path: Path, foreign: str) -> None:
    """Neither the directory, nor one in which root ran it before."""
    data, nobody = tmp_path / "data", pwd.getpwnam(NOBODY)
    (data / foreign).mkdir(parents=True)
    for path in (data, *data.rglob("*")):
        if path != data / foreign:
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    before = {path: path.stat().st_uid for path in (data, *data.rglob("*"))}
    line = up_refused(data, NOBODY)
    assert f"{data / foreign} belongs to root, not to nobody" in line and "chown" in line
    assert {path: path.stat().st_uid for path in (data, *data.rglob("*"))} == before


@NEEDS_ROOT
def test_a_place_the_account_cannot_reach_is_refused(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    line = up_refused(tmp_path / "private" / "data", NOBODY)
    assert "MIAOSHA_USER='nobody': cannot use" in line and "Permission denied" in line


@NEEDS_ROOT
def test_an_account_that_is_tried_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its home may lie on a network that hangs."""
    monkeypatch.setattr(account, "TRY_S", 1e-6)
    monkeypatch.setattr(os, "execve", pytest.fail)  # it would be this process
    with pytest.raises(SettingsError, match="it took longer than"):
        account.become(Settings(user=NOBODY), None)


@NEEDS_ROOT
def test_root_hears_that_everything_is_roots(tmp_path: Path) -> None:
    """Once, with the way out. (It waits for a database, and starts no role.)"""
    away = {"database_url": f"mariadb://shop@127.0.0.1:{free_port()}/shop"}
    with starting(tmp_path, settings=away) as up:
        out = tmp_path / "out"
        eventually(lambda: "waiting for MIAOSHA_DATABASE_URL" in out.read_text(), what="waits")
        assert out.read_text().count(AS_ROOT) == 1
        assert "--user" in AS_ROOT and "MIAOSHA_USER" in AS_ROOT
        assert up.stop() == 0


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that everybody reaches."""
    path = Path("/tmp", f"miaosha-account-{os.getpid()}")
    path.mkdir(mode=0o755)
    yield path
    subprocess.run(["rm", "-r", str(path)], check=True)


@pytest.fixture
def command(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """`miaosha` as nobody can run it: this interpreter may lie in a home of root."""
    python = Path(sys.executable).resolve()
    place = home / "python"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "--bind", "-o", "ro", str(python.parents[1]), str(place)], check=False
    )
    if mounted.returncode:
        pytest.skip("no mounts here")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(place / "lib"))
    yield [str(place / "bin" / python.name), "-m", "miaosha.cli"]
    subprocess.run(["umount", "--lazy", str(place)], check=True)
    place.rmdir()


@NEEDS_ROOT
def test_a_python_in_somebody_elses_home_is_refused(
    home: Path, tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it would start: without its own libraries, and perhaps with another one's."""
    (tmp_path / "private").mkdir(mode=0o700)
    python = tmp_path / "private" / "python3"
    python.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    nobody = pwd.getpwnam(NOBODY)
    becomes = [*_setpriv(Settings(), nobody), command[0]]
    with pytest.raises(SettingsError) as refused:
        _try(becomes, dict(os.environ), home, nobody)
    assert "Permission denied" in str(refused.value) and str(python) in str(refused.value)
    assert "make PYTHON=/usr/bin/python3 install" in str(refused.value)


def privileged_port() -> int:
    return next(port for port in range(600, 1_024) if is_free("127.0.0.1", port))


def environ_of(pid: int) -> dict[str, str]:
    words = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)


@NEEDS_ROOT
@pytest.mark.timeout(300)
def test_everything_runs_as_the_account_and_listens_where_only_root_may(
    home: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = pwd.getpwnam(NOBODY)
    monkeypatch.setenv("HOME", "/somewhere/of/root")
    with starting(home, "--user", NOBODY, command=command, port=privileged_port()) as up:
        eventually(up.ready, what="ready")
        everybody = {up.process.pid, *alive(descendants(up.process.pid))}
        assert len(everybody) >= 10
        for pid in everybody:
            status = Path(f"/proc/{pid}/status").read_text().splitlines()
            ids = {line.split(":")[0]: line.split()[1:] for line in status if ":" in line}
            assert set(ids["Uid"]) == {str(nobody.pw_uid)}, status
            assert set(ids["Gid"]) == {str(nobody.pw_gid)}, status
            assert ids["Groups"] == [str(nobody.pw_gid)], "root's own groups are not kept"
        for pid in (up.process.pid, up.children()["mailer"], up.children()["api"]):
            told = environ_of(pid)
            assert (told["HOME"], told["USER"]) == (nobody.pw_dir, NOBODY)
        owners = {path.lstat().st_uid for path in (up.data, *up.data.rglob("*"))}
        assert owners == {nobody.pw_uid}
        assert Path(up.state()["run_dir"]).stat().st_uid == nobody.pw_uid
        again(up, "store")
        again(up, "publisher")
        eventually(up.ready, what="ready again")
        assert AS_ROOT not in (home / "out").read_text()
        assert up.stop() == 0
        assert not Path("/proc", str(up.process.pid)).exists() or alive(everybody) == set()


def again(up: Up, role: str) -> None:
    old = up.children()[role]
    kill(old, signal.SIGKILL)
    eventually(lambda: up.children().get(role, old) != old, what=f"another {role}")


@NEEDS_ROOT
@pytest.mark.parametrize(
    "asked", [("run", "consumer"), ("edge", "switch", "--directory", "over"), ("demo",)]
)
def test_every_command_that_runs_something_asks_for_the_account(asked: tuple[str, ...]) -> None:
    done = miaosha(*asked, settings={"user": "no-such-account"})
    assert done.returncode == 2
    assert "MIAOSHA_USER='no-such-account': no such account" in done.stderr


@NEEDS_ROOT
def test_only_root_becomes_another(home: Path, command: list[str]) -> None:
    done = subprocess.run(
        [*command, "up", "--data-dir", str(home / "data"), "--user", "daemon"],
        env=environ(),
        user=NOBODY,
        group="nogroup",
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2 and "only root can become another account" in done.stderr
    assert not (home / "data").exists()
