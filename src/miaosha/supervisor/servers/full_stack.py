"""Full stack: private servers as in production: RabbitMQ, a Valkey cluster, MariaDB, its replica.

They listen on free loopback ports; their passwords lie in files that nobody else can read.
`full_stack` yields them as handles to stop, kill and hang. `run_by` lets a supervisor run them.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from miaosha.adapters.whole_files import first_text
from miaosha.domain.errors import DependencyDown
from miaosha.supervisor.child_spec import Spec
from miaosha.supervisor.health_probes import working
from miaosha.supervisor.servers import mariadb, rabbitmq
from miaosha.supervisor.servers.packaged_server import STOP_S, PackagedServer
from miaosha.supervisor.servers.rabbitmq import RabbitMq
from miaosha.supervisor.servers.sql_server import SqlServer
from miaosha.supervisor.servers.valkey import speaks
from miaosha.supervisor.servers.valkey_cluster import NodeCommand, ValkeyCluster

URLS: Final = ("redis_url", "broker_url", "database_url", "database_replica_url")
STORE: Final = "store"
VALKEY_STOP_S: Final = 10.0
PACKAGES: Final = {
    "rabbitmq-server": rabbitmq.installed,
    "mariadb-server": mariadb.installed,
}

Start = Callable[[list[Spec]], Coroutine[Any, Any, None]]


class Stack(StrEnum):
    """What a platform on one machine runs on."""

    EMBEDDED = "embedded"
    FULL = "full"


@dataclass(frozen=True)
class FullStack:
    """The prepared servers. `cluster.nodes` and every server's `process` exist after `start`."""

    home: Path
    cluster: ValkeyCluster
    rabbitmq: RabbitMq
    mariadb: SqlServer
    replica: SqlServer

    @property
    def urls(self) -> dict[str, str]:
        """The settings that lead to them; with passwords."""
        return {
            "redis_url": self.cluster.url,
            "broker_url": self.rabbitmq.url,
            "database_url": self.mariadb.url,
            "database_replica_url": self.replica.url,
        }

    async def start(self) -> None:
        """Start them all, at once. Raises DependencyDown; then `stop` all the same."""
        await together(
            self.rabbitmq.start(), self.cluster.start(), self.mariadb.start(), self.replica.start()
        )

    async def stop(self) -> None:
        """End in order what runs."""
        await asyncio.gather(
            self.rabbitmq.stop(), self.cluster.stop(), self.mariadb.stop(), self.replica.stop()
        )

    async def run_by(self, start: Start) -> None:
        """Have `start` start everything, what can at the same time; returns when all is ready.

        Args:
            start: starts these Specs, keeps them running, and returns when they are ready.
        """
        # Without its epmd RabbitMQ would give up at once.
        await start([_spec("epmd", self.rabbitmq.epmd, watched=False)])
        await together(
            start([_spec("rabbitmq", self.rabbitmq)]),
            self._cluster_by(start),
            self._databases_by(start),
        )

    async def _cluster_by(self, start: Start) -> None:
        nodes = enumerate(self.cluster.commands())
        await start([_node(i, node, self.home / STORE / node.name) for i, node in nodes])
        await self.cluster.form()

    async def _databases_by(self, start: Start) -> None:
        await together(self.mariadb.make(), self.replica.make())
        await start([_spec("mariadb", self.mariadb), _spec("mariadb-replica", self.replica)])


def prepare(directory: Path, run_directory: Path | None = None) -> FullStack:
    """The servers whose files are in `directory`, new or of an earlier start; nothing runs yet.

    Args:
        run_directory: for unix sockets (paths of at most 108 bytes); default: `directory`.

    Raises:
        DependencyDown: a package is missing; says which.
        SettingsError: the servers' system users cannot reach `directory`.
    """
    if missing := [name for name, there in PACKAGES.items() if not there()]:
        raise DependencyDown(
            f"the full stack needs packages this machine lacks. On Debian or Ubuntu: "
            f"apt install {' '.join(missing)} (what they start by themselves may be stopped)"
        )
    directory.mkdir(parents=True, exist_ok=True)
    # Of RabbitMQ and the databases: kept, for they know it from their first start on.
    password = first_text(directory / "password", secrets.token_hex(16))
    primary = mariadb.prepare_mariadb(directory, password=password)
    return FullStack(
        directory,
        ValkeyCluster.prepare(directory / STORE, run_directory=run_directory, password=True),
        rabbitmq.prepare_rabbitmq(directory, password=password),
        primary,
        mariadb.prepare_mariadb_replica(directory, primary),
    )


@asynccontextmanager
async def full_stack(
    directory: Path, run_directory: Path | None = None
) -> AsyncIterator[FullStack]:
    """The servers, running for the length of a block. Arguments and errors: see `prepare`."""
    stack = prepare(directory, run_directory)
    try:
        await stack.start()
        yield stack
    finally:
        await stack.stop()


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Do all of it at once; the first failure cancels the rest, and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


def _spec(name: str, server: PackagedServer, *, watched: bool = True) -> Spec:
    """`watched`: it is killed when it hangs. Not epmd, which may well do nothing for a minute."""

    async def ready(_pid: int) -> bool:
        return await server.ready()

    return Spec(
        name,
        server.command(),
        ready,
        environ=server.environ or {},
        inherits=server.environ is None,
        stop_signal=server.stop_signal,
        stop_within_s=STOP_S,
        log=server.log,
        cwd=server.home,
        alive=working(ready) if watched else None,
    )


def _node(number: int, node: NodeCommand, home: Path) -> Spec:
    return Spec(
        f"store-{number}",
        node.args,
        node.ready,
        stop_within_s=VALKEY_STOP_S,
        log=home / "server.log",
        cwd=home,
        alive=working(lambda _pid: speaks(node.socket)),
        socket=node.socket,
    )
