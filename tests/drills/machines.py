"""Sets of roles ("machines") that share the servers of a production deployment, and a mail server.

A machine is a `miaosha up` with a loopback address and a data directory of its own.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import SMTP, Envelope, Session

from miaosha.adapters.keyring import generate
from miaosha.settings import Settings, load
from miaosha.supervisor.servers.full_stack import FullStack, full_stack
from tests.kit.running import START_S, Up, environ, free_port, starting
from tests.kit.waits import until

HOSTS = ("127.0.0.2", "127.0.0.3")


class MailServer:
    """An SMTP server that may be away. `taken` counts what it has accepted."""

    def __init__(self) -> None:
        self.port = free_port()
        self.taken = 0
        self._server: asyncio.AbstractServer | None = None

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it so
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.taken += 1
        return "250 OK"

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        controller = UnthreadedController(self, hostname="127.0.0.1", port=self.port, loop=loop)
        self._server = await controller._create_server()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None


@dataclass
class Shared:
    """What all machines share: the servers, and what they are told of them (MIAOSHA_…)."""

    stack: FullStack
    mail: MailServer
    settings: dict[str, str]

    def opened(self) -> Settings:
        """For what a test opens itself on the same servers."""
        told = environ(**self.settings)
        return load({name: text for name, text in told.items() if name.startswith("MIAOSHA_")})


@asynccontextmanager
async def shared_servers(home: Path) -> AsyncIterator[Shared]:
    """RabbitMQ, a Redis cluster, MariaDB with a replica, mail; stopped at the end."""
    mail = MailServer()
    files = home / "files"
    files.mkdir()
    home.chmod(0o711)  # noqa: ASYNC240 - the servers' users must get to their directories
    async with full_stack(home / "servers") as stack:
        settings = {
            **stack.urls,
            "mail_url": f"smtp://127.0.0.1:{mail.port}",
            "files_url": f"file:{files}",
            "secret_keys": generate(),
            "payment_max_s": "15",
            "audit_interval_s": "5",
        }
        await mail.start()
        try:
            yield Shared(stack, mail, settings)
        finally:
            await mail.stop()


@asynccontextmanager
async def machines(home: Path, shared: Shared, count: int = 2) -> AsyncIterator[list[Up]]:
    """`count` sets of roles on the same servers, all ready."""
    with ExitStack() as stack:
        ups = []
        for number, host in enumerate(HOSTS[:count]):
            place = home / f"machine-{number}"
            place.mkdir()
            ups.append(stack.enter_context(starting(place, settings=shared.settings, host=host)))
        for up in ups:
            await until(partial(asyncio.to_thread, up.ready), START_S, what=f"{up.host} ready")
        yield ups
