"""Servers: what a platform is measured on: what it starts itself, or ours beside it.

`embedded`: two Valkeys and SQLite. `rabbitmq`: a private RabbitMQ as the broker, the rest embedded.
`full`: that, a Redis Cluster of six nodes, and MariaDB with a replica.
"""

import os
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from miaosha.supervisor.servers.full_stack import full_stack
from miaosha.supervisor.servers.rabbitmq import RabbitMq, start_rabbitmq

STACKS = ("embedded", "rabbitmq", "full")


class Servers(NamedTuple):
    """`settings`: where they are; `pids`: by the role whose processor time theirs counts as."""

    settings: dict[str, str]
    pids: dict[str, int]
    rabbitmq: RabbitMq | None = None


@asynccontextmanager
async def servers(kind: str, directory: Path) -> AsyncIterator[Servers]:
    """Started in `directory`, stopped at the end. Raises DependencyDown."""
    if kind == "embedded":
        yield Servers({}, {})
    elif kind == "rabbitmq":
        rabbitmq = await start_rabbitmq(directory)
        try:
            yield Servers({"broker_url": rabbitmq.url}, {"broker-0": rabbitmq.pid}, rabbitmq)
        finally:
            await rabbitmq.stop()
    else:
        async with full_stack(directory) as stack:
            nodes = {f"store-{i}": node.process.pid for i, node in enumerate(stack.cluster.nodes)}
            databases = {"database-0": stack.mariadb.pid, "database-1": stack.replica.pid}
            pids = {"broker-0": stack.rabbitmq.pid, **nodes, **databases}
            yield Servers(stack.urls, pids, stack.rabbitmq)


async def ended(process: Process) -> int:
    """Its exit status, when it has ended; killed with its group if we are cancelled."""
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
