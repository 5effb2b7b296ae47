"""Valkey cluster: three masters, each with a replica, private on loopback.

Our own client forms the cluster, since the wheel has no valkey-cli. Its ports and password are kept
beside the nodes' files, so that a start in the same directory finds the same cluster. The nodes die
with this process and are stopped by their own pids.
"""

import asyncio
import secrets
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from redis import exceptions
from redis.asyncio import Redis
from redis.crc import key_slot

from miaosha.adapters.whole_files import write_whole
from miaosha.domain.errors import DependencyDown
from miaosha.supervisor.servers import valkey_forming as forming
from miaosha.supervisor.servers.packaged_server import LOOPBACK, PORTS, free_ports, is_free
from miaosha.supervisor.servers.valkey import Valkey, answers, start_valkey, valkey_command

MASTERS: Final = 3
REPLICAS: Final = 1  # of each master
BUS_OFFSET: Final = 10_000  # a node's cluster bus listens on its port + this
FORM_S: Final = 180.0  # the nodes have this long to read their files and agree on who has what
ASK_S: Final = 5.0  # one command to one node
PASSWORD_FILE: Final = "secret.conf"  # noqa: S105 - its name; command lines can be read by all
NOBODY, SILENT = 0, -1  # instead of a port
NODE_TIMEOUT_MS: Final = 5_000  # silent for this long a node is held for dead


class _Kept(msgspec.Struct):
    """`cluster.json`: what must be the same at the next start. `formed`: the slots are given out
    and the nodes know it (in their own nodes.conf)."""

    ports: list[int]
    masters: int
    password: str
    formed: bool = False


@dataclass(frozen=True)
class NodeCommand:
    """How a supervisor runs one node. `ready` ignores its argument (a pid)."""

    name: str
    args: Sequence[str]
    socket: Path
    ready: Callable[[int], Awaitable[bool]]


class ValkeyCluster:
    """See the module. Built by `ValkeyCluster.prepare`; nothing runs before `start`.

    Attributes:
        nodes: running or stopped servers, by number; `nodes[i].stop(SIGKILL)` is a crash and
            `nodes[i].start_again()` brings that node back on its files and port.
        ports: of each node.
    """

    def __init__(self, directory: Path, kept: _Kept, run_directory: Path, options: list[str]):
        self.nodes: list[Valkey] = []
        self.ports = kept.ports
        self._directory = directory
        self._kept = kept
        self._run = run_directory
        self._options = options

    @classmethod
    def prepare(
        cls,
        directory: Path,
        *,
        run_directory: Path | None = None,
        masters: int = MASTERS,
        replicas: int = REPLICAS,
        node_timeout_ms: int = NODE_TIMEOUT_MS,
        password: bool = False,
        extra: Sequence[str] = (),
    ) -> "ValkeyCluster":
        """The cluster that `directory` holds, or a new one. Starts nothing.

        Args:
            run_directory: where unix sockets go (their paths have at most 108 bytes).
            masters, replicas, password: of a new cluster; one that is there stays as it is.
            node_timeout_ms: a node silent for this long has failed, and its replica takes over.
            extra: more options of every server, e.g. ("--maxmemory", "50mb").
        """
        directory.mkdir(parents=True, exist_ok=True)
        kept = _read(directory) or _Kept(
            free_ports(masters * (1 + replicas), _free),
            masters,
            secrets.token_hex(16) if password else "",
        )
        if not kept.formed:  # what a start left that was cut short
            for i in range(len(kept.ports)):
                shutil.rmtree(directory / _name(i), ignore_errors=True)
        if not all(_free(port) for port in kept.ports):
            kept.ports = free_ports(len(kept.ports), _free)
        options = ["--bind", LOOPBACK, "--cluster-enabled", "yes", "--cluster-announce-ip"]
        options += [LOOPBACK, "--cluster-config-file", "nodes.conf", "--cluster-node-timeout"]
        # A lost range of slots stops the sales in it, and no other.
        options += [str(node_timeout_ms), "--cluster-require-full-coverage", "no"]
        options += ["--repl-diskless-sync-delay", "0"]
        cluster = cls(directory, kept, run_directory or directory, [*options, *extra])
        cluster._write()
        return cluster

    @property
    def url(self) -> str:
        """What MIAOSHA_REDIS_URL takes; it holds the password, if there is one."""
        login = f":{self._kept.password}@" if self._kept.password else ""
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in self.ports)
        return f"redis+cluster://{login}{hosts}"

    def commands(self) -> list[NodeCommand]:
        """The nodes as commands, for a supervisor that starts and restarts them itself. Once they
        are ready, `form` makes them a cluster."""
        found = []
        for i in range(len(self.ports)):
            args, path = valkey_command(
                self._directory, _name(i), run_directory=self._run, extra=self._extra(i)
            )
            found.append(NodeCommand(_name(i), args, path, _ready(path)))
        return found

    async def start(self) -> None:
        """Start all nodes at once and make them a cluster; or, after `stop`, start them again.

        Raises:
            DependencyDown: a node did not start, or they did not agree within `FORM_S`.
        """
        if self.nodes:
            await asyncio.gather(*(node.start_again() for node in self.nodes))
        else:
            starts = [
                start_valkey(
                    self._directory, _name(i), run_directory=self._run, extra=self._extra(i)
                )
                for i in range(len(self.ports))
            ]
            started = await asyncio.gather(*starts, return_exceptions=True)
            self.nodes = [node for node in started if isinstance(node, Valkey)]
            for failure in started:
                if isinstance(failure, BaseException):
                    await self.stop()
                    raise failure
        try:
            await self.form()
        except BaseException:
            await self.stop()
            raise

    async def stop(self, sig: int = signal.SIGTERM) -> None:
        """End every node (SIGTERM: in order, its AOF flushed; SIGKILL: as a crash)."""
        await asyncio.gather(*(node.stop(sig) for node in self.nodes))

    async def form(self) -> None:
        """Make the running nodes a cluster; one that was formed before finds itself again. Returns
        when every slot is served and every replica follows its master.

        Raises:
            DependencyDown: not within `FORM_S`.
        """
        try:
            async with asyncio.timeout(FORM_S), AsyncExitStack() as stack:
                clients = [
                    await stack.enter_async_context(self.client(i)) for i in range(len(self.ports))
                ]
                await forming.form(
                    clients, self.ports, self._kept.masters, new=not self._kept.formed
                )
        except TimeoutError:
            raise DependencyDown(f"the cluster did not form within {FORM_S:g} s") from None
        except exceptions.RedisError as error:
            raise DependencyDown(f"the cluster did not form: {error}") from error
        self._kept.formed = True
        self._write()

    @asynccontextmanager
    async def client(self, node: int) -> AsyncIterator[Any]:
        """A client of one node alone: it follows no redirection."""
        client: Any = Redis(
            unix_socket_path=str(self._run / f"{_name(node)}.sock"),
            password=self._kept.password or None,
            protocol=2,
            socket_timeout=ASK_S,
        )
        try:
            yield client
        finally:
            await client.aclose()

    async def owner(self, key: str) -> int:
        """The number of the master that serves `key`, as most living nodes see it.

        Raises:
            DependencyDown: no node answers, or most say that nobody does.
        """
        seen = Counter([await self._owner_seen(i, key) for i in range(len(self.ports))])
        del seen[SILENT]
        port = seen.most_common(1)[0][0] if seen else NOBODY
        if port == NOBODY:
            raise DependencyDown("nobody serves it")
        return self.ports.index(port)

    async def _owner_seen(self, node: int, key: str) -> int:
        """The owner's port, or NOBODY, or SILENT for a node that does not answer."""
        slot = key_slot(key.encode())
        try:
            async with self.client(node) as client:
                ranges = await client.execute_command("CLUSTER", "SLOTS")
        except (exceptions.RedisError, OSError):
            return SILENT
        found = (int(m[1]) for first, last, m, *_ in ranges if first <= slot <= last)
        return next(found, NOBODY)

    def _extra(self, i: int) -> tuple[str, ...]:
        # Seen from the node's own directory. In a whole path *, ? and [ would be a pattern, and
        # a pattern without a match is no error: the nodes would ask nobody for a password.
        password = ["--include", f"../{PASSWORD_FILE}"] if self._kept.password else []
        return ("--port", str(self.ports[i]), *self._options, *password)

    def _write(self) -> None:
        write_whole(self._directory / "cluster.json", msgspec.json.encode(self._kept))
        if password := self._kept.password:  # in a file: command lines can be read by everybody
            secret = f"requirepass {password}\nmasterauth {password}\n"
            write_whole(self._directory / PASSWORD_FILE, secret.encode())


def _name(number: int) -> str:
    return f"n{number}"


def _ready(path: Path) -> Callable[[int], Awaitable[bool]]:
    return lambda pid: answers(path)


def _read(directory: Path) -> _Kept | None:
    try:
        return msgspec.json.decode((directory / "cluster.json").read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return None


def _free(port: int) -> bool:
    """With the port of its bus."""
    bus = port + BUS_OFFSET
    return bus in PORTS and is_free(LOOPBACK, port) and is_free(LOOPBACK, bus)
