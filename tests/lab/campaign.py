"""Campaign: many histories, on both cores, and what they came to together."""

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.lab.world import Verdict, World


def history(
    seed: int, told: Mapping[str, Sequence[int]] | None = None, *, tracing: bool = False
) -> Verdict:
    """Live one history and clean up behind it."""
    return World(seed, told, tracing).run()


def _brief(seed: int) -> Verdict:
    """What a worker process does with a seed."""
    verdict = history(seed)
    if not verdict.findings:
        verdict.record, verdict.trace = {}, []
    return verdict


@dataclass
class Totals:
    """Sums over many histories."""

    histories: int = 0
    found: list[Verdict] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    covered: Counter[str] = field(default_factory=Counter)
    digests: dict[int, str] = field(default_factory=dict)
    cpu_s: float = 0.0
    wall_s: float = 0.0

    def add(self, verdict: Verdict) -> None:
        self.histories += 1
        self.faults.update(verdict.faults)
        self.counts.update(verdict.counts)
        self.covered.update(verdict.covered)
        self.digests[verdict.seed] = verdict.digest
        if verdict.findings:
            self.found.append(verdict)


def campaign(
    seeds: Iterable[int],
    told: Callable[[Verdict], None] = lambda _: None,
    *,
    workers: int = 0,
    within_s: float = float("inf"),
) -> Totals:
    """Live these histories, or as many as end within that time.

    Args:
        told: hears of each.
        workers: processes; 0: as many as there are cores.
    """
    totals, began_s = Totals(), time.monotonic()
    workers = workers or os.cpu_count() or 1
    context = multiprocessing.get_context("fork")
    _warm()
    with context.Pool(workers) as pool:
        for verdict in pool.imap_unordered(_brief, _until(seeds, began_s + within_s)):
            totals.add(verdict)
            told(verdict)
    totals.wall_s = time.monotonic() - began_s
    return totals


def _until(seeds: Iterable[int], ends_s: float) -> Iterator[int]:
    for seed in seeds:
        if time.monotonic() >= ends_s:
            return
        yield seed


def _warm() -> None:
    """Import and build once what every worker then shares."""
    history(1)
