"""Parts: every test of this tree is run by one of the commands that run the suite."""

import pytest

from tests.drills.__main__ import PARTS, main
from tests.suites import LONG, SLOW, in_order, plain_parts
from tests.tidy.tree import ROOT

TESTS = ROOT / "tests"
SELF = "tidy/test_parts.py"


def test_every_drill_has_its_part() -> None:
    drills = {
        str(path.relative_to(TESTS))
        for path in TESTS.rglob("test_*.py")
        if "mark.drill" in path.read_text()
    }
    assert drills - {SELF} == set(PARTS.values())


def test_a_part_that_is_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nothing"]) == 2
    assert "'nothing' is no part" in capsys.readouterr().err


def test_every_file_of_tests_is_in_a_part() -> None:
    taken = [path for part in in_order(plain_parts()) for path in part.arguments[2:]]
    for path in TESTS.rglob("test_*.py"):
        homes = [t for t in taken if path.is_relative_to(t)]
        assert len(homes) == (path.parent.name != "drills"), (path, homes)


def test_files_that_are_told_apart_exist() -> None:
    names = {path.name for path in TESTS.rglob("test_*.py")}
    assert not set(SLOW) - names
    assert not [file for file in LONG if not (TESTS / "e2e" / file).exists()]
