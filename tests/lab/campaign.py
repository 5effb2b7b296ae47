"""Campaign: many histories, on both cores, and what they came to together."""

import gc
import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from tests.lab.hearing import unheard
from tests.lab.world import Verdict, World

PORTION: Final = 40  # histories given out at once


def history(
    seed: int,
    told: Mapping[str, Sequence[int]] | None = None,
    *,
    tracing: bool = False,
    shape: Mapping[str, Any] | None = None,
) -> Verdict:
    """Live one history and clean up behind it.

    Args:
        told: the record of one, to be told again.
        shape: fields of the plan that are not left to the seed.
    """
    gc.disable()
    try:
        with _forgotten():
            return World(seed, told, tracing, shape or {}).run()
    finally:
        gc.enable()


@contextmanager
def _forgotten() -> Iterator[None]:
    """Within, nothing is said of tasks that never ended. A `finally` that a kill left out runs when
    its history is forgotten, and finds its loop closed."""
    before, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with unheard(), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # coroutines that a kill left unbegun
            yield
            gc.collect()
    finally:
        sys.unraisablehook = before


def _brief(seed: int) -> Verdict:
    """What a worker process does with a seed."""
    verdict = history(seed)
    if not verdict.findings:
        verdict.record, verdict.trace = {}, []
    return verdict


@dataclass
class Totals:
    """Sums over many histories. `wall_s`: since it was made."""

    histories: int = 0
    found: list[Verdict] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    covered: Counter[str] = field(default_factory=Counter)
    digests: dict[int, str] = field(default_factory=dict)
    began_s: float = field(default_factory=time.monotonic)

    @property
    def wall_s(self) -> float:
        return time.monotonic() - self.began_s

    def add(self, verdict: Verdict) -> None:
        self.histories += 1
        self.faults.update(verdict.faults)
        self.counts.update(verdict.counts)
        self.covered.update(verdict.covered)
        self.digests[verdict.seed] = verdict.digest
        if verdict.findings:
            self.found.append(verdict)


def histories(
    seeds: Iterable[int], *, workers: int = 0, within_s: float = float("inf")
) -> Iterator[Verdict]:
    """Live these histories, or as many as begin within that time, in any order.

    Args:
        workers: processes; 0: as many as there are cores.
    """
    ends_s = time.monotonic() + within_s
    context = multiprocessing.get_context("fork")
    history(1)  # imports and builds once what every worker then shares
    gc.freeze()
    with context.Pool(workers or os.cpu_count() or 1) as pool:
        for some in _portions(seeds):
            if time.monotonic() >= ends_s:
                return
            yield from pool.imap_unordered(_brief, some)


def campaign(seeds: Iterable[int], *, within_s: float = float("inf")) -> Totals:
    """What all these histories came to."""
    totals = Totals()
    for verdict in histories(seeds, within_s=within_s):
        totals.add(verdict)
    return totals


def _portions(seeds: Iterable[int]) -> Iterator[list[int]]:
    """A pool takes all it is given at once."""
    rest = iter(seeds)
    while some := list(islice(rest, PORTION)):
        yield some
