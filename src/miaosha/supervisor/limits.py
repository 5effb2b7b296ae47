"""What this machine's limits mean for the configured number of sockets, for `miaosha doctor`."""

from miaosha.domain.errors import SettingsError
from miaosha.gateway.admission import DESCRIPTORS_KEPT
from miaosha.ports.findings import Finding, Verdict, judged
from miaosha.settings import Settings
from miaosha.supervisor.counts import gateways
from miaosha.supervisor.rehearsal.machine import (
    BACKLOG,
    GATEWAY_BYTES,
    KERNEL_BYTES,
    SOCKET_BYTES,
    Machine,
)

MACHINE = "machine"
FILES_KEPT = 20_000  # of the whole machine, for everything but our sockets


def examine_machine(machine: Machine, settings: Settings) -> list[Finding]:
    """Whether gateways and publishers can hold what `sockets_max` and `connections_max` allow."""
    sockets = settings.sockets_max
    try:
        count = gateways(settings, machine.cores, machine.descriptors)
    except SettingsError as error:
        found = f"{machine.descriptors:,}"
        return [Finding(MACHINE, "open files of a process", found, Verdict.REFUSED, str(error))]
    each = min(settings.connections_max, -(-sockets // count))
    files = each + DESCRIPTORS_KEPT
    # Behind an edge on this machine a socket is open three times: there twice, in the gateway once.
    all_files = 3 * sockets + FILES_KEPT
    need = sockets * (SOCKET_BYTES // 2 + KERNEL_BYTES) + count * GATEWAY_BYTES
    return [
        judged(
            MACHINE,
            "open files of a process",
            f"{machine.descriptors:,} for {each:,} sockets in each of {count} gateway(s)",
            machine.descriptors >= files,
            Verdict.REFUSED,
            f"LimitNOFILE={files} (ulimit -Hn), or more MIAOSHA_GATEWAYS",
        ),
        judged(
            MACHINE,
            "fs.file-max",
            f"{machine.files:,} for {sockets:,} sockets",
            machine.files >= all_files,
            Verdict.REFUSED,
            f"sysctl fs.file-max={all_files}",
        ),
        judged(
            MACHINE,
            "net.core.somaxconn",
            f"{machine.backlog:,}",
            machine.backlog >= BACKLOG,
            Verdict.WARNING,
            f"sysctl net.core.somaxconn={BACKLOG}: or a rush of connects stalls",
        ),
        judged(
            MACHINE,
            "memory",
            f"{machine.memory / 1e9:.1f} GB available, {sockets:,} sockets take {need / 1e9:.1f}",
            machine.memory >= need,
            Verdict.WARNING,
            "lower MIAOSHA_SOCKETS_MAX",
        ),
    ]
