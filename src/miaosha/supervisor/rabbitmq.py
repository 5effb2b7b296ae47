"""A private RabbitMQ on this machine from the system's package: started, stopped, started again.

On loopback and free ports, with a cookie, a user and an epmd of its own, so that it meets no other
node; its files lie in a directory that the caller removes. Started by root it runs as the package's
system user. It dies with this process and is stopped, epmd too, by its own pids.
"""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from miaosha.domain.errors import DependencyDown
from miaosha.supervisor.tether import tethered

ACCOUNT: Final = "rabbitmq"
LOOPBACK: Final = "127.0.0.1"
USER: Final = "miaosha"
START_S: Final = 90.0  # a server has this long until it answers
STOP_S: Final = 30.0  # and this long to end in order
CTL_S: Final = 60.0  # one command of rabbitmqctl
PROGRAMS: Final = Path("/usr/lib/rabbitmq/bin")  # the package's own, without its wrapper
MISSING: Final = "no RabbitMQ on this machine; on Debian or Ubuntu: apt install rabbitmq-server"

_CONFIG: Final = """\
listeners.tcp.1 = {host}:{port}
default_user = {user}
default_pass = {password}
default_user_tags.administrator = false
log.console = true
log.console.level = warning
log.file = false
disk_free_limit.absolute = 100MB
raft.wal_max_size_bytes = 64000000
"""


@dataclass
class RabbitMq:
    """A running server. `url` is what MIAOSHA_BROKER_URL takes; it holds the password."""

    home: Path
    port: int
    password: str
    environ: dict[str, str]
    account: str | None
    process: "subprocess.Popen[bytes] | None" = None
    epmd: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"amqp://{USER}:{self.password}@{LOOPBACK}:{self.port}/"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """Start, or start again on the same files and ports; returns when it answers.

        Raises:
            DependencyDown: it ended, or did not answer within `START_S`.
        """
        if self.epmd is None or self.epmd.poll() is not None:
            epmd = [_program("epmd"), "-address", LOOPBACK, "-port", self.environ["ERL_EPMD_PORT"]]
            self.epmd = self._spawn(epmd)
        self.process = self._spawn([str(PROGRAMS / "rabbitmq-server")])
        deadline = asyncio.get_running_loop().time() + START_S
        while self.process.poll() is None and asyncio.get_running_loop().time() < deadline:
            if await _greets(self.port):
                return
            await asyncio.sleep(0.1)
        await self.stop(signal.SIGKILL)
        raise DependencyDown(f"RabbitMQ did not start: {self._last_words()}")

    async def stop(self, sig: int = signal.SIGTERM) -> None:
        """End it (SIGTERM: in order; SIGKILL: as a crash), then its epmd."""
        await _end(self.process, sig)
        await _end(self.epmd, signal.SIGTERM)

    async def ctl(self, *args: str) -> str:
        """Run `rabbitmqctl` on this node; returns what it printed.

        Raises:
            DependencyDown: it failed; says what it said.
        """
        done = await asyncio.to_thread(
            subprocess.run,
            self._as_account([str(PROGRAMS / "rabbitmqctl"), "-q", *args]),
            env=self.environ,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=CTL_S,
            check=False,
        )
        if done.returncode:
            raise DependencyDown(f"rabbitmqctl {args[0]}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def pause(self) -> None:
        """Let it hang: connections stay, answers do not come. `resume` ends that."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _spawn(self, args: Sequence[str]) -> "subprocess.Popen[bytes]":
        with (self.home / "server.log").open("ab") as log:
            return subprocess.Popen(
                self._as_account(args),
                cwd=self.home,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def _as_account(self, args: Sequence[str]) -> list[str]:
        """`args` as a command of the server's user that dies with this process. Our interpreter may
        lie where that user cannot go, so it is setpriv that becomes it."""
        if self.account is None:
            return tethered(args)
        user = [f"--reuid={self.account}", f"--regid={self.account}", "--clear-groups"]
        return [_program("setpriv"), *user, "--pdeathsig=TERM", "--", *args]

    def _last_words(self) -> str:
        return (self.home / "server.log").read_text(errors="replace")[-500:].strip()


async def start_rabbitmq(directory: Path, name: str = "rabbitmq") -> RabbitMq:
    """A server with one user and an empty virtual host `/`; its files are in `directory`/`name`.

    Raises:
        DependencyDown: not installed, or it did not start.
    """
    server = await asyncio.to_thread(_prepared, directory, name)
    await server.start()
    return server


def _prepared(directory: Path, name: str) -> RabbitMq:
    if not (PROGRAMS / "rabbitmq-server").exists():
        raise DependencyDown(MISSING)
    account = _account()
    home = directory / name
    home.mkdir(parents=True)
    port, dist_port, epmd_port = (str(port) for port in _free_ports(3))
    password = secrets.token_hex(16)
    config = _CONFIG.format(host=LOOPBACK, port=port, user=USER, password=password)
    (home / "rabbitmq.conf").write_text(config)
    (home / "plugins").write_text("[].\n")
    (home / ".erlang.cookie").write_text(secrets.token_hex(16))
    for private in (".erlang.cookie", "rabbitmq.conf"):
        (home / private).chmod(0o600)
    if account:
        directory.chmod(directory.stat().st_mode | 0o011)  # the way to its own directory
        for path in (home, *home.iterdir()):
            shutil.chown(path, account, account)
    home.chmod(0o700)
    environ = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "ERL_EPMD_PORT": epmd_port,
        "RABBITMQ_NODENAME": f"miaosha-{port}@localhost",
        "RABBITMQ_NODE_PORT": port,
        "RABBITMQ_DIST_PORT": dist_port,
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",  # nothing of the system's own server
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RUNNING_UNDER_SYSTEMD": "true",  # the start script becomes the server: one pid
    }
    return RabbitMq(home, int(port), password, environ, account)


def _account() -> str | None:
    """The system user to become; None if we are nobody special ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(ACCOUNT).pw_name
    except KeyError:
        raise DependencyDown(f"no system user {ACCOUNT}, whom its package makes") from None


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise DependencyDown(MISSING)
    return found


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


async def _greets(port: int) -> bool:
    """Does the server answer the protocol's greeting with its own?"""
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    try:
        writer.write(b"AMQP\x00\x00\x09\x01")
        async with asyncio.timeout(2):
            return (await reader.readexactly(1)) == b"\x01"
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    finally:
        writer.close()


async def _end(process: "subprocess.Popen[bytes] | None", sig: int) -> None:
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGCONT)  # one that was paused must be able to end
    process.send_signal(sig)
    deadline = asyncio.get_running_loop().time() + STOP_S
    while process.poll() is None:
        if asyncio.get_running_loop().time() > deadline:
            process.kill()
        await asyncio.sleep(0.02)
