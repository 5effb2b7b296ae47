"""Usage: what processes use, from /proc: processor time, and memory that is theirs alone."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from miaosha.supervisor.machine.kernel import Kernel

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class Used(NamedTuple):
    """Sums over processes: seconds of processor time since their start, private bytes now."""

    cpu_s: float
    memory: int


def private_bytes(pid: int) -> int:
    """RssAnon: what the process does not share with others; 0 if it is gone."""
    return (Kernel().field(f"proc/{pid}/status", "RssAnon:") or 0) * 1024


def available_bytes(kernel: Kernel | None = None) -> int:
    """Memory of the machine that can still be taken."""
    return ((kernel or Kernel()).field("proc/meminfo", "MemAvailable:") or 0) * 1024


def used(pids: Iterable[int]) -> Used:
    """The sum of those that still run."""
    running = [(cpu_s(fields), private_bytes(pid)) for pid in pids if (fields := stat_fields(pid))]
    return Used(sum(spent_s for spent_s, _ in running), sum(memory for _, memory in running))


def cpu_s(fields: Sequence[str]) -> float:
    """Seconds of processor time, user's and system's, of `stat_fields`."""
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def stat_fields(pid: int) -> list[str]:
    """What follows the name in /proc/PID/stat: state, parent, group, …; [] if it is gone."""
    with contextlib.suppress(OSError):
        # The name before may hold anything, brackets too.
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].decode("ascii").split()
    return []
