"""Stack: the platform, started privately in a temporary directory, as `miaosha up` starts it."""

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from bench.sale_rows import SaleRows, books
from bench.servers import Servers, servers
from bench.usage import used
from miaosha import bootstrap
from miaosha.bootstrap.auditing import open_auditor
from miaosha.domain.sale import Sale
from miaosha.settings import Settings, load
from miaosha.supervisor.machine.usage import Used
from miaosha.supervisor.run_directory import socket_place
from miaosha.supervisor.servers.packaged_server import free_ports
from miaosha.supervisor.up import Platform, platform
from miaosha.trials import sample_sale
from miaosha.trials.crowd.http_client import Http
from miaosha.usecases.audit import Verdict

POLL_S = 0.02
DRAINED_WITHIN_S = 120.0
QUIET_WITHIN_S = 60.0
BEATS_S = 1.3  # after this every role has told what it counted until now
OPEN_FOR_S = 3_600
SETTLED_S = 5.0  # RabbitMQ takes no purchase before a new queue is safely there


class Stack:
    """A running platform, and what a scenario asks of it."""

    def __init__(
        self, running: Platform, parts: bootstrap.ApiParts, shelf: SaleRows, beside: Servers
    ) -> None:
        self.running = running
        self.parts = parts
        self.books = shelf
        self._beside = beside
        self.first_user = 0
        self._admin: sample_sale.Login | None = None

    @property
    def settings(self) -> Settings:
        return self.running.settings

    def targets(self, role: str = "publisher") -> tuple[str, ...]:
        """The unix sockets of this role's processes."""
        names = [c.spec.name for c in self.running.children if c.spec.role == role]
        return tuple(f"unix:{self.running.places.socket(name)}" for name in names)

    @property
    def edge(self) -> str:
        return f"127.0.0.1:{self.settings.port}"

    def pids(self) -> dict[str, int]:
        return {
            **self._beside.pids,
            **{child.spec.name: child.pid for child in self.running.children},
        }

    def used(self) -> dict[str, Used]:
        return used(self.pids())

    async def admin(self) -> sample_sale.Login:
        if self._admin is None:
            self._admin, _ = await sample_sale.logins(self.parts)
        return self._admin

    async def sale(
        self, stock: int, standby_limit: int, opens_in_s: float, pay_within_s: int = 3_600
    ) -> Sale:
        """A published sale, made through the edge as an admin would."""
        if self.settings.broker_url.startswith("amqp"):
            opens_in_s = max(opens_in_s, SETTLED_S)
        made = await sample_sale.create_sale(
            "127.0.0.1",
            self.settings.port,
            await self.admin(),
            stock=stock,
            opens_in_s=opens_in_s,
            open_for_s=OPEN_FOR_S,
            pay_within_s=pay_within_s,
            standby_limit=standby_limit,
        )
        sale = await self.parts.catalogue.sale(made.sale_id)
        assert sale is not None
        return sale

    def opening(self, sale: Sale) -> float:
        """When it opens, as time.monotonic seconds."""
        ahead_ms = sale.opens_at_ms - self.parts.clock.now_ms()
        return time.monotonic() + ahead_ms / 1000

    async def drained(self, sale_id: int) -> float:
        """Waits until every accepted batch is decided; when it was, time.monotonic seconds."""
        async with asyncio.timeout(DRAINED_WITHIN_S):
            while (await self.parts.broker.pressure(sale_id)).backlog:  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
        return time.monotonic()

    async def refuse_reminders(self) -> None:
        """From now on the delay queue takes nothing (RabbitMQ only)."""
        assert self._beside.rabbitmq is not None, "needs STACK=rabbitmq or full"
        policy = ("none", "^reminders", '{"max-length":0}', "--apply-to", "queues")
        await self._beside.rabbitmq.ctl("set_policy", *policy)

    async def quiet(self) -> None:
        """Waits until the mails of what was sold before are sent, so that nobody pays for them
        twice; at most QUIET_WITHIN_S."""
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIET_WITHIN_S):
                while await self.books.mails_waiting():  # noqa: ASYNC110
                    await asyncio.sleep(1.0)

    async def counters(self) -> dict[str, Counter[str]]:
        """What each role counted since its start, summed over its processes."""
        await asyncio.sleep(BEATS_S)
        found: dict[str, Counter[str]] = {}
        for beat in await self.parts.heartbeats.alive():
            found.setdefault(beat.role, Counter()).update(beat.counters)
        return found

    async def audit(self, sale_id: int) -> Verdict:
        settings = self.settings
        opened = open_auditor(settings.redis_url, settings.broker_url, settings.database_url)
        async with opened as auditor:
            return await auditor.audit(sale_id)

    def http(self) -> Http:
        return Http("127.0.0.1", self.settings.port, "127.0.0.1")


@asynccontextmanager
async def stack(buyers: int, kind: str = "embedded", **overrides: Any) -> AsyncIterator[Stack]:
    """Everything started, with so many buyers inserted. `kind`: one of STACKS; `overrides`:
    settings, knowingly raised or turned off."""
    async with AsyncExitStack() as opened:
        place = tempfile.TemporaryDirectory(prefix="miaosha-bench-", dir=socket_place())
        data = Path(opened.enter_context(place))
        beside = await opened.enter_async_context(servers(kind, data))
        settings = load(
            {},
            data_dir=str(data / "data"),
            mail_url=f"file:{data / 'mails'}",
            port=free_ports(1)[0],
            **beside.settings,
            **overrides,
        )
        running = await opened.enter_async_context(
            platform(settings, _tell, asyncio.Event(), logs=True)
        )
        assert running is not None
        parts = await opened.enter_async_context(bootstrap.api(running.settings, "bench"))
        shelf = await opened.enter_async_context(books(running.settings))
        made = Stack(running, parts, shelf, beside)
        made.first_user = await shelf.people(buyers, parts.clock.now_ms())
        yield made


def _tell(text: str) -> None:
    sys.stderr.write(f"  {text}\n")
