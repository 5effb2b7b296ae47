"""Private gateways: a Valkey, gateways on loopback ports and a sample sale, for a rehearsal.

There is no SQL and no publisher. The sale is put on the board as the scheduler would, and changed
as an admin would. Results go over the bus as a consumer sends them.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from miaosha.adapters.clock import StoreClock
from miaosha.adapters.redis.bus import RedisBus
from miaosha.adapters.redis.connect import connect
from miaosha.adapters.redis.heartbeats import RedisHeartbeats
from miaosha.adapters.redis.store import RedisStore
from miaosha.domain.errors import SettingsError
from miaosha.domain.messages import Result, Results, SaleChanged
from miaosha.domain.money import Money
from miaosha.domain.reservation import State
from miaosha.domain.sale import Mode, Phase, ProductView, Sale, view
from miaosha.settings import Settings, environ_of
from miaosha.supervisor import data_directory
from miaosha.supervisor.child_spec import Health, Spec, StartFailed
from miaosha.supervisor.children import Child
from miaosha.supervisor.health_probes import Beats
from miaosha.supervisor.process_plan import stop_within_s
from miaosha.supervisor.servers.packaged_server import is_free
from miaosha.supervisor.servers.valkey import start_valkey
from miaosha.supervisor.watches import Tell

SALE_ID: Final = 1
READY_WITHIN_S: Final = 120.0
FAR_MS: Final = 86_400_000
TROUBLE: Final = (  # counters of a gateway that are 0 as long as all is well
    "sockets_refused",
    "sockets_slow_dropped",
    "sockets_ping_timeout",
    "sockets_token_expired",
    "sockets_rate_limited",
    "sockets_protocol_error",
    "connects_refused",
)


class PrivateGateways:
    """The running set. `sale` is what stands on the board."""

    def __init__(
        self,
        settings: Settings,
        targets: Sequence[str],
        store: RedisStore,
        heartbeats: RedisHeartbeats,
    ) -> None:
        self.settings = settings
        self.targets = list(targets)
        self.children: list[Child] = []
        self.bus = RedisBus(settings.redis_url)
        self._store = store
        self._heartbeats = heartbeats
        self.clock = StoreClock(store.now_ms)
        self.sale: Sale | None = None

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self.children if child.pid]

    @property
    def restarts(self) -> int:
        return sum(child.restarts for child in self.children)

    async def show(self, phase: Phase) -> str:
        """Put the sale on the board so that it reads `phase` from now on, and tell everybody.
        Returns what the event then contains."""
        now_ms = self.clock.now_ms()
        sale = self.sale or sample(now_ms)
        stored = Phase.PAUSED if phase is Phase.PAUSED else Phase.SCHEDULED
        opens_at_ms = now_ms + FAR_MS if phase is Phase.SCHEDULED else min(now_ms, sale.opens_at_ms)
        sale = msgspec.structs.replace(sale, phase=stored, opens_at_ms=opens_at_ms)
        self.sale = sale
        await self._store.write_sales([sale])
        await self.bus.publish(SaleChanged(view(sale, now_ms, sold_out=False, watching=0)))
        return f'"phase":"{phase.value}"'

    async def counted(self) -> dict[str, int]:
        """Sockets refused, closed and dropped, by the gateways' counters. Raises DependencyDown."""
        total: dict[str, int] = {}
        for beat in await self._heartbeats.alive():
            for name in TROUBLE:
                if number := int(beat.counters.get(name, 0)):
                    total[name] = total.get(name, 0) + number
        return total

    async def tell(self, user_ids: Sequence[int]) -> None:
        """A result for each of these users, which says when it was sent."""
        await self.bus.publish(
            Results(
                [
                    Result(
                        SALE_ID, user, f"sent-{int(time.monotonic() * 1e6)}.0", State.SOLD_OUT, 0
                    )
                    for user in user_ids
                ]
            )
        )


def sample(now_ms: int) -> Sale:
    """A sale that opens tomorrow."""
    return Sale(
        id=SALE_ID,
        title="A rehearsal",
        mode=Mode.FIFO,
        phase=Phase.SCHEDULED,
        product=ProductView(1, "A lamp", "It glows.", "/files/lamp.png", Money(9_900, "EUR")),
        price=Money(100, "EUR"),
        stock=1_000,
        opens_at_ms=now_ms + FAR_MS,
        closes_at_ms=now_ms + 7 * FAR_MS,
        pay_within_s=600,
        standby_pay_within_s=600,
        standby_limit=10_000,
        questions=[],
    )


@contextlib.asynccontextmanager
async def private_gateways(
    directory: Path, listen: str, gateways: int, tell: Tell, settings: Settings
) -> AsyncIterator[PrivateGateways]:
    """Start a Valkey and the gateways, on consecutive ports from `listen` (host:port).

    Raises:
        StartFailed, DependencyDown, SettingsError: a port cannot be had.
    """
    targets = free_targets(listen, gateways)
    valkey = await start_valkey(directory, "store", extra=("--appendonly", "no"))
    try:
        keys = data_directory.secret_keys(directory)
        settings = msgspec.structs.replace(settings, redis_url=valkey.url, secret_keys=keys)
        client = connect(settings.redis_url)
        heartbeats = RedisHeartbeats(client)
        running = PrivateGateways(settings, targets, RedisStore(client), heartbeats)
        await running.clock.start()
        try:
            await running.show(Phase.SCHEDULED)
            beats = Beats(heartbeats)
            await _start(running, beats, directory, tell)
            yield running
        finally:
            await asyncio.gather(*(child.stop() for child in running.children))
            await running.clock.stop()
            await running.bus.close()
            await client.aclose()
    finally:
        await valkey.stop()


async def _start(running: PrivateGateways, beats: Beats, directory: Path, tell: Tell) -> None:
    environ = environ_of(running.settings)
    within_s = stop_within_s("gateway", running.settings)
    for number, target in enumerate(running.targets):
        name = f"gateway-{number}"
        argv = [sys.executable, "-m", "miaosha.gateway", "--listen", target]
        argv += ["--instance", str(number), "--die-with-parent", str(os.getpid())]
        log = directory / f"{name}.log"
        spec = Spec(name, argv, beats.seen, environ=environ, log=log, stop_within_s=within_s)
        running.children.append(Child(spec, tell))
    for child in running.children:
        await child.start()
    deadline = time.monotonic() + READY_WITHIN_S
    while waiting := [c for c in running.children if c.health is not Health.READY]:
        child = max(waiting, key=lambda child: child.restarts)
        if child.gave_up is not None or child.restarts > 1 or time.monotonic() > deadline:
            raise StartFailed(f"{child.spec.name} does not start{child.last_words()}")
        await asyncio.sleep(0.05)


def free_targets(listen: str, number: int) -> list[str]:
    """So many free addresses from `listen` on. Raises SettingsError."""
    host, _, first = listen.rpartition(":")
    low, high = _ephemeral()
    found: list[str] = []
    port = int(first) if first.isdigit() else 0
    while 0 < port < 65_536 and len(found) < number:
        if not low <= port <= high and is_free(host, port):
            found.append(f"{host}:{port}")
        port += 1
    if len(found) < number:
        raise SettingsError(
            f"--listen {listen}: expected host:port with {number} free ports from there on, "
            f"outside {low}-{high}, where connections take their own"
        )
    return found


def _ephemeral() -> tuple[int, int]:
    low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("utf-8").split()
    return int(low), int(high)
