"""Packaged server: a server of the system's packages as a private process.

It listens on loopback and free ports; its files lie in a directory that the caller removes. Started
by root it runs as the system user of its package. It dies with this process, and is stopped by its
own pid. `rabbitmq` and `mariadb` beside this file say which server it is.
"""

import asyncio
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from miaosha.domain.errors import DependencyDown, SettingsError
from miaosha.supervisor.die_with_parent import die_with_parent

LOOPBACK: Final = "127.0.0.1"
PORTS: Final = range(12_000, 32_768)  # Linux gives higher ones to outgoing connections
USER: Final = "miaosha"  # whom the server knows us as
START_S: Final = 90.0  # a server has this long until it answers
STOP_S: Final = 30.0  # and this long to end in order
RUN_S: Final = 120.0  # one program of a package, run to its end
POLL_S: Final = 0.05
WORDS_MAX: Final = 500  # characters of what a server said last


@dataclass(kw_only=True)
class PackagedServer:
    """A server, prepared or running.

    Attributes:
        home: its directory, which belongs to its account; what it says is in `log`.
        args: its command line; a caller may add options before a start.
        account: the system user it runs as; None: ourselves.
        ready: does it answer?
        environ: its whole environment; None: ours.
        install: the command that fills a new data directory, which `make` runs once.
        stop_signal: what makes it end in order without waiting for its clients.
    """

    home: Path
    args: list[str]
    account: str | None
    ready: Callable[[], Awaitable[bool]]
    environ: Mapping[str, str] | None = field(default=None, repr=False)
    install: Callable[[Path], list[str]] | None = None
    stop_signal: int = signal.SIGTERM
    log_name: str = "server.log"
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def log(self) -> Path:
        return self.home / self.log_name

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def command(self) -> list[str]:
        """Its command line as its account; the caller starts it in `home`, with `environ`."""
        return become(self.account, self.args)

    async def make(self) -> None:
        """Fill its data directory, unless that was done before. Raises DependencyDown."""
        if self.install is None or self.data.exists():
            return
        new = self.home / "new"
        task = asyncio.create_task(asyncio.to_thread(self._install, self.install(new), new))
        try:
            await asyncio.shield(task)
        finally:  # nobody may remove the directory while a program works in it
            await asyncio.wait({task})

    def _install(self, command: Sequence[str], new: Path) -> None:
        shutil.rmtree(new, ignore_errors=True)  # one that a killed predecessor left is not whole
        self.run(command)
        new.rename(self.data)

    async def start(self) -> None:
        """Start, or start again on the same files and port; returns when it answers.

        Raises:
            DependencyDown: it ended, or did not answer within `START_S`.
        """
        await self.make()
        self.process = self._spawn()
        deadline = asyncio.get_running_loop().time() + START_S
        while self.process.poll() is None and asyncio.get_running_loop().time() < deadline:
            if await self.ready():
                return
            await asyncio.sleep(POLL_S)
        await self.stop(signal.SIGKILL)
        raise DependencyDown(f"{self.args[0]} did not start: {self.last_words()}")

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command(),
                cwd=self.home,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    async def stop(self, sig: int = 0) -> None:
        """End it: 0 in order, SIGKILL as a crash. One that has ended already is left alone."""
        process = self.process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)  # one that was paused must be able to end
        process.send_signal(sig or self.stop_signal)
        deadline = asyncio.get_running_loop().time() + STOP_S
        while process.poll() is None:
            if asyncio.get_running_loop().time() > deadline:
                process.kill()
            await asyncio.sleep(POLL_S)

    def pause(self) -> None:
        """Let it hang, as a machine that has lost its network: connections stay, answers do not
        come. `resume` ends that. Returns once each of its threads has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        while any(not _stopped(task) for task in Path(f"/proc/{self.pid}/task").iterdir()):
            time.sleep(0.001)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def run(self, args: Sequence[str], within_s: float = RUN_S) -> str:
        """Run a program of its package to its end, as its account, in its home; what it printed.
        Blocks.

        Raises:
            DependencyDown: it failed; says what it said.
        """
        try:
            done = subprocess.run(
                become(self.account, args),
                cwd=self.home,
                env=self.environ,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=within_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DependencyDown(f"{args[0]} took longer than {within_s:g} s") from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-WORDS_MAX:]
            raise DependencyDown(f"{args[0]}: {said}")
        return done.stdout

    def own(self, *paths: Path) -> None:
        """Give files that we wrote to its account, for nobody else to read."""
        for path in paths:
            if self.account is not None:
                shutil.chown(path, self.account)
            path.chmod(0o700 if path.is_dir() else 0o600)

    def last_words(self) -> str:
        try:
            return self.log.read_text("utf-8", errors="replace").strip()[-WORDS_MAX:]
        except OSError:
            return "it wrote nothing"


def _stopped(thread: Path) -> bool:
    """So does one that has ended meanwhile."""
    try:
        return (thread / "stat").read_bytes().rpartition(b")")[2].split()[0] in b"TZX"
    except OSError:
        return True


def account_of(package_user: str) -> str | None:
    """The system user a server runs as: None, so ourselves, unless we are root.

    Raises:
        DependencyDown: we are root and there is no such user (databases refuse to run as root).
    """
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(package_user).pw_name
    except KeyError:
        raise DependencyDown(f"no system user {package_user}, whom its package makes") from None


def make_home(directory: Path, name: str, account: str | None) -> Path:
    """`directory`/`name`, for a server's files, made if need be and given to its account.

    Raises:
        SettingsError: the account cannot get there, because a directory above lets nobody in.
    """
    home = directory / name
    home.mkdir(parents=True, exist_ok=True)
    if account is not None:
        directory.chmod(directory.stat().st_mode | 0o011)  # the way to its own directory
        for above in directory.resolve().parents:
            if not above.stat().st_mode & 0o001:
                raise SettingsError(
                    f"{directory}: the system user {account} cannot enter {above}; choose a "
                    "directory that it can reach, such as one under /var/lib or /tmp"
                )
        shutil.chown(home, account, account)
    home.chmod(0o700)
    return home


def become(account: str | None, args: Sequence[str]) -> list[str]:
    """`args` as a command of `account` that dies with this process. Our own interpreter may lie
    where that user cannot go, so it is setpriv that becomes it."""
    if account is None:
        return die_with_parent(args)
    user = [f"--reuid={account}", f"--regid={account}", "--clear-groups"]
    return [setpriv(), *user, "--pdeathsig=TERM", "--", *args]


def setpriv() -> str:
    """The tool that becomes an account. Raises DependencyDown if there is none."""
    if found := find("setpriv", Path("/usr/bin/setpriv")):
        return found
    raise DependencyDown("no setpriv on this machine. On Debian or Ubuntu: apt install util-linux")


def find(name: str, usual: Path) -> str | None:
    """`usual` is where the Debian package has it: not on everybody's PATH."""
    return str(usual) if usual.exists() else shutil.which(name)


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _free(port: int) -> bool:
    return is_free(LOOPBACK, port)


def free_ports(count: int, usable: Callable[[int], bool] = _free) -> list[int]:
    """Loopback ports that nobody uses now and that, with Linux's usual range, no outgoing
    connection will be given: a server that is stopped and started again still finds its own.

    Args:
        usable: whether a port may be had.

    Raises:
        DependencyDown: there are none.
    """
    found = list(islice(filter(usable, random.sample(PORTS, len(PORTS))), count))
    if len(found) < count:
        raise DependencyDown(f"no free port among {PORTS.start} to {PORTS.stop - 1}")
    return found
