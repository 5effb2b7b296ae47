"""Demands: what a rehearsal, a platform and a benchmark want of the machine."""

import os
import shutil
from pathlib import Path
from typing import Final

from miaosha.settings import Settings
from miaosha.sockets.admission import SERVER_DESCRIPTORS_KEPT
from miaosha.supervisor.machine.capacity import (
    PAGE_BYTES,
    TRIAL_DESCRIPTORS_KEPT,
    TRIAL_DESCRIPTORS_MIN,
    Machine,
)
from miaosha.supervisor.machine.kernel import UNLIMITED
from miaosha.supervisor.machine.machine_limits import Demand
from miaosha.supervisor.process_counts import gateways

GATEWAY_BYTES: Final = 40_000_000  # of an empty gateway process
CREW_BYTES: Final = 14_000_000  # of an empty client process
SOCKET_BYTES: Final = 2_048 + 128  # in a gateway and in a client
KERNEL_BYTES: Final = 5_000  # both ends of a loopback connection, measured
CLIENT_BYTES: Final = 2_600  # a client's end, in it and in the kernel
TCP_BYTES: Final = 256  # of buffers at one end; 80 were measured with a million sockets
TASKS_EACH: Final = 8  # threads of a process, itself included
TASKS_KEPT: Final = 100
FILES_KEPT: Final = 20_000  # of the whole machine, for everything but our sockets
LOG_COPIES: Final = 2  # a log, and the one that is written anew beside it
PRESS_BYTES: Final = 250  # on the disk: 80 were measured in both logs, each of which is rewritten
WHOLE: Final = 30_000_000  # of an empty platform's files


def of_rehearsal(
    machine: Machine, sockets: int, *, gateways: int, sources: int, storm: int, disk_free: int
) -> Demand:
    """Args: gateways: that run here too; 0: the servers are elsewhere. storm: sockets cut off."""
    ends = 2 if gateways else 1
    crews = -(-sockets // machine.per_process)
    each = SOCKET_BYTES + KERNEL_BYTES if gateways else CLIENT_BYTES
    return Demand(
        sockets=sockets,
        descriptors=TRIAL_DESCRIPTORS_MIN,
        files=sockets * ends + 10_000,
        memory=sockets * each + CREW_BYTES * crews + GATEWAY_BYTES * gateways,
        processes=crews + gateways if machine.descriptors >= TRIAL_DESCRIPTORS_MIN else 0,
        tasks=(crews + gateways) * TASKS_EACH + TASKS_KEPT,
        dialled=sockets,
        targets=max(1, gateways),
        sources=sources,
        tracked=sockets + storm,
        tcp_pages=sockets * ends * TCP_BYTES // PAGE_BYTES,
        returning=storm,
        disk=WHOLE,
        disk_free=disk_free,
    )


def of_settings(machine: Machine, settings: Settings, disk_free: int = UNLIMITED) -> Demand:
    """What `sockets_max`, `connections_max` and `log_max_bytes` allow, on a machine with its edge.
    There a socket is open three times: twice in the edge, once in its gateway.

    Args:
        disk_free: where the logs are; UNLIMITED: not on this machine.
    """
    sockets = settings.sockets_max
    count = gateways(settings, machine.cores, machine.descriptors)
    each = min(settings.connections_max, -(-sockets // count))
    return Demand(
        sockets=sockets,
        descriptors=each + SERVER_DESCRIPTORS_KEPT,
        files=3 * sockets + FILES_KEPT,
        memory=sockets * (SOCKET_BYTES // 2 + KERNEL_BYTES) + count * GATEWAY_BYTES,
        tasks=count * TASKS_EACH + TASKS_KEPT,
        tracked=sockets + settings.edge_connections_max,
        tcp_pages=sockets * TCP_BYTES // PAGE_BYTES,
        disk=LOG_COPIES * settings.log_max_bytes if disk_free < UNLIMITED else 0,
        disk_free=disk_free,
        stores=disk_free < UNLIMITED,
        asked="MIAOSHA_SOCKETS_MAX={}",
    )


def of_presses(
    buyers: int, times: int, *, connections: int, processes: int, disk_free: int
) -> Demand:
    """Of a benchmark, everything on one machine.

    Args:
        buyers: each presses once in each of `times` scenarios.
        connections: of the generator, in `processes`.
    """
    presses = buyers * times
    return Demand(
        sockets=connections,
        descriptors=-(-connections // processes) + TRIAL_DESCRIPTORS_KEPT,
        files=3 * connections + FILES_KEPT,
        memory=presses * PRESS_BYTES,
        what=f"{presses:,} presses",
        tasks=(processes + 12) * TASKS_EACH + TASKS_KEPT,
        tracked=0,  # the roles listen on unix sockets
        disk=presses * PRESS_BYTES + WHOLE,
        disk_free=disk_free,
        stores=True,
        asked="--buyers {}",
        number=buyers,
    )


def free_bytes(path: Path) -> int:
    """On the file system of `path`, or of what is above it and there."""
    path = path.absolute()
    while not os.path.lexists(path):
        path = path.parent
    return shutil.disk_usage(path).free
