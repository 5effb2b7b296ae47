"""What the machine allows, asked before a rehearsal begins: descriptors, ports, memory.

A rehearsal that is too big says what to change instead of failing half way.
"""

import os
from pathlib import Path
from typing import Final, NamedTuple

from miaosha.domain.errors import SettingsError
from miaosha.supervisor.counts import descriptors
from miaosha.supervisor.rehearsal.usage import available_bytes

DESCRIPTORS_KEPT: Final = 1_000  # of a process, for everything but its sockets
PER_PROCESS_MAX: Final = 19_000
PROCESSES_PER_CORE_MAX: Final = 64  # of gateways and clients: a million sockets on two cores
PER_SOURCE: Final = 1_000  # sockets from one loopback address, as from one school
SOURCES_MAX: Final = 62_500  # 127.0.1.1 … 127.0.250.250
GATEWAY_BYTES: Final = 40_000_000  # of an empty gateway process
CREW_BYTES: Final = 14_000_000  # of an empty client process
SOCKET_BYTES: Final = 2_048 + 128  # in a gateway and in a client
KERNEL_BYTES: Final = 5_000  # both ends of a loopback connection, measured
BACKLOG: Final = 4_096  # the gateway's


class Machine(NamedTuple):
    """Numbers of this machine; see `this_machine`.

    Attributes:
        descriptors: a process may open so many.
        files: all processes together may.
        ports: the range a connection's own port comes from.
        memory: bytes that can still be taken.
        backlog: net.core.somaxconn.
    """

    descriptors: int
    files: int
    ports: tuple[int, int]
    memory: int
    backlog: int
    cores: int

    @property
    def per_process(self) -> int:
        """Sockets one process can hold."""
        return max(1, min(PER_PROCESS_MAX, self.descriptors - DESCRIPTORS_KEPT))

    def gateways(self, connections: int) -> int:
        return max(self.cores, -(-connections // self.per_process))


def this_machine() -> Machine:
    low, high = _numbers("net/ipv4/ip_local_port_range")
    return Machine(
        descriptors=descriptors(),
        files=_numbers("fs/file-max")[0],
        ports=(low, high),
        memory=available_bytes(),
        backlog=_numbers("net/core/somaxconn")[0],
        cores=os.cpu_count() or 1,
    )


def _numbers(name: str) -> list[int]:
    return [int(word) for word in Path("/proc/sys", name).read_text().split()]


def sources(connections: int) -> list[str]:
    """Loopback addresses for so many sockets, PER_SOURCE of them from each."""
    wanted = min(SOURCES_MAX, -(-connections // PER_SOURCE))
    return [f"127.0.{1 + i // 250}.{1 + i % 250}" for i in range(wanted)]


def obstacles(
    machine: Machine, connections: int, *, servers: bool, targets: int, sources: int
) -> list[str]:
    """Why this machine cannot hold so many, each with what to change; empty: it can.

    Args:
        servers: the gateways run here too.
        targets: different addresses that are connected to.
        sources: different addresses to come from.
    """
    found = []
    if machine.descriptors <= 2 * DESCRIPTORS_KEPT:
        found.append(
            f"a process may open {machine.descriptors:,} files: `ulimit -n 20000` "
            "(LimitNOFILE= of a systemd unit; limits.conf of a login)"
        )
    processes = -(-connections // machine.per_process) * (2 if servers else 1)
    if not found and processes > machine.cores * PROCESSES_PER_CORE_MAX:
        wanted = PER_PROCESS_MAX + DESCRIPTORS_KEPT
        found.append(
            f"{machine.descriptors:,} files a process make {processes:,} processes on "
            f"{machine.cores} core(s): `ulimit -n {wanted}`, or fewer --connections"
        )
    files = connections * (2 if servers else 1) + 10_000
    if machine.files < files:
        found.append(
            f"all processes may open {machine.files:,} files: `sysctl fs.file-max={files}`"
        )
    need = connections * (SOCKET_BYTES + KERNEL_BYTES if servers else 2_600)
    need += CREW_BYTES * -(-connections // machine.per_process)
    if servers:
        need += GATEWAY_BYTES * machine.gateways(connections)
    if machine.memory < need:
        fit = int(connections * machine.memory / need)
        found.append(
            f"{need / 1e9:.1f} GB of memory are needed, {machine.memory / 1e9:.1f} GB are "
            f"available: at most --connections {fit // 1000 * 1000}"
        )
    low, high = machine.ports
    room = (high - low) * max(1, targets) * max(1, sources)
    if room < connections:
        found.append(
            f"own ports {low}-{high} are enough for {room:,} connections to {targets} address(es): "
            "`sysctl net.ipv4.ip_local_port_range='10240 65535'`, or more --source addresses"
        )
    return found


def remarks(machine: Machine) -> list[str]:
    """What slows a rehearsal without stopping it."""
    if machine.backlog < BACKLOG:
        return [
            f"net.core.somaxconn is {machine.backlog}: connects stall; "
            f"`sysctl net.core.somaxconn={BACKLOG}`"
        ]
    return []


def check(machine: Machine, connections: int, *, servers: bool, targets: int, sources: int) -> None:
    """Raises SettingsError naming everything to change first."""
    found = obstacles(machine, connections, servers=servers, targets=targets, sources=sources)
    if found:
        raise SettingsError(
            f"{connections:,} sockets do not fit this machine:\n  - " + "\n  - ".join(found)
        )
