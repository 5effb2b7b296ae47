"""The whole platform on private RabbitMQ, a Valkey cluster and MariaDB with a replica."""

import os
import pwd
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from miaosha.domain.errors import SettingsError
from miaosha.supervisor.servers.packaged_server import make_home
from tests.e2e.sale_under_fire import sale_under_fire
from tests.kit.killing import kill
from tests.kit.running import Up, alive, descendants, free_port, miaosha, running
from tests.kit.waits import eventually

SERVERS = {"epmd", "rabbitmq", "mariadb", "replica", *(f"n{i}" for i in range(6))}
FULL = ("--stack", "full")


@pytest.fixture
def home(run_dir: Path) -> Path:
    """A directory that the servers' system users reach."""
    run_dir.chmod(0o711)
    return run_dir


def servers(up: Up) -> dict[str, int]:
    """Pid by the server's directory, which it works in; epmd's is that of RabbitMQ."""
    found = {}
    for pid in descendants(up.process.pid):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            place = Path(f"/proc/{pid}/cwd").readlink()
            program = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]
        except OSError:
            continue
        leader = int(stat.rpartition(")")[2].split()[1]) == up.process.pid
        below = place.parts[place.parts.index("servers") + 1 :] if "servers" in place.parts else ()
        if leader and below:
            name = below[1] if below[0] == "store" else below[0]
            found["epmd" if program.endswith(b"epmd") else name] = pid
    return found


@pytest.mark.servers
@pytest.mark.timeout(300)
def test_a_whole_sale_is_clean_and_leaves_nothing_behind(home: Path) -> None:
    seen: dict[str, int] = {}
    with sale_under_fire(
        home, crowd=300, stock=20, arguments=FULL, extra_env={"TMPDIR": str(home)}
    ) as sale:
        sale.wait_accepted(100)
        seen = servers(sale)
        assert set(seen) == SERVERS
        if os.geteuid() == 0:
            owners = {name: Path(f"/proc/{seen[name]}").owner() for name in ("epmd", "mariadb")}
            assert owners == {"epmd": "rabbitmq", "mariadb": "mysql"}
        pids = descendants(sale.process.pid)
        sale.verdict()
        assert alive(pids) == set()
    assert [path.name for path in home.iterdir()] == ["out"]


@pytest.fixture
def up(home: Path) -> Iterator[Up]:
    with running(home, *FULL, settings={"role_silence_s": "5"}) as up:
        yield up


def commands(up: Up, *asked: str) -> str:
    done = miaosha(*asked, "--data-dir", str(up.data))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.servers
@pytest.mark.timeout(300)
def test_what_runs_is_reached_by_every_command_and_comes_back(up: Up, home: Path) -> None:
    made = ("--title", "Lamp", "--price", "4.90 USD", "--stock", "3", "--opens", "+3600")
    commands(up, "sale", "create", *made, "--ask", "Which? | no | *yes")
    for name in ("rabbitmq", "mariadb", "n0"):
        old = servers(up)[name]
        kill(old, signal.SIGKILL)
        eventually(lambda n=name, o=old: servers(up).get(n, o) != o, what=f"another {name}")  # type: ignore[misc]
    eventually(up.ready, what="ready again")
    hung = {name: servers(up)[name] for name in ("rabbitmq", "mariadb", "n1")}
    for old in hung.values():
        kill(old, signal.SIGSTOP)
    for name, old in hung.items():
        eventually(lambda n=name, o=old: servers(up).get(n, o) != o, what=f"another {name}")  # type: ignore[misc]
    eventually(up.ready, what="ready again")
    looks_well(up)
    secrets_are_private(up)
    pids = descendants(up.process.pid)
    assert up.stop() == 0
    assert alive(pids) == set()
    with running(home, *FULL) as again:  # on the files, with the passwords, of the first
        looks_well(again)


def looks_well(up: Up) -> None:
    eventually(lambda: "Lamp" in commands(up, "sale", "list"), what="the sale")
    assert "audit: clean" in commands(up, "audit", "1")
    assert "nothing is parked" in commands(up, "parked", "list")
    assert "FAIL" not in commands(up, "doctor")


def secrets_are_private(up: Up) -> None:
    password = (up.data / "servers" / "password").read_text().strip()
    assert password in up.state()["broker_url"] and password in up.state()["database_url"]
    assert (up.data / "run.json").stat().st_mode & 0o777 == 0o600
    assert (up.data / "servers" / "password").stat().st_mode & 0o777 == 0o600
    for path in (up.data.parent / "out", *up.data.rglob("*.log")):
        assert password not in path.read_text(errors="replace"), path
    for pid in descendants(up.process.pid):
        assert password not in Path(f"/proc/{pid}/cmdline").read_text(errors="replace")


def test_servers_of_somebody_else_are_not_mixed_in(tmp_path: Path) -> None:
    done = miaosha(
        *("up", *FULL, "--port", str(free_port()), "--data-dir", str(tmp_path / "data")),
        settings={"broker_url": "amqp://user:hidden@rabbit.example/"},
    )
    assert done.returncode == 2
    assert "MIAOSHA_BROKER_URL" in done.stderr and "hidden" not in done.stderr


@pytest.mark.parametrize(
    ("there", "arguments"), [("servers/", ()), ("miaosha.sqlite", FULL)], ids=["full", "embedded"]
)
def test_the_data_of_the_other_stack_is_not_passed_over(
    tmp_path: Path, there: str, arguments: tuple[str, ...]
) -> None:
    path = tmp_path / there
    path.mkdir() if there.endswith("/") else path.touch()
    words = ("--port", str(free_port()), "--data-dir", str(tmp_path))
    done = miaosha("up", *arguments, *words)
    assert done.returncode == 2
    assert "--stack full" in done.stderr
    if not arguments:
        done = miaosha("db", "upgrade", "--data-dir", str(tmp_path))
        assert done.returncode == 2 and "do not run" in done.stderr
        assert not (tmp_path / "miaosha.sqlite").exists()


def test_a_directory_that_a_servers_user_cannot_reach_is_refused(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "private" / "shop").mkdir()
    account = pwd.getpwuid(os.geteuid()).pw_name
    with pytest.raises(SettingsError, match="cannot enter"):
        make_home(tmp_path / "private" / "shop", "mariadb", account)
