"""Checker: a breadth-first search over every interleaving, with shortest traces and liveness.

A state is remembered by its 64-bit hash alone. Two of 10⁷ states share one with a chance of about
10⁻⁶, and would hardly do so in two runs: the hash of a struct differs from process to process.
What else is kept per state is its parent and which of the parent's steps led here. A trace is
played back from the start.
"""

import sys
import time
from array import array
from collections import deque
from typing import NamedTuple

from tests.model import consuming, faults, processes, rebuilding
from tests.model.invariants import broken, trusted, unfinished
from tests.model.scope import Scope, initial
from tests.model.state import MUST, TIME, Place, State, Step

LIVELOCK = "no quiet state can be reached any more"


class Found(NamedTuple):
    """What one run found. `violations`: what is broken → the shortest trace to it."""

    name: str
    states: int
    transitions: int
    quiet: int
    seconds: float
    truncated: bool
    violations: dict[str, list[str]]

    def line(self) -> str:
        speed = f"{self.seconds:6.1f} s"
        end = "ok" if not self.violations else f"{len(self.violations)} VIOLATIONS"
        cut = " TRUNCATED" if self.truncated else ""
        return (
            f"{self.name:<34} {self.states:>9,} states {self.transitions:>10,} transitions "
            f"{self.quiet:>6,} quiet {speed}{cut} {end}"
        )

    def story(self) -> str:
        lines = [self.line()]
        for what, trace in self.violations.items():
            lines.append(f"  {what}, after {len(trace)} steps:")
            lines += [f"    {number:>2}. {step}" for number, step in enumerate(trace, 1)]
        return "\n".join(lines)


def successors(c: Scope, state: State) -> list[Step]:
    """Every step that any process, buyer, clock or fault can make from here."""
    out: list[Step] = []
    for at, job in enumerate(state.jobs):
        if at and state.jobs[at - 1] == job:
            continue  # the same job twice: one of them stands for both
        processes.RUN[type(job)](c, state, at, job, out)
    consuming.consumer(c, state, out)
    processes.scheduler(c, state, out)
    rebuilding.start(c, state, out)
    processes.buyer(c, state, out)
    processes.admin(c, state, out)
    faults.faults(c, state, out)
    return out


class _Search:
    def __init__(self, c: Scope, violations_max: int) -> None:
        self.c, self.violations_max = c, violations_max
        start = initial(c)
        self.index = {hash(start): 0}
        self.parent, self.choice = array("l", [-1]), array("H", [0])
        self.frontier: deque[tuple[int, State]] = deque([(0, start)])
        self.edges_from, self.edges_to = array("l"), array("l")
        self.quiet = array("l")
        self.violations: dict[str, list[str]] = {}
        self.transitions = 0
        self.truncated = False

    def run(self) -> None:
        while self.frontier and len(self.violations) < self.violations_max:
            at, state = self.frontier.popleft()
            self.expand(at, state)

    def expand(self, at: int, state: State) -> None:
        steps = successors(self.c, state)
        self.transitions += len(steps)
        if not any(step.who == MUST for step in steps):
            if wrong := unfinished(self.c, state):
                self.report(wrong, at)
                self.quiet.append(at)
                return
            if not any(step.who == TIME for step in steps):
                self.quiet.append(at)
        index = self.index
        for number, step in enumerate(steps):
            if step.wrong:
                self.report(step.wrong, at, step.label)
                continue
            after = step.after
            key = hash(after)
            to = index.get(key)
            if to is None:
                if len(self.parent) >= self.c.limit:
                    self.truncated = True
                    continue
                to = index[key] = len(self.parent)
                self.parent.append(at)
                self.choice.append(number)
                wrong = broken(self.c, after) or outlived(self.c, state, after)
                if wrong:
                    self.report(wrong, to)
                    self.quiet.append(to)
                else:
                    self.frontier.append((to, after))
            if step.who <= TIME:
                self.edges_from.append(at)
                self.edges_to.append(to)

    def report(self, wrong: str, at: int, last: object = None) -> None:
        if wrong not in self.violations:
            trace = self.trace(at)
            self.violations[wrong] = trace if last is None else [*trace, show(last)]

    def trace(self, at: int) -> list[str]:
        path = []
        while self.parent[at] >= 0:
            path.append(self.choice[at])
            at = self.parent[at]
        state, labels = initial(self.c), []
        for number in reversed(path):
            step = successors(self.c, state)[number]
            state = step.after
            labels.append(show(step.label))
        return labels

    def stuck(self) -> int | None:
        """The first state from which steps that must happen lead to no quiet state."""
        alive = bytearray(len(self.parent))
        for at in self.quiet:
            alive[at] = 1
        moved = True
        while moved:
            moved = False
            for at in range(len(self.edges_from) - 1, -1, -1):
                if alive[self.edges_to[at]] and not alive[self.edges_from[at]]:
                    alive[self.edges_from[at]] = moved = True
        dead = alive.find(0)
        return dead if dead >= 0 else None


def outlived(c: Scope, before: State, after: State) -> str | None:
    """Checks of a step rather than of a state: versions rise, a rank stays with its rid."""
    if before.redis is after.redis or not (trusted(before) and trusted(after)):
        return None
    for old, new in zip(before.redis.users, after.redis.users, strict=True):
        if old and old is not new and (wrong := _broken_place(c, old, new)):
            return wrong
    return None


def _broken_place(c: Scope, old: Place, new: Place | None) -> str | None:
    if old == new:
        return None
    if not new:
        return "a place vanished"
    if c.versioned and new.version <= old.version:
        return "a place changed without a new version"
    if old.rid == new.rid and old.rank != new.rank:
        return "G8 a rank changed"
    return None


def show(label: object) -> str:
    if isinstance(label, tuple):
        return " ".join(show(part) for part in label) if label else "-"
    return str(label)


def check(c: Scope, violations_max: int = 4) -> Found:
    """Visit every state of the scope (or c.limit of them)."""
    began = time.process_time()
    search = _Search(c, violations_max)
    search.run()
    if not search.truncated and not search.violations:
        stuck = search.stuck()
        if stuck is not None:
            search.violations[LIVELOCK] = search.trace(stuck)
    return Found(
        c.name,
        len(search.parent),
        search.transitions,
        len(search.quiet),
        time.process_time() - began,
        search.truncated,
        search.violations,
    )


def say(found: Found) -> None:
    sys.stdout.write(found.line() + "\n")
    sys.stdout.flush()
