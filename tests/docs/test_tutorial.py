"""The tutorial as it is written: its commands are run, and print what stands below them."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.kit.running import environ, free_port

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "tutorial.md"
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARIES = "…"
MARK = "\x1e"  # between what two blocks print
WITHIN_S = 300
ENDS_WITHIN_S = 20


class Step(NamedTuple):
    """A block of commands, and what it prints; a page may leave that out where it says nothing."""

    commands: str
    printed: str


def steps(page: str) -> Iterator[Step]:
    blocks = FENCED.findall(page)
    for i, (language, text) in enumerate(blocks):
        if language == "sh":
            shown = i + 1 < len(blocks) and blocks[i + 1][0] != "sh"
            yield Step(text, blocks[i + 1][1] if shown else "")


def script(of: list[Step]) -> str:
    """For bash: it ends with the first command that fails, and what it left running with it."""
    start = "set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n"
    return start + "".join(f"{step.commands}\nprintf '{MARK}'\n" for step in of)


def agrees(shown: str, printed: str) -> bool:
    """Whether `printed` is what the page shows, where … is anything within a line."""
    pattern = "[^\n]*".join(re.escape(part) for part in shown.strip().split(VARIES))
    return re.fullmatch(pattern, printed.strip()) is not None


def run(text: str, temporary: Path, port: int = 0) -> str:
    """What the script printed. Raises AssertionError, with all of it, unless it ends well.
    port: 0 is any that is free."""
    plain = environ() | {"PORT": str(port or free_port()), "TMPDIR": str(temporary)}
    process = subprocess.Popen(
        ["bash", "-c", text],
        cwd=ROOT,
        env=plain,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=WITHIN_S)
    except subprocess.TimeoutExpired as late:
        os.killpg(process.pid, signal.SIGTERM)  # a session of its own
        process.communicate(timeout=ENDS_WITHIN_S)
        raise AssertionError(f"hangs after: {late.output!r}") from None
    assert process.returncode == 0, printed
    return printed


@pytest.mark.timeout(WITHIN_S + 60)
def test_the_tutorial_prints_what_it_shows(tmp_path: Path) -> None:
    found = list(steps(PAGE.read_text(encoding="utf-8")))
    assert len(found) > 10
    printed = run(script(found), tmp_path).split(MARK)
    for step, said in zip(found, printed, strict=False):
        assert agrees(step.printed, said), f"{step.commands}\nshown:\n{step.printed}\nsaid:\n{said}"
    assert len(printed) == len(found) + 1
    assert not list(tmp_path.iterdir()), "the tutorial leaves something behind"


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\n", "a", True),
        ('{"id": …}', '{"id": 7}', True),
        ('{"id": …}', '{"no": 7}', False),
        ("a…b", "a\nb", False),
        ("", "a", False),
        ("(1)", "1", False),
    ],
)
def test_what_differs_from_the_page_is_found(shown: str, printed: str, same: bool) -> None:
    assert agrees(shown, printed) is same


def test_a_command_that_fails_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="first"):
        run(script([Step("echo first\nfalse\n", ""), Step("echo second\n", "")]), tmp_path)


def test_a_port_that_is_taken_ends_the_tutorial_at_its_start(tmp_path: Path) -> None:
    """Else another shop, on the same port, would answer all that follows."""
    begin = list(steps(PAGE.read_text(encoding="utf-8")))[:2]
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(AssertionError, match=rf"miaosha: .*{port}"):
            run(script(begin), tmp_path, port)
