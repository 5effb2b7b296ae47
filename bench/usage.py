"""Usage by role: processor time and memory of processes, children included, from /proc.

Processor time is what a process itself was given, so it holds on a machine that others use too.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Used(NamedTuple):
    """`cpu_s` since its start; `memory` bytes resident now."""

    cpu_s: float
    memory: int

    def __add__(self, other: object) -> "Used":
        assert isinstance(other, Used)
        return Used(self.cpu_s + other.cpu_s, self.memory + other.memory)


def used(pids: Mapping[str, int]) -> dict[str, Used]:
    """By role (`publisher-0` and `publisher-1` are both `publisher`)."""
    parents = _parents()
    found: dict[str, Used] = {}
    for name, pid in pids.items():
        role = name.partition("-")[0]
        family = [pid, *(child for child, parent in parents.items() if parent == pid)]
        for member in family:
            found[role] = found.get(role, Used(0.0, 0)) + _of(member)
    return found


def _parents() -> dict[int, int]:
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found[int(path.name)] = int(_stat(int(path.name))[1])
    return found


def _stat(pid: int) -> list[str]:
    """Fields of /proc/pid/stat from the state on, after the name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()


def _of(pid: int) -> Used:
    with contextlib.suppress(OSError):
        fields = _stat(pid)
        return Used((int(fields[11]) + int(fields[12])) / TICKS_PER_S, int(fields[21]) * PAGE_BYTES)
    return Used(0.0, 0)


def per_purchase(
    before: Mapping[str, Used], after: Mapping[str, Used], purchases: int
) -> dict[str, float]:
    """Microseconds of processor time for each purchase, by role, and in `all`."""
    spent = {role: after[role].cpu_s - before[role].cpu_s for role in after if role in before}
    each = {role: round(s * 1e6 / max(1, purchases), 2) for role, s in spent.items()}
    return {**each, "all": round(sum(spent.values()) * 1e6 / max(1, purchases), 2)}


def megabytes(after: Mapping[str, Used]) -> dict[str, int]:
    return {role: round(use.memory / 1e6) for role, use in after.items()}


def load_average() -> float:
    return round(os.getloadavg()[0], 2)
