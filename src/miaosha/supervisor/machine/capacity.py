"""Capacity: what this machine has for sockets: descriptors, ports, memory, other kernel limits."""

import os
import socket
from collections.abc import Mapping
from typing import Final, NamedTuple

from miaosha.supervisor.machine.kernel import UNLIMITED, Kernel
from miaosha.supervisor.machine.usage import available_bytes

TRIAL_DESCRIPTORS_KEPT: Final = 1_000  # of a process in a trial, beside its sockets
TRIAL_DESCRIPTORS_MIN: Final = 2 * TRIAL_DESCRIPTORS_KEPT + 1  # with less it is hardly worth one
PER_PROCESS_MAX: Final = 19_000
PER_SOURCE: Final = 1_000  # sockets from one loopback address, as from one school
SOURCES_MAX: Final = 62_500  # 127.0.1.1 … 127.0.250.250
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_COUNTED: Final = ("ListenOverflows", "ListenDrops", "TCPTimeWaitOverflow")


class Machine(NamedTuple):
    """Numbers of this machine; see `this_machine`. What is in use by others is told apart.

    Attributes:
        descriptors: files that a process may open: its hard limit.
        files: all processes together may open; files_used: have open.
        ports: the range a connection's own port comes from; reserved: ports in it that it never
            gets.
        memory: bytes that can still be taken, control groups considered.
        backlog: net.core.somaxconn; syn_backlog: net.ipv4.tcp_max_syn_backlog.
        nr_open: up to which a limit of open files can be raised.
        tracked_max: connections that the kernel can track; UNLIMITED where it tracks none.
        tracked: connections it tracks now; buckets: of the table where it looks them up.
        tcp_pages: for the buffers of all TCP sockets; tcp_pages_used: of these now.
        tasks: processes and threads that can still be started.
        device_backlog: packets that wait for a processor, at most.
        time_waits: closed connections that are remembered; reuse: whether their ports may be
            taken again meanwhile (0: no, 1: yes, 2: on loopback).
        overcommit: 2: a large process cannot fork.
        drops: what the kernel threw away since it was started, by counter.
    """

    descriptors: int
    files: int
    ports: tuple[int, int]
    memory: int
    backlog: int
    cores: int
    files_used: int = 0
    reserved: int = 0
    syn_backlog: int = UNLIMITED
    nr_open: int = UNLIMITED
    tracked_max: int = UNLIMITED
    tracked: int = 0
    buckets: int = UNLIMITED
    tcp_pages: int = UNLIMITED
    tcp_pages_used: int = 0
    tasks: int = UNLIMITED
    device_backlog: int = UNLIMITED
    time_waits: int = UNLIMITED
    reuse: int = 2
    overcommit: int = 0
    drops: Mapping[str, int] = {}

    @property
    def per_process(self) -> int:
        """Sockets one process can hold. With less than TRIAL_DESCRIPTORS_MIN nothing is begun."""
        descriptors = max(TRIAL_DESCRIPTORS_MIN, self.descriptors)
        return min(PER_PROCESS_MAX, descriptors - TRIAL_DESCRIPTORS_KEPT)

    def gateways(self, connections: int) -> int:
        return max(self.cores, -(-connections // self.per_process))


def this_machine(kernel: Kernel | None = None) -> Machine:
    """Args: kernel: where it is read; default: this machine's own."""
    kernel = kernel or Kernel()
    ports = kernel.numbers("proc/sys/net/ipv4/ip_local_port_range") or [32_768, 60_999]
    tracks = _tracks(kernel)
    return Machine(
        descriptors=(kernel.limit("Max open files") or (0, UNLIMITED))[1],
        files=_or(kernel.sysctl("fs.file-max")),
        files_used=kernel.sysctl("fs.file-nr") or 0,
        ports=(ports[0], ports[1]),
        reserved=_reserved(kernel, ports[0], ports[1]),
        memory=min(available_bytes(kernel), kernel.group_left("memory")),
        backlog=_or(kernel.sysctl("net.core.somaxconn")),
        syn_backlog=_syn_backlog(kernel),
        cores=os.cpu_count() or 1,
        nr_open=_or(kernel.sysctl("fs.nr_open")),
        tracked_max=_or(kernel.sysctl("net.netfilter.nf_conntrack_max")) if tracks else UNLIMITED,
        tracked=kernel.sysctl("net.netfilter.nf_conntrack_count") or 0,
        buckets=_or(kernel.sysctl("net.netfilter.nf_conntrack_buckets")) if tracks else UNLIMITED,
        tcp_pages=_or(kernel.sysctl("net.ipv4.tcp_mem", 2)),
        tcp_pages_used=_tcp_pages(kernel),
        tasks=_tasks(kernel),
        device_backlog=_or(kernel.sysctl("net.core.netdev_max_backlog")),
        time_waits=_or(kernel.sysctl("net.ipv4.tcp_max_tw_buckets")),
        reuse=_or(kernel.sysctl("net.ipv4.tcp_tw_reuse"), 2),
        overcommit=_or(kernel.sysctl("vm.overcommit_memory"), 0),
        drops=_drops(kernel),
    )


def _or(found: int | None, otherwise: int = UNLIMITED) -> int:
    return otherwise if found is None else found


def _syn_backlog(kernel: Kernel) -> int:
    """With cookies the kernel needs no room for half a connection."""
    if kernel.sysctl("net.ipv4.tcp_syncookies") != 0:
        return UNLIMITED
    return _or(kernel.sysctl("net.ipv4.tcp_max_syn_backlog"))


def _reserved(kernel: Kernel, low: int, high: int) -> int:
    """Ports of ip_local_reserved_ports (`8080,9000-9010`) that lie in the range."""
    found = 0
    for part in kernel.text("proc/sys/net/ipv4/ip_local_reserved_ports").strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            found += max(0, min(high, int(last or first)) - max(low, int(first)) + 1)
    return found


def _tcp_pages(kernel: Kernel) -> int:
    words = (kernel.text("proc/net/sockstat").partition("TCP:")[2] or "").split()
    return int(words[words.index("mem") + 1]) if "mem" in words else 0


def _tasks(kernel: Kernel) -> int:
    """The least of what the kernel, this user and the control groups leave."""
    running = kernel.text("proc/loadavg").split()
    tasks = int(running[3].partition("/")[2]) if len(running) > 3 else 0
    names = ("kernel.threads-max", "kernel.pid_max")
    most = [_or(kernel.sysctl(name)) - tasks for name in names]
    user = (kernel.limit("Max processes") or (UNLIMITED, UNLIMITED))[0]
    return max(0, min(*most, user, kernel.group_left("pids")))


def _tracks(kernel: Kernel) -> bool:
    """Whether connections are tracked here. Where the module is loaded and no rule asks for it,
    none is, whatever the maximum: a connection of our own tells."""
    if kernel.sysctl("net.netfilter.nf_conntrack_max") is None:
        return False
    if kernel.sysctl("net.netfilter.nf_conntrack_count"):
        return True
    if not kernel.real:
        return True
    with socket.create_server(("127.0.0.1", 0)) as server:  # noqa: SIM117 - the order matters
        with socket.create_connection(server.getsockname()):
            return bool(kernel.sysctl("net.netfilter.nf_conntrack_count"))


def _drops(kernel: Kernel) -> dict[str, int]:
    counted = kernel.counters("proc/net/netstat", "TcpExt:")
    found: dict[str, int] = {name: counted[name] for name in _COUNTED if name in counted}
    tracking = "proc/net/stat/nf_conntrack"
    found["conntrack drop"] = kernel.columns(tracking, "drop")
    found["conntrack insert_failed"] = kernel.columns(tracking, "insert_failed")
    rows = [line.split() for line in kernel.text("proc/net/softnet_stat").splitlines()]
    found["packets dropped"] = sum(int(row[1], 16) for row in rows if len(row) > 1)
    return found


def sources(connections: int) -> list[str]:
    """Loopback addresses for so many sockets, PER_SOURCE of them from each."""
    wanted = min(SOURCES_MAX, -(-connections // PER_SOURCE))
    return [f"127.0.{1 + i // 250}.{1 + i % 250}" for i in range(wanted)]
