"""A private SQL server on this machine as a process: started, stopped, hung, started again.

On loopback and a free port, with its files in a directory that the caller removes. Started by
root, it runs as the system user of its package. It dies with this process and is stopped by its
own pid. Which server it is: `mariadb` and `postgres` beside this file.
"""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from miaosha.domain.errors import DependencyDown
from miaosha.supervisor.tether import tethered

START_S = 60.0  # a server has this long until it answers
STOP_S = 30.0  # and this long to end in order
DATABASE = "miaosha"
USER = "miaosha"
LOOPBACK = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class SqlServer:
    """A running server. `url` is what MIAOSHA_DATABASE_URL takes; it holds the password.

    `stop_signal` is what makes it end in order without waiting for its clients.
    """

    home: Path
    port: int
    scheme: str
    password: str
    account: str
    args: list[str]
    ready: Callable[[int], Awaitable[bool]]
    stop_signal: int = signal.SIGTERM
    process: "subprocess.Popen[bytes] | None" = None

    def url_of(self, database: str) -> str:
        return f"{self.scheme}://{USER}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def start(self, *more: str) -> None:
        """Start, or start again on the same files and port; returns when it answers.

        Raises:
            DependencyDown: it ended, or did not answer within `START_S`.
        """
        self.process = _spawn([*self.args, *more], self.account, self.home)
        deadline = asyncio.get_running_loop().time() + START_S
        while self.process.poll() is None and asyncio.get_running_loop().time() < deadline:
            if await self.ready(self.port):
                return
            await asyncio.sleep(0.05)
        await self.stop(signal.SIGKILL)
        raise DependencyDown(f"{self.args[0]} did not start: {_last_words(self.home)}")

    async def stop(self, sig: int = 0) -> None:
        """End it: 0 in order, SIGKILL as a crash. One that has ended already is left alone."""
        process = self.process
        if process is None or process.poll() is not None:
            return
        process.send_signal(sig or self.stop_signal)
        deadline = asyncio.get_running_loop().time() + STOP_S
        while process.poll() is None:
            if asyncio.get_running_loop().time() > deadline:
                process.kill()
            await asyncio.sleep(0.02)

    def pause(self) -> None:
        """Let it hang, as a machine that has lost its network: connections stay, answers do not
        come. `resume` ends that."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


def find(name: str, usual: Path) -> str | None:
    """`usual` is where the Debian package has it: not on everybody's PATH."""
    return str(usual) if usual.exists() else shutil.which(name)


def make_home(directory: Path, name: str, account: str) -> tuple[Path, str]:
    """The server's directory and the user it runs as: `account` if we may choose, else ourselves.

    Raises:
        DependencyDown: we are root and there is no such user (databases refuse to run as root).
    """
    home = directory / name
    home.mkdir(parents=True)
    if os.geteuid() != 0:
        return home, pwd.getpwuid(os.geteuid()).pw_name
    try:
        pwd.getpwnam(account)
    except KeyError:
        raise DependencyDown(f"no system user {account}, whom its package makes") from None
    directory.chmod(directory.stat().st_mode | 0o011)  # the way to its own directory
    shutil.chown(home, account)
    home.chmod(0o700)
    return home, account


def _spawn(args: Sequence[str], account: str, home: Path) -> "subprocess.Popen[bytes]":
    with (home / "server.log").open("ab") as log:
        return subprocess.Popen(
            [*_become(account), *args] if os.geteuid() == 0 else tethered(args),
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
        )


def run(args: Sequence[str], account: str, home: Path) -> None:
    """Run a program of the server's package to its end, as `account`, in `home`.

    Raises:
        DependencyDown: it failed; says what it said.
    """
    command = [*_become(account), *args] if os.geteuid() == 0 else args
    done = subprocess.run(
        command, cwd=home, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise DependencyDown(f"{args[0]}: {(done.stderr or done.stdout).strip()[-500:]}")


def _become(account: str) -> list[str]:
    """Words before a command that root runs as `account`, and that dies with this process: our own
    interpreter may lie where that user cannot go."""
    tool = find("setpriv", Path("/usr/bin/setpriv"))
    if not tool:
        raise DependencyDown(
            "no setpriv on this machine. On Debian or Ubuntu: apt install util-linux"
        )
    user = [f"--reuid={account}", f"--regid={account}", "--clear-groups"]
    return [tool, *user, "--pdeathsig=TERM", "--"]


def _last_words(home: Path) -> str:
    try:
        return (home / "server.log").read_text(errors="replace").strip()[-500:]
    except OSError:
        return "it wrote nothing"
