"""The laboratory in the suite: it is deterministic, clean, and finds the rules that are broken."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.lab.campaign import campaign, history
from tests.lab.dice import Record
from tests.lab.entropy import SOURCES
from tests.lab.hunting import hunt
from tests.lab.loop import Deadlock, ThreadRefused, VirtualLoop
from tests.lab.mutants.breaking import Mutant, broken
from tests.lab.mutants.table import MUTANTS
from tests.lab.shrinking import shrunk
from tests.lab.world import Verdict

ROOT: Final = Path(__file__).parent.parent.parent
SEEDS: Final = range(1, 41)
LOOKS_MIN: Final = {  # in these histories; about two thirds of what was seen
    "always": 6_000,
    "told": 1_600,
    "healing": 110,
    "waits": 1_200,
    "money": 340,
    "work": 55_000,
    "rest": 40,
}
QUICK_SEEDS: Final = 25  # tried for each
OWN: Final = {  # a rule that this oracle names, and no other one
    "always": "a refusal ends a hold",
    "told": "a place is enough",
    "healing": "a rebuild ends a pause",
    "waits": "202 without a confirm",
    "money": "lost charge is refused",
    "work": "nobody waits",
    "rest": "a settled sale stays in Redis",
}
ORACLES: Final = set(OWN)
QUICK: Final = (
    "clocks are believed",
    "a sent mail is forgotten",
    "another amount is taken",
    "nobody sweeps",
    "a phase is not told again",
)
DRAWING: Final = ("random", "secrets", "uuid", "uuid_utils", "time")
IN_LAB: Final = ("domain", "usecases", "workers", "publisher", "gateway", "adapters/sql", "serving")


def test_histories_are_clean_and_something_happens_in_them() -> None:
    totals = campaign(SEEDS)
    assert [(v.seed, v.findings) for v in totals.found] == []
    assert sum(totals.faults.values()) > 5 * len(SEEDS)
    assert totals.counts["move PAYING → PAID"] > len(SEEDS), "somebody buys"
    assert totals.counts["log rebuilt"] > 1.5 * len(SEEDS), "beside the arming of each sale"
    assert totals.counts["killed"] > len(SEEDS) / 2
    looked = {oracle: totals.counts[f"look {oracle}"] for oracle in ORACLES}
    assert {oracle: n for oracle, n in looked.items() if n < LOOKS_MIN[oracle]} == {}


def test_a_seed_tells_one_history_in_any_process() -> None:
    script = "from tests.lab.campaign import history; print(*(history(s).digest for s in (5, 6)))"
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(said) == 1


def test_a_record_tells_its_history_again() -> None:
    first = history(7)
    again = history(7, first.record)
    assert again.digest == first.digest


@pytest.mark.parametrize("name", QUICK)
def test_a_broken_rule_is_found(name: str) -> None:
    """Those that show soon; `python -m tests.lab mutants` breaks all."""
    assert hunt(name, most=QUICK_SEEDS).found


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_rule_that_is_broken_is_there(mutant: Mutant) -> None:
    with broken(mutant):
        pass


@pytest.mark.parametrize("oracle", OWN)
def test_every_oracle_has_a_rule_that_it_alone_sees(oracle: str) -> None:
    assert hunt(OWN[oracle], most=QUICK_SEEDS).oracles == (oracle,)


def test_every_oracle_is_one_of_these() -> None:
    assert {oracle for mutant in MUTANTS for oracle in mutant.oracles} == ORACLES


def test_a_finding_is_shrunk_to_a_record_that_still_has_it() -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "nobody sweeps")
    with broken(mutant):
        whole = next(v for v in map(history, range(1, QUICK_SEEDS)) if waits_in(v))
        small = shrunk(whole.record, lambda r: waits_in(history(whole.seed, r)), within_s=6.0)
        assert waits_in(history(whole.seed, small))
    assert chosen(small) < chosen(whole.record)
    assert not waits_in(history(whole.seed, small)), "the rule is whole again"


def waits_in(verdict: Verdict) -> bool:
    return any(finding.oracle == "waits" for finding in verdict.findings)


def chosen(record: Record) -> int:
    """How many choices are not the mildest."""
    return sum(value > 0 for row in record.values() for value in row)


def test_time_jumps_and_a_deadlock_is_told() -> None:
    loop = VirtualLoop()
    began_s = loop.time()

    async def sleeper() -> None:
        await loop.create_future()

    loop.call_later(3600, lambda: None)
    with pytest.raises(Deadlock):
        loop.run_until_complete(sleeper())
    assert loop.time() == began_s + 3600
    with pytest.raises(ThreadRefused):
        loop.run_in_executor(None, print)
    loop.abandon()


def test_whatever_draws_by_itself_is_known() -> None:
    """A new `uuid4()` in a role would make a seed tell two histories."""
    known = {(path, name) for path, name in SOURCES}
    found = set()
    for room in IN_LAB:
        for path in sorted((ROOT / "src/miaosha" / room).glob("*.py")):
            dotted = ".".join(path.relative_to(ROOT / "src/miaosha").with_suffix("").parts)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {(dotted, a.name) for a in node.names if a.name in DRAWING}
                elif isinstance(node, ast.ImportFrom) and node.module in DRAWING:
                    found |= {(dotted, a.name) for a in node.names if a.name != "UUID"}
    assert found - known - ELSEWHERE == set()


ELSEWHERE: Final = {  # what of it no role of the laboratory runs
    ("gateway.fanout", "random"),
    ("adapters.sql.file_database", "time"),
    ("adapters.sql.replica", "time"),
    ("serving.seldom", "time"),
    ("serving.waiting", "time"),
}
