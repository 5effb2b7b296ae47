"""Makes the processes of a drill mortal at named points. Loaded by Python itself at start, when
this folder is on PYTHONPATH and MORTAL names a file of points, a line each: where a method is, by
its dotted name, and before or after it.

A process dies at the first listed point it comes to once it has lived for MORTAL_AGE_S seconds; the
point is taken off the list first, so that each kills once. Points that a process came to, of
whatever age, are told in a file beside the list.
"""

import fcntl
import functools
import importlib.abc
import importlib.util
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

BORN = time.monotonic()
LIST = os.environ.get("MORTAL", "")
ROLE = os.environ.get("MORTAL_ROLE", "")
AGE_S = float(os.environ.get("MORTAL_AGE_S", "1.5"))


def reached(points: Path) -> Path:
    """The file of the points that processes came to."""
    return points.with_name(points.name + ".reached")


@functools.cache
def tell(point: str) -> None:
    with reached(Path(LIST)).open("a") as told:
        told.write(f"{point}\n")


def strike(point: str) -> None:
    """Die here, if `point` is still on the list."""
    tell(point)
    if time.monotonic() - BORN < AGE_S:
        return
    with Path(LIST).open("r+") as points:
        fcntl.flock(points, fcntl.LOCK_EX)
        lines = points.read().splitlines()
        if point not in lines:
            return
        lines.remove(point)
        points.seek(0)
        points.truncate()
        points.write("\n".join(lines))
        points.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def mortal(point: str, call: Any) -> Any:
    @functools.wraps(call)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        strike(f"{point} before")
        answer = await call(*args, **kwargs)
        strike(f"{point} after")
        return answer

    return wrapped


def arm(module: Any, names: set[str]) -> None:
    for name in names:
        home, owner, method = name.rsplit(".", 2)
        if home == module.__name__:
            kind = getattr(module, owner)
            setattr(kind, method, mortal(name, getattr(kind, method)))


class Arming(importlib.abc.MetaPathFinder):
    """Arms a module's classes right after it was imported."""

    def __init__(self, names: set[str]) -> None:
        self._names = names
        self._homes = {name.rsplit(".", 2)[0] for name in names}

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname not in self._homes:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            arm(module, self._names)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def of_role() -> bool:
    """Whether this process is the role that shall die (its command line names it)."""
    words = Path("/proc/self/cmdline").read_bytes().decode().split("\0")
    return any(word in (f"miaosha.{ROLE}", ROLE) for word in words)


if LIST and Path(LIST).exists() and of_role():
    named = {line.split()[0] for line in Path(LIST).read_text().splitlines() if line}
    if named:
        sys.meta_path.insert(0, Arming(named))
