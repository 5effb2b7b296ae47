"""Leader: leads a rehearsal of sockets, against private gateways or an existing deployment."""

import asyncio
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import msgspec

from miaosha.adapters.clock import StoreClock
from miaosha.domain.errors import SettingsError
from miaosha.domain.urls import origin_of
from miaosha.settings import Settings
from miaosha.supervisor.machine import capacity, fit
from miaosha.supervisor.machine.capacity import Machine
from miaosha.supervisor.machine.demands import free_bytes, of_rehearsal
from miaosha.supervisor.machine.kernel import Kernel
from miaosha.supervisor.machine.machine_limits import Demand
from miaosha.supervisor.machine.usage import Used, available_bytes, used
from miaosha.supervisor.run_directory import socket_place
from miaosha.supervisor.watches import Tell
from miaosha.trials.rehearsal import client_processes
from miaosha.trials.rehearsal.client_processes import ClientProcesses
from miaosha.trials.rehearsal.client_protocol import ClientPlan
from miaosha.trials.rehearsal.outcome import RehearsalOutcome
from miaosha.trials.rehearsal.private_gateways import SALE_ID, PrivateGateways, private_gateways
from miaosha.trials.rehearsal.steps import Rehearsal, Show

SETTLE_S: Final = 1.5  # after their start gateways have given back what importing took
PING_TIMEOUT_S: Final = 20.0
FIRST_USER: Final = 10**12  # far above every account


@dataclass(frozen=True)
class RehearsalOptions:
    """A rehearsal as asked for.

    Attributes:
        ramp_per_s: sockets opened a second, all together; 0: as fast as possible.
        hold_s: seconds of nothing but heartbeats.
        storm: sockets that are cut off at once at the end; 0: none.
        url: of a deployment to drive; empty: start a private set.
        listen: where the private set's first gateway listens.
        gateways: processes of the private set; 0: as many as the machine and the sockets need.
        sale_id: what to watch at `url`.
        watch_apart: sockets ask for it by an event of its own, not in their CONNECT.
    """

    connections: int
    ramp_per_s: float = 0.0
    hold_s: float = 30.0
    storm: int = 0
    url: str = ""
    listen: str = "127.0.0.1:20100"
    gateways: int = 0
    ping_interval_s: float = 25.0
    sale_id: int = 1
    watch_apart: bool = False
    secret_keys: str = ""


class RehearsalStart(NamedTuple):
    """The machine as it began, what is wanted of it, and what slows it."""

    kernel: Kernel
    machine: Machine
    demand: Demand
    remarks: list[str]


async def rehearse(
    options: RehearsalOptions, show: Show, note: Tell, kernel: Kernel | None = None
) -> RehearsalOutcome:
    """The whole of it.

    Args:
        show: what is going on. note: what is worth a line of its own.
        kernel: where the limits of the machine are read.

    Raises:
        SettingsError: the machine cannot do it; says what to change.
        StartFailed, DependencyDown: the private set did not come up.
    """
    kernel = kernel or Kernel()
    sources = capacity.sources(options.connections)
    with TemporaryDirectory(prefix="miaosha-rehearsal-", dir=socket_place()) as name:
        directory = Path(name)
        if options.url:
            target, plan = _elsewhere(options)
            sources = sources if target.startswith("127.") else []
            begun = _begin(kernel, options, 0, sources, directory, note)
            return await _lead(options, plan, sources, None, directory, show, begun)
        count = options.gateways or capacity.this_machine(kernel).gateways(options.connections)
        begun = _begin(kernel, options, count, sources, directory, note)
        settings = gateway_settings(options)
        async with private_gateways(directory, options.listen, count, note, settings) as running:
            plan = _plan(options, running.targets, "127.0.0.1")
            return await _lead(options, plan, sources, running, directory, show, begun)


def _begin(
    kernel: Kernel,
    options: RehearsalOptions,
    gateways: int,
    sources: list[str],
    place: Path,
    note: Tell,
) -> RehearsalStart:
    """Whether this machine can do it; what slows it is told. Raises SettingsError."""
    here = capacity.this_machine(kernel)
    demand = of_rehearsal(
        here,
        options.connections,
        gateways=gateways,
        sources=len(sources),
        storm=min(options.storm, options.connections),
        disk_free=free_bytes(place),
    )
    remarks = fit.check(here, demand)
    for remark in remarks:
        note(remark)
    return RehearsalStart(kernel, here, demand, remarks)


def gateway_settings(options: RehearsalOptions) -> Settings:
    """Of the private gateways: caps that would stop a crowd from one machine are off."""
    return Settings(
        connections_max=capacity.PER_PROCESS_MAX + capacity.TRIAL_DESCRIPTORS_KEPT // 2,
        sockets_max=options.connections,
        sockets_per_ip_max=0,
        accept_rate_per_s=0,
        ping_interval_ms=round(options.ping_interval_s * 1000),
        ping_timeout_ms=round(min(options.ping_interval_s, PING_TIMEOUT_S) * 1000),
        log_level="warning",
    )


def _plan(
    options: RehearsalOptions, targets: list[str], host: str, *, tls: bool = False
) -> ClientPlan:
    return ClientPlan(
        first=0,
        connections=options.connections,
        rate_per_s=options.ramp_per_s,
        targets=targets,
        sources=[],
        host=host,
        sale_id=SALE_ID,
        watch_apart=options.watch_apart,
        tls=tls,
    )


def _elsewhere(options: RehearsalOptions) -> tuple[str, ClientPlan]:
    """The address to connect to, and the plan. Raises SettingsError for a bad URL."""
    try:
        url = urllib.parse.urlsplit(origin_of(options.url))
    except ValueError as error:
        raise SettingsError(
            f"--url {options.url}: expected http://host:port or https://host, not one {error}"
        ) from None
    assert url.hostname
    tls = url.scheme == "https"
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    target = f"{host}:{url.port or (443 if tls else 80)}"
    plan = _plan(options, [target], url.netloc, tls=tls)
    return target, msgspec.structs.replace(plan, sale_id=options.sale_id)


async def _lead(
    options: RehearsalOptions,
    plan: ClientPlan,
    sources: list[str],
    running: PrivateGateways | None,
    directory: Path,
    show: Show,
    begun: RehearsalStart,
) -> RehearsalOutcome:
    keys = running.settings.secret_keys if running else options.secret_keys
    plan = msgspec.structs.replace(
        plan,
        sources=sources,
        secret_keys=keys,
        first_user=FIRST_USER,
        issued_s=StoreClock().now_ms() // 1000,
    )
    plans = client_processes.plans(plan, begun.machine.per_process)
    outcome = RehearsalOutcome(
        connections=options.connections,
        gateways=len(running.targets) if running else 0,
        client_processes=len(plans),
        ping_interval_s=options.ping_interval_s if running else 0.0,
        ping_timeout_s=running.settings.ping_timeout_ms / 1000 if running else 0.0,
        notes=list(begun.remarks),
    )
    await asyncio.sleep(SETTLE_S if running else 0)
    empty = used(running.pids) if running else Used(0.0, 0)
    async with _clients(directory) as clients:
        rehearsal = Rehearsal(clients, outcome, running, FIRST_USER if keys else 0, show)
        await clients.start(plans)
        began = await clients.go()
        free_memory = available_bytes()
        connecting = rehearsal.connect(began, empty, free_memory, options.ramp_per_s)
        await rehearsal.step("connecting", connecting)
        if outcome.unfinished:  # what follows would measure the standstill
            await rehearsal.step("counting", rehearsal.count())
            outcome.notes += _stopped_by(begun, outcome)
            return outcome
        await rehearsal.step("holding", rehearsal.hold(options.hold_s))
        if running:
            await rehearsal.step("broadcasts", rehearsal.broadcasts())
        if options.storm:
            storm = rehearsal.storm(min(options.storm, options.connections))
            await rehearsal.step("storm", storm)
        await rehearsal.step("counting", rehearsal.count())
    return outcome


def _stopped_by(begun: RehearsalStart, outcome: RehearsalOutcome) -> list[str]:
    """What a ramp that stands still ran into."""
    now = capacity.this_machine(begun.kernel)
    reasons = fit.ran_into(begun.machine, now, begun.demand, outcome.clients.failed)
    return [f"it ran into {reason}" for reason in reasons] or [
        "no limit of this machine that is known here was reached; look at the other end"
    ]


@asynccontextmanager
async def _clients(directory: Path) -> AsyncIterator[ClientProcesses]:
    clients = ClientProcesses(directory)
    try:
        yield clients
    finally:
        await clients.stop()
