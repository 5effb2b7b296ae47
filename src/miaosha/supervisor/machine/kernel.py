"""Kernel: reads limits and counters from /proc and the control groups below a root directory.

Each question has an answer for a kernel that does not know it: None, or no limit.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

UNLIMITED: Final = 2**62  # what "max" and "unlimited" are as a number
_MAX: Final = ("max", "unlimited", "-1")


class Kernel:
    """Args: root: `/`, or a directory with files as they are there."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    @property
    def real(self) -> bool:
        """Whether it is this machine's own."""
        return self._root == Path("/")

    def text(self, path: str) -> str:
        """Of a file below the root; "" if it cannot be read."""
        with contextlib.suppress(OSError):
            return (self._root / path).read_text("utf-8", "replace")
        return ""

    def numbers(self, path: str) -> list[int]:
        """The words of a file that are numbers."""
        return [int(word) for word in self.text(path).split() if word.lstrip("-").isdigit()]

    def sysctl(self, name: str, place: int = 0) -> int | None:
        """The number at `place` of a setting such as `net.core.somaxconn`."""
        found = self.numbers("proc/sys/" + name.replace(".", "/"))
        return found[place] if place < len(found) else None

    def field(self, path: str, name: str) -> int | None:
        """The first number after `name` at the beginning of a line."""
        for line in self.text(path).splitlines():
            if line.startswith(name):
                words = [word for word in line[len(name) :].split() if word.isdigit()]
                return int(words[0]) if words else None
        return None

    def limit(self, name: str) -> tuple[int, int] | None:
        """The soft and the hard limit of this process, such as of `Max open files`."""
        for line in self.text("proc/self/limits").splitlines():
            if line.startswith(name):
                soft, hard = line[len(name) :].split()[:2]
                return _number(soft), _number(hard)
        return None

    def counters(self, path: str, group: str) -> dict[str, int]:
        """Of a file with a line of names and a line of numbers for each group."""
        lines = [line.split() for line in self.text(path).splitlines() if line.startswith(group)]
        if len(lines) < 2:
            return {}
        return {name: int(n) for name, n in zip(lines[0][1:], lines[1][1:], strict=False)}

    def columns(self, path: str, name: str) -> int:
        """The sum over all processors of a column of hexadecimal numbers."""
        head, *rows = [line.split() for line in self.text(path).splitlines()] or [[]]
        if name not in head:
            return 0
        return sum(int(row[head.index(name)], 16) for row in rows if len(row) >= len(head))

    def group_left(self, what: str) -> int:
        """What this process's control groups leave of `memory` (bytes) or `pids`; the least of all
        levels. Memory that only caches files is left."""
        return min((left for left in self._left(what)), default=UNLIMITED)

    def _left(self, what: str) -> Iterator[int]:
        for folder, old in self._groups(what):
            most = self.text(f"{folder}/{_LIMIT[what, old]}").strip()
            if not most or _number(most) >= UNLIMITED:
                continue
            now = self.numbers(f"{folder}/{_NOW[what, old]}")
            cached = 0
            if what == "memory":
                name = "total_inactive_file " if old else "inactive_file "
                cached = self.field(f"{folder}/memory.stat", name) or 0
            yield max(0, _number(most) - (now[0] if now else 0) + cached)

    def _groups(self, what: str) -> Iterator[tuple[str, bool]]:
        """The directories of the groups this process is in, innermost first, and whether they are
        of the first version."""
        for line in self.text("proc/self/cgroup").splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            old = what in controllers.split(",")
            if controllers and not old:
                continue
            top = f"sys/fs/cgroup/{what}" if old else "sys/fs/cgroup"
            here = Path(path.strip("/"))
            for level in (here, *here.parents):
                yield f"{top}/{level}", old


_LIMIT: Final = {
    ("memory", False): "memory.max",
    ("memory", True): "memory.limit_in_bytes",
    ("pids", False): "pids.max",
    ("pids", True): "pids.max",
}
_NOW: Final = {
    ("memory", False): "memory.current",
    ("memory", True): "memory.usage_in_bytes",
    ("pids", False): "pids.current",
    ("pids", True): "pids.current",
}


def _number(word: str) -> int:
    return UNLIMITED if word in _MAX else int(word)
