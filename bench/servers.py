"""The servers a platform is measured on: what it starts itself, or ours beside it.

`embedded`: two Valkeys and SQLite. `rabbitmq`: a private RabbitMQ as the broker, the rest embedded.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from miaosha.supervisor.rabbitmq import start_rabbitmq

STACKS = ("embedded", "rabbitmq")


class Servers(NamedTuple):
    """`settings`: where they are; `pids`: by the role whose processor time theirs counts as."""

    settings: dict[str, str]
    pids: dict[str, int]


@asynccontextmanager
async def servers(kind: str, directory: Path) -> AsyncIterator[Servers]:
    """Started in `directory`, stopped at the end. Raises DependencyDown."""
    if kind == "embedded":
        yield Servers({}, {})
        return
    rabbitmq = await start_rabbitmq(directory)
    try:
        yield Servers({"broker_url": rabbitmq.url}, {"broker-0": rabbitmq.pid})
    finally:
        await rabbitmq.stop()
