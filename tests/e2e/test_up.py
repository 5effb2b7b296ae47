"""`miaosha up` from outside: it starts, outlives its children, and stops without a trace."""

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from miaosha.supervisor.edge.nginx_config import FILES
from tests.domain.test_urls import LINKS
from tests.kit.killing import kill
from tests.kit.running import STOP_S, Up, alive, descendants, free_port, miaosha, running
from tests.kit.waits import eventually


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory only its owner may enter."""
    path = tmp_path_factory.mktemp("up")
    path.chmod(0o700)
    return path


@pytest.fixture(scope="module")
def up(home: Path) -> Iterator[Up]:
    with running(home, outside=LINKS) as platform:
        yield platform


def test_what_a_cluster_sets_stops_nothing_and_is_told_once(up: Up) -> None:
    said = (up.data.parent / "out").read_text()
    assert said.count("enableServiceLinks: false") == 1 and "MIAOSHA_PORT" in said


def test_the_pages_and_the_documentation_are_served(up: Up) -> None:
    page = up.get("/")
    assert page.status == 200
    assert b'src="/assets/' in page.body
    assert page.headers["Cache-Control"] == "no-cache"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert up.get("/api/docs").status == 200
    assert up.get("/api/v1/sales").json()["items"] == []


def test_secrets_and_addresses_are_private(up: Up) -> None:
    assert up.data.stat().st_mode & 0o777 == 0o700
    for name in ("secret.keys", "run.json"):
        assert (up.data / name).stat().st_mode & 0o777 == 0o600
    key = (up.data / "secret.keys").read_text().partition(":")[2].strip()
    assert key not in (up.data / "run.json").read_text()
    assert key not in (up.data.parent / "out").read_text()


@pytest.mark.parametrize("role", ["publisher", "gateway", "api", "consumer", "scheduler", "mailer"])
def test_a_killed_role_comes_back(up: Up, role: str) -> None:
    old = up.children()[role]
    kill(old, signal.SIGKILL)
    eventually(lambda: up.children().get(role, old) != old, what=f"a new {role}")
    eventually(up.ready, what="ready again")


@pytest.mark.parametrize("server", ["store", "broker"])
def test_a_killed_valkey_comes_back_on_its_data(up: Up, server: str) -> None:
    old = up.children()[server]
    kill(old, signal.SIGKILL)
    eventually(lambda: up.children().get(server, old) != old, what=f"a new {server}")
    eventually(up.ready, what="ready again")


def test_the_edge_comes_back(up: Up) -> None:
    master = next(
        pid
        for pid in descendants(up.process.pid)
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"nginx: master")
    )
    kill(master, signal.SIGKILL)
    eventually(lambda: master not in alive({master}) and up.ready(), what="another edge")


def test_a_second_one_on_the_same_data_is_refused(up: Up) -> None:
    done = miaosha("up", "--port", str(free_port()), "--data-dir", str(up.data))
    assert done.returncode == 2
    assert "MIAOSHA_DATA_DIR" in done.stderr and "in use" in done.stderr


def ignores(pid: int, sig: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(mask.split()[1], 16) >> (sig - 1) & 1)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything(tmp_path: Path, sig: int) -> None:
    """But not those that were ignored when it started: `nohup` ignores HUP, a script's background
    job INT; whoever started it may have chosen TERM."""
    ignored = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} - {sig}
    with running(tmp_path, ignored=tuple(ignored)) as up:
        for other in ignored:
            up.process.send_signal(other)
        for role, pid in up.children().items():
            assert not ignores(pid, signal.SIGTERM), f"{role} would have to be killed"
            if signal.SIGHUP in ignored:
                assert ignores(pid, signal.SIGHUP), f"{role} would end with the terminal"
        old = up.children()["mailer"]
        kill(old, signal.SIGKILL)
        eventually(lambda: up.children().get("mailer", old) != old, what="another mailer")
        pids = descendants(up.process.pid)
        run_dir = Path(up.state()["run_dir"])
        assert len(pids) >= 9 and run_dir.is_dir()
        for _ in range(5):  # as `timeout` and wrappers do, it comes more than once
            up.process.send_signal(sig)
            time.sleep(0.01)
        assert up.stop(sig) == 0
        assert alive(pids) == set()
        assert (tmp_path / "out").read_text().count("was killed") == 1  # the mailer above
        assert not run_dir.exists()
        assert not (up.data / "run.json").exists()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", up.port))


def test_nothing_survives_a_killed_supervisor(tmp_path: Path) -> None:
    with running(tmp_path) as up:
        pids = descendants(up.process.pid)
        run_dir = Path(up.state()["run_dir"])
        up.process.kill()
        up.process.wait()
        eventually(lambda: not alive(pids), STOP_S, what="every child is gone")
        assert run_dir.is_dir()  # nobody was left to remove it
        with running(tmp_path) as again:
            assert not run_dir.exists()
            assert again.get("/").status == 200


def test_what_vanishes_from_the_run_directory_is_written_again(up: Up) -> None:
    run = Path(up.state()["run_dir"])
    gone = [run / "api-0.sock", run / "publisher-0.sock", *(run / name for name in FILES)]
    for path in gone:
        path.unlink()
    eventually(lambda: all(path.exists() for path in gone), what="all of it")
    assert up.get("/api/v1/time").status == 200
    assert up.get("/api/v1/sales/1/purchases", "POST", b"{}").status in (401, 404)


def test_without_its_run_directory_it_ends_and_says_so(tmp_path: Path) -> None:
    """Nobody would reach any role. What only lost its run.json writes it again."""
    with running(tmp_path) as up:
        pids = descendants(up.process.pid)
        run = Path(up.state()["run_dir"])
        (up.data / "run.json").unlink()
        eventually((up.data / "run.json").exists, what="run.json")
        assert up.state()["run_dir"] == str(run)
        run.rename(tmp_path / "taken")
        assert up.process.wait(STOP_S) == 1
        said = (tmp_path / "out").read_text()
        assert f"!! run directory {run} is gone" in said
        assert alive(pids) == set()


def test_a_taken_port_names_the_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = miaosha("up", "--port", str(port), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 2
    assert f"MIAOSHA_PORT={port}" in done.stderr and "--port" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"prot": "8000"}, ["MIAOSHA_PROT", "MIAOSHA_PORT"]),
        ({"publishers": "many"}, ["MIAOSHA_PUBLISHERS", "'many'", "whole number"]),
        ({"port": "70000"}, ["MIAOSHA_PORT=70000", "65535"]),
        ({"trusted_proxies": "proxy.example"}, ["MIAOSHA_TRUSTED_PROXIES", "10.0.0.0/8"]),
        ({"redis_url": "http://localhost"}, ["MIAOSHA_REDIS_URL"]),
        ({"broker_url": "kafka://localhost"}, ["MIAOSHA_BROKER_URL"]),
        ({"mail_url": "pigeon:"}, ["MIAOSHA_MAIL_URL", "pigeon"]),
        ({"payments_url": "gold:"}, ["MIAOSHA_PAYMENTS_URL", "gold"]),
        ({"log_level": "loud"}, ["MIAOSHA_LOG_LEVEL='loud'", "debug"]),
        ({"public_url": "shop.example"}, ["MIAOSHA_PUBLIC_URL='shop.example'", "https://"]),
        ({"public_url": "https://shop.example/shop"}, ["MIAOSHA_PUBLIC_URL", "with a path"]),
        ({"mail_from": "nobody"}, ["MIAOSHA_MAIL_FROM='nobody'"]),
        ({"allowed_origins": "*"}, ["MIAOSHA_ALLOWED_ORIGINS='*'"]),
        ({"bind": "elsewhere.invalid"}, ["MIAOSHA_BIND='elsewhere.invalid'"]),
        ({"data_dir": "/dev/null/shop"}, ["MIAOSHA_DATA_DIR=/dev/null/shop"]),
        ({"secret_keys": "k1:short"}, ["MIAOSHA_SECRET_KEYS"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_settings_stop_the_start(
    tmp_path: Path, settings: dict[str, str], said: list[str]
) -> None:
    arguments = [] if "port" in settings else ["--port", str(free_port())]
    arguments += [] if "data_dir" in settings else ["--data-dir", str(tmp_path / "d")]
    done = miaosha("up", *arguments, settings=settings)
    assert done.returncode == 2, done.stderr
    for words in said:
        assert words in done.stderr
    assert "Traceback" not in done.stderr
    if "secret_keys" in settings:
        assert "short" not in done.stderr
