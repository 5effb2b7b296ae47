"""The laboratory in the suite: it is deterministic, clean, and finds the rules that are broken."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.lab.campaign import campaign, history
from tests.lab.entropy import SOURCES
from tests.lab.loop import Deadlock, ThreadRefused, VirtualLoop

ROOT: Final = Path(__file__).parent.parent.parent
SEEDS: Final = range(1, 31)
DRAWING: Final = ("random", "secrets", "uuid", "uuid_utils", "time")
IN_LAB: Final = ("domain", "usecases", "workers", "publisher", "gateway", "adapters/sql", "serving")


def test_histories_are_clean_and_something_happens_in_them() -> None:
    totals = campaign(SEEDS)
    assert [(v.seed, v.findings) for v in totals.found] == []
    assert sum(totals.faults.values()) > 10 * len(SEEDS)
    assert totals.counts["killed"] > len(SEEDS) / 2


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
}
