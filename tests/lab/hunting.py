"""Hunting: rules of the code broken one at a time, and which oracle finds each, at which seed."""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from tests.lab.campaign import history
from tests.lab.mutants.breaking import broken
from tests.lab.mutants.table import MUTANTS

SEEDS_MAX: Final = 120  # tried for one mutant


class Hunt(NamedTuple):
    """What became of one mutant. `seed`: where it was found; 0: nowhere. `oracle`, `sentence`: by
    whom first, and what was said; `oracles`: all that found something there, also those that need
    not; `cpu_s`: processor time."""

    name: str
    seed: int
    oracle: str
    sentence: str
    tried: int
    cpu_s: float
    oracles: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        return self.seed > 0


def hunt(name: str, seeds: Sequence[int] = (), first: int = 1, most: int = SEEDS_MAX) -> Hunt:
    """Live histories with this rule broken, until an oracle that may name it does, and none finds
    anything in the same history with the rule whole.

    Args:
        seeds: these; none: `most` of them from `first` on.
    """
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    began_s = time.process_time()
    tried = 0
    for seed in seeds or range(first, first + most):
        tried += 1
        with broken(mutant):
            found = history(seed, shape=mutant.shape).findings
        named = [finding for finding in found if finding.oracle in mutant.oracles]
        if named and not history(seed, shape=mutant.shape).findings:  # whole, it is clean
            oracles = tuple(sorted({finding.oracle for finding in found}))
            first_one, cpu_s = named[0], time.process_time() - began_s
            return Hunt(name, seed, first_one.oracle, first_one.sentence, tried, cpu_s, oracles)
    return Hunt(name, 0, "", "", tried, time.process_time() - began_s)


def hunt_all(
    told: Callable[[Hunt], None], names: Sequence[str] = (), first: int = 1, most: int = SEEDS_MAX
) -> list[Hunt]:
    """All mutants (or these), on all cores; `told` hears of each."""
    found = []
    context = multiprocessing.get_context("fork")
    tasks = [(name, (), first, most) for name in names or [m.name for m in MUTANTS]]
    with context.Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        for one in pool.imap_unordered(_hunted, tasks, chunksize=1):
            found.append(one)
            told(one)
    return sorted(found)


def own(hunts: Sequence[Hunt]) -> dict[str, list[str]]:
    """By oracle: the mutants that it found, and no other one did in the same history."""
    oracles = {oracle for mutant in MUTANTS for oracle in mutant.oracles}
    return {oracle: [h.name for h in hunts if h.oracles == (oracle,)] for oracle in oracles}


def _hunted(task: tuple[str, Sequence[int], int, int]) -> Hunt:
    return hunt(*task)
