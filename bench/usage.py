"""Usage by role: processor time and memory of processes, children included, from /proc.

Processor time is what a process itself was given, so it holds on a machine that others use too.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from miaosha.supervisor.machine.usage import Used, cpu_s, stat_fields

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def used(pids: Mapping[str, int]) -> dict[str, Used]:
    """By role (`publisher-0` and `publisher-1` are both `publisher`); resident memory."""
    stats = {int(path.name): stat_fields(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
    found: dict[str, Used] = {}
    for name, pid in pids.items():
        role = name.partition("-")[0]
        spent_s, memory = found.get(role, Used(0.0, 0))
        for member, fields in stats.items():
            if fields and pid in (member, int(fields[1])):
                spent_s, memory = spent_s + cpu_s(fields), memory + int(fields[21]) * PAGE_BYTES
        found[role] = Used(spent_s, memory)
    return found


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
