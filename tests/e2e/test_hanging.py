"""A whole platform with parts that hang: each is killed and comes back, and no other is touched."""

import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from miaosha.supervisor.hang_detector import Life
from miaosha.supervisor.health_probes import says_alive
from tests.kit.killing import kill
from tests.kit.running import Up, descendants, running
from tests.kit.running import alive as running_pids
from tests.kit.waits import eventually

ROLE_SILENCE_S = 4
ROLES = ("publisher", "consumer", "gateway", "api", "scheduler", "mailer")


class Systemd:
    """Hears what it is told, and by whom."""

    def __init__(self, path: Path) -> None:
        self.heard: set[tuple[int, str]] = set()  # pid and message
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(path))
        self._listening = threading.Thread(target=self._listen)
        self._listening.start()

    def _listen(self) -> None:
        while True:
            text, told, _, _ = self._socket.recvmsg(100, 100)
            if not text:
                return
            self.heard.add((struct.unpack("3i", told[0][2])[0], text.decode()))

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._listening.join()
        self._socket.close()


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systemd]:
    path = tmp_path_factory.mktemp("systemd") / "notify"
    hearing = Systemd(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTIFY_SOCKET", str(path))
        patch.setenv("WATCHDOG_USEC", "1000000")
        yield hearing
    hearing.close()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, systemd: Systemd) -> Iterator[Up]:
    silence = {"role_silence_s": str(ROLE_SILENCE_S)}
    with running(tmp_path_factory.mktemp("vigil"), settings=silence) as platform:
        yield platform


def test_systemd_hears_that_the_supervisor_is_ready_and_lives(up: Up, systemd: Systemd) -> None:
    """And from nobody else: its children are its own affair."""
    wanted = {(up.process.pid, "READY=1"), (up.process.pid, "WATCHDOG=1")}
    eventually(lambda: wanted <= systemd.heard, what="told")
    assert systemd.heard == wanted


def said(up: Up) -> str:
    return (up.data.parent / "out").read_text()


def others_stay(up: Up, before: dict[str, int], *changed: str) -> None:
    after = up.children()
    assert all(after[role] == before[role] for role in before if role not in changed), said(up)


async def test_every_role_answers_for_itself(up: Up) -> None:
    run = Path(up.state()["run_dir"])
    for name in ROLES:
        assert await says_alive(run / f"{name}-0~0.alive") is Life.ALIVE, name


def started_again(up: Up, role: str, before: int) -> bool:
    return up.children().get(role, before) != before


@pytest.mark.parametrize("roles", [("consumer", "mailer", "gateway"), ("scheduler", "publisher")])
def test_roles_that_hang_come_back_and_no_other_is_touched(up: Up, roles: tuple[str, ...]) -> None:
    before = up.children()
    for role in roles:
        kill(before[role], signal.SIGSTOP)
    for role in roles:
        another = partial(started_again, up, role, before[role])
        eventually(another, what=f"another {role}")
        assert f"!! {role}-0 is killed: it gave no sign of life for {ROLE_SILENCE_S} s" in said(up)
    eventually(up.ready, what="ready again")
    others_stay(up, before, *roles)


@pytest.mark.parametrize("server", ["store", "broker"])
def test_a_server_that_hangs_comes_back_and_no_role_is_restarted_for_it(
    up: Up, server: str
) -> None:
    """While the store hangs nobody's beat is seen: every role answers for itself."""
    before = up.children()
    kill(before[server], signal.SIGSTOP)
    eventually(
        lambda: up.children().get(server, 0) not in (0, before[server]), what=f"another {server}"
    )
    eventually(up.ready, what="ready again")
    others_stay(up, before, server)


def test_an_edge_that_hangs_comes_back(up: Up) -> None:
    def edges() -> set[int]:
        return {pid for pid in running_pids(descendants(up.process.pid)) if _is_nginx(pid)}

    before = edges()
    for pid in before:
        kill(pid, signal.SIGSTOP)
    eventually(lambda: not running_pids(before) and up.ready(), what="another edge")


def _is_nginx(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"nginx:")
    except OSError:
        return False


def test_a_platform_that_slept_restarts_nobody(up: Up) -> None:
    """All its processes stop at once, for longer than they may be silent."""
    before, log = up.children(), said(up)
    everybody = {up.process.pid, *descendants(up.process.pid)}
    for pid in everybody:
        kill(pid, signal.SIGSTOP)
    asleep_until = time.monotonic() + ROLE_SILENCE_S + 2
    eventually(lambda: time.monotonic() > asleep_until, what="woken")
    for pid in everybody:
        kill(pid, signal.SIGCONT)
    awake_until = time.monotonic() + ROLE_SILENCE_S + 2
    eventually(lambda: time.monotonic() > awake_until and up.ready(), what="looked at")
    assert up.children() == before
    assert "killed" not in said(up).removeprefix(log)
