"""Hunting: rules of the code broken one at a time, and which oracle finds each, at which seed."""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from tests.lab.campaign import history
from tests.lab.mutants.breaking import Mutant, broken
from tests.lab.mutants.table import MUTANTS
from tests.lab.oracles.court import Finding

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
    """Live histories with this rule broken, until an oracle that may name it does, which does not
    in the same history with the rule whole.

    Args:
        seeds: these; none: `most` of them from `first` on.
    """
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    began_s = time.process_time()
    tried = 0
    for seed in seeds or range(first, first + most):
        tried += 1
        with broken(mutant):
            findings = _named(mutant, seed)
        if findings and not _named(mutant, seed):  # whole, it is clean
            oracle, sentence = findings[0].oracle, findings[0].sentence
            return Hunt(name, seed, oracle, sentence, tried, time.process_time() - began_s)
    return Hunt(name, 0, "", "", tried, time.process_time() - began_s)


def _named(mutant: Mutant, seed: int) -> list[Finding]:
    """What the oracles find that may name it."""
    found = history(seed, shape=mutant.shape).findings
    return [finding for finding in found if finding.oracle in mutant.oracles]


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
