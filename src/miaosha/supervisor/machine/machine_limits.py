"""Machine limits: the limits that sockets and presses meet, in one table.

The start, the doctor and a ramp that stands still use it (fit.py); docs/sockets.md is drawn from
it. A `Demand` (demands.py) says what is wanted, a `Machine` what there is.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from miaosha.domain.findings import Fitness
from miaosha.supervisor.machine.capacity import Machine
from miaosha.supervisor.machine.kernel import UNLIMITED
from miaosha.supervisor.process_counts import PER_CORE_FULL_MAX

BACKLOG: Final = 4_096  # the gateways' own
TRACKED_PER_BUCKET: Final = 4  # more make each packet's search longer
DEVICE_BACKLOG: Final = 5_000  # for a crowd of SOCKETS_MANY
SOCKETS_MANY: Final = 100_000
FILES_GOOD: Final = 20_000  # open files of a process: what is raised is raised to this at least


class Demand(NamedTuple):
    """What is wanted of this machine.

    Attributes:
        sockets: connections held at once.
        descriptors: open files of the process that needs most; files: of all processes.
        memory: bytes. processes: that share the cores. tasks: processes and threads.
        dialled: connections that begin here; targets, sources: addresses they go to and come from.
        tracked: connections the kernel would track. tcp_pages: of their buffers.
        returning: connections that end, and come back at once.
        disk: bytes written; disk_free: there are, where they go.
        stores: whether a store that forks runs here.
        number: what was asked for, of which fewer would do; 0: the sockets.
        asked: how fewer are asked for, with {} for their number.
    """

    sockets: int
    descriptors: int = 0
    files: int = 0
    memory: int = 0
    processes: int = 0
    tasks: int = 0
    dialled: int = 0
    targets: int = 1
    sources: int = 1
    tracked: int = 0
    tcp_pages: int = 0
    returning: int = 0
    disk: int = 0
    disk_free: int = UNLIMITED
    stores: bool = False
    number: int = 0
    asked: str = "--connections {}"
    what: str = ""  # it is, in words; "": so many sockets


class Limit(NamedTuple):
    """One row of the table.

    Attributes:
        name: as its own documentation has it.
        needs: how much; 0: it does not matter here. rule: the same in words.
        has: how much there is for us.
        line: what raises it: {n} is the number it must have, {files} a good one of open files,
            {asked} what would fit.
        taken: what others have of it, which {n} must hold too.
        wrong: what happens without it.
        tells: says what there is and what is needed, where two numbers do not.
        stops: nothing is begun; else it is only said.
        verdict: the doctor's.
    """

    name: str
    rule: str
    needs: Callable[[Demand], int]
    has: Callable[[Machine, Demand], int]
    line: str
    wrong: str
    taken: Callable[[Machine], int] = lambda _: 0
    stops: bool = True
    verdict: Fitness = Fitness.REFUSED
    tells: Callable[[Machine, Demand], str] | None = None

    def fits(self, machine: Machine, demand: Demand) -> bool:
        return self.has(machine, demand) >= self.needs(demand)

    def advice(self, machine: Machine, demand: Demand) -> str:
        """The line that raises it."""
        need, has = self.needs(demand), self.has(machine, demand)
        fit = (demand.number or demand.sockets) * max(0, has) // max(1, need)
        return self.line.format(
            n=need + self.taken(machine),
            files=max(need, FILES_GOOD),
            asked=demand.asked.format(fit // 1000 * 1000 or fit),
        )

    def compared(self, machine: Machine, demand: Demand) -> str:
        """What there is, and what is needed."""
        if self.tells is not None:
            return self.tells(machine, demand)
        has = self.has(machine, demand)
        return f"{'no limit' if has >= UNLIMITED else f'{has:,}'} for {self.needs(demand):,}"


def _gigabytes(has: int, need: int) -> str:
    return f"{has / 1e9:.1f} GB for {need / 1e9:.1f} GB"


def _tracking(machine: Machine, demand: Demand) -> str:
    if machine.tracked_max >= UNLIMITED:
        return "connections are not tracked"
    return f"{machine.tracked:,} of {machine.tracked_max:,} are tracked, {demand.tracked:,} come"


def _room(machine: Machine, demand: Demand) -> int:
    low, high = machine.ports
    usable = max(0, high - low + 1 - machine.reserved)
    return usable * max(1, demand.targets) * max(1, demand.sources)


LIMITS: Final = (
    Limit(
        "open files of a process",
        "a gateway's or a client's sockets, and 384 to 1,000 for everything else",
        lambda d: d.descriptors,
        lambda m, d: m.descriptors,
        "ulimit -Hn {files} (LimitNOFILE={files} of a systemd unit; limits.conf of a login)",
        "a process holds fewer sockets, and more of them are started",
    ),
    Limit(
        "cores",
        f"one for each {PER_CORE_FULL_MAX} gateways and client processes",
        lambda d: -(-d.processes // PER_CORE_FULL_MAX),
        lambda m, d: m.cores,
        "ulimit -Hn {files}, so that each process holds more; or at most {asked}",
        "they wait for each other",
    ),
    Limit(
        "fs.nr_open",
        "the limit of open files of a process",
        lambda d: d.descriptors,
        lambda m, d: m.nr_open,
        "sysctl fs.nr_open={n}",
        "the limit above cannot be raised so far",
    ),
    Limit(
        "fs.file-max",
        "2 × sockets + 10,000 with the clients on the machine, 3 × sockets + 20,000 behind an edge "
        "on it; beyond what is open (fs.file-nr)",
        lambda d: d.files,
        lambda m, d: m.files - m.files_used,
        "sysctl fs.file-max={n}",
        "nobody on the machine opens a file any more",
        taken=lambda m: m.files_used,
    ),
    Limit(
        "memory",
        "7.5 KB a socket with the clients on the machine, 5 KB without, and 40 MB a gateway; no "
        "more than a control group leaves",
        lambda d: d.memory,
        lambda m, d: m.memory,
        "at most {asked}",
        "the kernel kills a process",
        verdict=Fitness.WARNING,
        tells=lambda m, d: _gigabytes(m.memory, d.memory),
    ),
    Limit(
        "net.netfilter.nf_conntrack_max",
        "a connection each, and those that return; beyond what is tracked (nf_conntrack_count); "
        "only where a firewall or a container engine has connections tracked",
        lambda d: d.tracked,
        lambda m, d: m.tracked_max - m.tracked if m.tracked_max < UNLIMITED else UNLIMITED,
        "sysctl net.netfilter.nf_conntrack_max={n}",
        "connections beyond it get no answer, for ever",
        taken=lambda m: m.tracked,
        tells=_tracking,
    ),
    Limit(
        "net.netfilter.nf_conntrack_buckets",
        "a quarter of the tracked connections",
        lambda d: d.tracked // TRACKED_PER_BUCKET,
        lambda m, d: m.buckets,
        "sysctl net.netfilter.nf_conntrack_buckets={n}",
        "each packet is looked up in a long list",
        stops=False,
        verdict=Fitness.WARNING,
    ),
    Limit(
        "net.ipv4.ip_local_port_range",
        "a port for each connection of the clients to the same address, less "
        "ip_local_reserved_ports",
        lambda d: d.dialled,
        _room,
        "sysctl net.ipv4.ip_local_port_range='10240 65535' (for more, come from more machines)",
        "a client cannot connect",
    ),
    Limit(
        "net.core.somaxconn",
        f"{BACKLOG:,}, or the sockets",
        lambda d: min(BACKLOG, d.sockets),
        lambda m, d: m.backlog,
        f"sysctl net.core.somaxconn={BACKLOG}",
        "connects stall for a second",
        stops=False,
        verdict=Fitness.WARNING,
    ),
    Limit(
        "net.ipv4.tcp_max_syn_backlog",
        f"{BACKLOG:,}, or the sockets, where net.ipv4.tcp_syncookies is 0",
        lambda d: min(BACKLOG, d.sockets),
        lambda m, d: m.syn_backlog,
        f"sysctl net.ipv4.tcp_max_syn_backlog={BACKLOG}",
        "connects stall for a second",
        stops=False,
        verdict=Fitness.WARNING,
    ),
    Limit(
        "net.ipv4.tcp_mem",
        "0.25 KB for each end of a socket on the machine, in pages (its third number)",
        lambda d: d.tcp_pages,
        lambda m, d: m.tcp_pages - m.tcp_pages_used,
        "sysctl net.ipv4.tcp_mem='{n} {n} {n}'",
        "the kernel cuts windows and drops packets",
        taken=lambda m: m.tcp_pages_used,
        stops=False,
        verdict=Fitness.WARNING,
    ),
    Limit(
        "processes and threads",
        "8 for each gateway and client process; of what kernel.threads-max, kernel.pid_max, "
        "ulimit -u and a control group's pids.max leave",
        lambda d: d.tasks,
        lambda m, d: m.tasks,
        "{n} more: sysctl kernel.threads-max, kernel.pid_max; ulimit -u; TasksMax= of a unit",
        "a process cannot be started",
    ),
    Limit(
        "net.core.netdev_max_backlog",
        f"{DEVICE_BACKLOG:,} from {SOCKETS_MANY:,} sockets on",
        lambda d: DEVICE_BACKLOG if d.sockets >= SOCKETS_MANY else 0,
        lambda m, d: m.device_backlog,
        f"sysctl net.core.netdev_max_backlog={DEVICE_BACKLOG}",
        "packets of a burst are dropped, and sent again later",
        stops=False,
        verdict=Fitness.WARNING,
    ),
    Limit(
        "net.ipv4.tcp_max_tw_buckets",
        "the connections that end at once",
        lambda d: d.returning,
        lambda m, d: m.time_waits,
        "sysctl net.ipv4.tcp_max_tw_buckets={n}",
        "closed connections are forgotten early",
        stops=False,
        verdict=Fitness.WARNING,
    ),
    Limit(
        "net.ipv4.tcp_tw_reuse",
        "2 (on loopback) where connections end and come back, and ports are short",
        lambda d: d.dialled + d.returning if d.returning else 0,
        lambda m, d: UNLIMITED if m.reuse else _room(m, d),
        "sysctl net.ipv4.tcp_tw_reuse=2",
        "a port is not taken again for a minute",
        stops=False,
        verdict=Fitness.WARNING,
        tells=lambda m, d: f"{m.reuse}, with {_room(m, d):,} ports for {d.dialled + d.returning:,}",
    ),
    Limit(
        "vm.overcommit_memory",
        "0 or 1 where a store runs",
        lambda d: int(d.stores),
        lambda m, d: int(m.overcommit != 2),
        "sysctl vm.overcommit_memory=1",
        "a store cannot fork to rewrite its log, which grows until the disk is full",
        stops=False,
        verdict=Fitness.WARNING,
        tells=lambda m, d: f"{m.overcommit}",
    ),
    Limit(
        "disk",
        "what is written: twice MIAOSHA_LOG_MAX_BYTES (a log, and its copy while it is rewritten), "
        "or 250 bytes a press of a benchmark",
        lambda d: d.disk,
        lambda m, d: d.disk_free,
        "{n} bytes free on that file system",
        "the stores stop taking writes",
        verdict=Fitness.WARNING,
        tells=lambda m, d: _gigabytes(d.disk_free, d.disk),
    ),
)
