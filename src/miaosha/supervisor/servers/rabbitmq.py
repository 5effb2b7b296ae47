"""RabbitMQ: a private server from the system's package.

It has a cookie, a user, a node name and an epmd of its own, so it meets no other node. The epmd
starts before it and ends after it.
"""

import asyncio
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from miaosha.domain.errors import DependencyDown, SettingsError
from miaosha.supervisor.health_probes import heard, port_open
from miaosha.supervisor.servers.packaged_server import (
    LOOPBACK,
    USER,
    PackagedServer,
    account_of,
    find,
    free_ports,
    make_home,
)

ACCOUNT: Final = "rabbitmq"
NODE: Final = "miaosha@localhost"  # always: its files carry the name
PROGRAMS: Final = Path("/usr/lib/rabbitmq/bin")  # the package's own, without its wrapper
EPMD: Final = Path("/usr/bin/epmd")
MISSING: Final = "no RabbitMQ on this machine. On Debian or Ubuntu: apt install rabbitmq-server"
CTL_S: Final = 60.0  # one command of rabbitmqctl

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


@dataclass(kw_only=True)
class RabbitMq(PackagedServer):
    """See Packaged. `url` is what MIAOSHA_BROKER_URL takes; it holds the password."""

    port: int
    password: str
    epmd: PackagedServer

    @property
    def url(self) -> str:
        return f"amqp://{USER}:{self.password}@{LOOPBACK}:{self.port}/"

    async def start(self) -> None:
        """As Packaged; its epmd first, unless that runs."""
        if self.epmd.process is None or self.epmd.process.poll() is not None:
            await self.epmd.start()
        await super().start()

    async def stop(self, sig: int = 0) -> None:
        """As Packaged; its epmd afterwards."""
        await super().stop(sig)
        await self.epmd.stop()

    async def ctl(self, *args: str) -> str:
        """Run `rabbitmqctl` on this node; returns what it printed.

        Raises:
            DependencyDown: it failed; says what it said.
        """
        command = [str(PROGRAMS / "rabbitmqctl"), "-q", *args]
        return await asyncio.to_thread(self.run, command, CTL_S)


def installed() -> bool:
    return find("epmd", EPMD) is not None and (PROGRAMS / "rabbitmq-server").exists()


async def start_rabbitmq(directory: Path, name: str = "rabbitmq") -> RabbitMq:
    """A server with one user and an empty virtual host `/`; its files are in `directory`/`name`.

    Raises:
        DependencyDown: not installed, or it did not start.
    """
    server = await asyncio.to_thread(prepare_rabbitmq, directory, name)
    await server.start()
    return server


def prepare_rabbitmq(directory: Path, name: str = "rabbitmq", password: str = "") -> RabbitMq:
    """The server in `directory`/`name`, new or of an earlier start; nothing runs yet.

    Args:
        password: the one it was made with; a new server may be given any. Empty: made up.

    Raises:
        DependencyDown: not installed.
        SettingsError: see `make_home`; or the path has quotes in it.
    """
    epmd = find("epmd", EPMD)
    if not epmd or not installed():
        raise DependencyDown(MISSING)
    if set("'\"") & set(str(directory.absolute())):
        raise SettingsError(
            f"{directory}: RabbitMQ takes no quotes in the path of its directory; choose another"
        )
    account = account_of(ACCOUNT)
    home = make_home(directory, name, account)
    port, dist_port, epmd_port = free_ports(3)
    environ = _environ(home, port, dist_port, epmd_port)
    server = RabbitMq(
        home=home,
        args=[str(PROGRAMS / "rabbitmq-server")],
        account=account,
        ready=partial(_greets, port),
        environ=environ,
        port=port,
        password=password or secrets.token_hex(16),
        epmd=PackagedServer(
            home=home,
            args=[epmd, "-address", LOOPBACK, "-port", str(epmd_port)],
            account=account,
            ready=partial(port_open, LOOPBACK, epmd_port),
            environ=environ,
            log_name="epmd.log",
        ),
    )
    _write_files(server)
    return server


def _write_files(server: RabbitMq) -> None:
    texts = {
        "rabbitmq.conf": _CONFIG.format(
            host=LOOPBACK, port=server.port, user=USER, password=server.password
        ),
        "plugins": "[].\n",
        ".erlang.cookie": secrets.token_hex(16),
    }
    for name, text in texts.items():
        path = server.home / name
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(text, "utf-8")
        server.own(path)


def _environ(home: Path, port: int, dist_port: int, epmd_port: int) -> Mapping[str, str]:
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "ERL_EPMD_PORT": str(epmd_port),
        "RABBITMQ_NODENAME": NODE,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(dist_port),
        # Without its own epmd no program of the package starts one: it would leave it behind.
        "ERL_FLAGS": "-start_epmd false",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",  # nothing of the system's own server
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RUNNING_UNDER_SYSTEMD": "true",  # the start script becomes the server: one pid
    }


async def _greets(port: int) -> bool:
    """Does the server answer the protocol's greeting with its own?"""
    return await heard((LOOPBACK, port), b"AMQP\x00\x00\x09\x01", bytes_max=1) == b"\x01"
