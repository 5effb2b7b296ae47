"""Socket measurement: one server's sockets: connected, counted, told; their time and memory."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from bench.sockets_rows import SocketRow
from miaosha.domain.errors import DependencyDown
from miaosha.supervisor.machine.capacity import sources, this_machine
from miaosha.supervisor.machine.usage import Used, used
from miaosha.trials.rehearsal.client_processes import ClientProcesses, plans
from miaosha.trials.rehearsal.client_protocol import ClientPlan, Said

BROADCASTS = 5
MARKER = '"phase":"'  # in every sale event
QUIET_S = 3.0
WITHIN_S = 180.0


class Subject(NamedTuple):
    """A server to measure. `also`: other processes on the way, by name. `tell` sends one event to
    everybody. `watch_apart`: its clients ask to watch by an event, not in their CONNECT."""

    name: str
    targets: Sequence[str]
    pids: Sequence[int]
    tell: Callable[[], Awaitable[None]]
    also: Mapping[str, Sequence[int]]
    secret_keys: str = ""
    tls: bool = False
    watch_apart: bool = False


async def measure(subject: Subject, connections: int, directory: Path, issued_s: int) -> SocketRow:
    """Raises DependencyDown: not everybody came, or was told, within WITHIN_S."""
    plan = ClientPlan(
        first=0,
        connections=connections,
        rate_per_s=0.0,
        targets=list(subject.targets),
        sources=sources(connections),
        host="127.0.0.1",
        sale_id=1,
        watch_apart=subject.watch_apart,
        tls=subject.tls,
        secret_keys=subject.secret_keys,
        issued_s=issued_s,
    )
    async with AsyncExitStack() as stack:
        clients = ClientProcesses(directory)
        stack.push_async_callback(clients.stop)
        await clients.start(plans(plan, this_machine().per_process))
        empty, others = used(subject.pids), _others(subject)
        began = await clients.go()
        await _until(clients, lambda said: said.settled_at > 0)
        seconds, connected = clients.said.settled_at - began, used(subject.pids)
        await asyncio.sleep(QUIET_S)
        full, more = used(subject.pids), _others(subject)
        cpu_s = connected.cpu_s - empty.cpu_s
        return SocketRow(
            name=subject.name,
            sockets=connections,
            bytes_each=(full.memory - empty.memory) / connections,
            connects_per_s=connections / seconds,
            connects_per_core=connections / max(cpu_s, 0.001),
            connect_us=cpu_s * 1e6 / connections,
            recipient_us=await _recipient_us(clients, subject, connections),
            errors={**clients.said.failed, **clients.said.lost},
            also={name: (more[name].memory - others[name].memory) / connections for name in others},
        )


def _others(subject: Subject) -> dict[str, Used]:
    return {name: used(pids) for name, pids in subject.also.items()}


async def _recipient_us(clients: ClientProcesses, subject: Subject, connections: int) -> float:
    spent_s = 0.0
    for _ in range(BROADCASTS):
        await clients.arm(MARKER)
        before = used(subject.pids).cpu_s
        await subject.tell()
        await _until(clients, lambda said: said.reached >= connections)
        spent_s += used(subject.pids).cpu_s - before
    return spent_s * 1e6 / BROADCASTS / connections


async def _until(clients: ClientProcesses, done: Callable[[Said], bool]) -> None:
    try:
        async with asyncio.timeout(WITHIN_S):
            while not done(clients.said):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError:
        said = clients.said
        raise DependencyDown(
            f"{said.ready:,} sockets are ready and {said.reached:,} were told "
            f"after {WITHIN_S:.0f} s; failed: {said.failed}, lost: {said.lost}"
        ) from None
