"""Fit: compares a machine with a demand: before a start, for the doctor, and when a ramp stops."""

from collections.abc import Mapping, Sequence
from typing import Final

from miaosha.domain.errors import SettingsError
from miaosha.domain.findings import Examined, judged
from miaosha.supervisor.machine.capacity import Machine
from miaosha.supervisor.machine.machine_limits import LIMITS, Demand, Limit

MACHINE: Final = "machine"
FULL: Final = 0.98  # of a limit that was run into


def found(machine: Machine, demand: Demand) -> list[Examined]:
    """The doctor's rows: every limit that matters for this demand."""
    return [
        judged(
            MACHINE,
            limit.name,
            limit.compared(machine, demand),
            limit.fits(machine, demand),
            limit.verdict,
            limit.advice(machine, demand),
        )
        for limit in LIMITS
        if limit.needs(demand)
    ]


def said(limit: Limit, machine: Machine, demand: Demand) -> str:
    """What is short, what that means, and the line that raises it."""
    return (
        f"{limit.name}: {limit.compared(machine, demand)}, or {limit.wrong}: "
        f"{limit.advice(machine, demand)}"
    )


def obstacles(machine: Machine, demand: Demand) -> list[str]:
    """Why this machine cannot do it, each with the line that mends it; empty: it can."""
    short = [limit for limit in LIMITS if limit.stops and not limit.fits(machine, demand)]
    return [said(limit, machine, demand) for limit in short]


def remarks(machine: Machine, demand: Demand) -> list[str]:
    """What slows it without stopping it."""
    short = [limit for limit in LIMITS if not limit.stops and not limit.fits(machine, demand)]
    return [said(limit, machine, demand) for limit in short]


def check(machine: Machine, demand: Demand) -> list[str]:
    """The remarks. Raises SettingsError naming everything to change first."""
    if reasons := obstacles(machine, demand):
        raise SettingsError(
            f"{demand.what or f'{demand.sockets:,} sockets'} do not fit this machine:\n  - "
            + "\n  - ".join(reasons)
        )
    return remarks(machine, demand)


_BY_FAILURE: Final = {  # an error of a client → the limit it was
    "EADDRNOTAVAIL": "net.ipv4.ip_local_port_range",
    "EMFILE": "open files of a process",
    "ENFILE": "fs.file-max",
    "ENOMEM": "memory",
    "ENOBUFS": "net.ipv4.tcp_mem",
}
_BY_DROP: Final = {  # a counter of the kernel that rose → the limit it was
    "ListenOverflows": "net.core.somaxconn",
    "ListenDrops": "net.core.somaxconn",
    "TCPTimeWaitOverflow": "net.ipv4.tcp_max_tw_buckets",
    "conntrack drop": "net.netfilter.nf_conntrack_max",
    "conntrack insert_failed": "net.netfilter.nf_conntrack_max",
    "packets dropped": "net.core.netdev_max_backlog",
}


def ran_into(
    before: Machine, now: Machine, demand: Demand, failures: Mapping[str, int]
) -> Sequence[str]:
    """Which limits have stopped it, as far as this machine can tell, each with its line.

    Args:
        before: as it began. now: as it stands still.
        failures: of the clients, by kind.
    """
    names: dict[str, str] = {}
    for limit in LIMITS:
        need, taken, left = limit.needs(demand), limit.taken(now), max(0, limit.has(now, demand))
        if need and taken and taken >= (taken + left) * FULL:
            names[limit.name] = f"{taken:,} of {taken + left:,} are taken"
        elif left < need * (1 - FULL):
            names[limit.name] = f"{left:,} are left"
    for kind, number in failures.items():
        if name := _BY_FAILURE.get(kind.rpartition(" ")[2]):
            names.setdefault(name, f"{number:,} × {kind}")
    for counter, number in now.drops.items():
        if (rise := number - before.drops.get(counter, 0)) > 0:
            names.setdefault(_BY_DROP[counter], f"{counter} rose by {rise:,}")
    by_name = {limit.name: limit for limit in LIMITS}
    return [
        f"{name} ({why}): {by_name[name].advice(before, demand)}" for name, why in names.items()
    ]
