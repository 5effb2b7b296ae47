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
    whom, and what was said; `cpu_s`: processor time."""

    name: str
    seed: int
    oracle: str
    sentence: str
    tried: int
    cpu_s: float

    @property
    def found(self) -> bool:
        return self.seed > 0


def hunt(name: str, seeds: Sequence[int] = (), first: int = 1, most: int = SEEDS_MAX) -> Hunt:
    """Live histories with this rule broken, until an oracle that may name it does.

    Args:
        seeds: these; none: `most` of them from `first` on.
    """
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    began_s = time.process_time()
    tried = 0
    with broken(mutant):
        for seed in seeds or range(first, first + most):
            tried += 1
            for finding in history(seed, shape=mutant.shape).findings:
                if finding.oracle in mutant.oracles:
                    spent_s = time.process_time() - began_s
                    return Hunt(name, seed, finding.oracle, finding.sentence, tried, spent_s)
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


def _hunted(task: tuple[str, Sequence[int], int, int]) -> Hunt:
    return hunt(*task)
