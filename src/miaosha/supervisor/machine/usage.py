"""Usage: what processes use, from /proc: processor time, and memory that is theirs alone."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class Used(NamedTuple):
    """Sums over processes: seconds of processor time since their start, private bytes now."""

    cpu_s: float
    memory: int


def private_bytes(pid: int) -> int:
    """RssAnon: what the process does not share with others; 0 if it is gone."""
    return _field(Path(f"/proc/{pid}/status"), "RssAnon:")


def available_bytes() -> int:
    """Memory of the machine that can still be taken."""
    return _field(Path("/proc/meminfo"), "MemAvailable:")


def used(pids: Iterable[int]) -> Used:
    cpu_s, memory = 0.0, 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = (
                Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            )
            cpu_s += (int(fields[11]) + int(fields[12])) / TICKS_PER_S
            memory += private_bytes(pid)
    return Used(cpu_s, memory)


def _field(path: Path, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in path.read_text("utf-8").splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0
