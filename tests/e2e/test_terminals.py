"""Commands on terminals that are not UTF-8, narrow, dumb or gone, with titles that attack them."""

import json
import os
import pty
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.kit.running import MIAOSHA, Up, environ, miaosha, running

TITLES = ("[red]x[/red] [/close] :smile:", "a\x1b[2Jb \x9b2J \u202eetalp", "秒殺 two\nlines é😀")
OUTSIDE = {  # tests/cli has further encodings, without a process for each
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "COLUMNS": "200"},
    "big5": {"PYTHONIOENCODING": "big5", "LANG": "zh_TW.BIG5", "COLUMNS": "200"},
    "narrow": {"COLUMNS": "20", "FORCE_COLOR": "1"},
}
WAYS = pytest.mark.parametrize("outside", OUTSIDE.values(), ids=list(OUTSIDE))


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Started where nothing but ASCII can be printed; its three sales are named as in TITLES."""
    with running(tmp_path_factory.mktemp("terminals"), outside=OUTSIDE["C"]) as platform:
        for _ in TITLES:
            terms = ("--title", "x", "--price", "5 USD", "--stock", "1", "--opens", "+600")
            assert run(platform, {}, "sale", "create", *terms).returncode == 0
        with closing(sqlite3.connect(platform.data / "miaosha.sqlite")) as base, base:
            for number, title in enumerate(TITLES, 1):
                base.execute("UPDATE sales SET title = ? WHERE id = ?", (title, number))
                base.execute("UPDATE products SET name = ? WHERE id = ?", (title, number))
        yield platform


def run(up: Up, outside: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [MIAOSHA, *arguments, "--data-dir", str(up.data)],
        env=environ() | outside,
        capture_output=True,
        timeout=60,
        check=False,
    )


def good(up: Up, outside: dict[str, str], *arguments: str) -> str:
    done = run(up, outside, *arguments)
    encoding = "ascii" if outside is OUTSIDE["C"] else outside.get("PYTHONIOENCODING", "utf-8")
    said = (done.stdout + done.stderr).decode(encoding)
    assert done.returncode == 0 and "Traceback" not in said, said
    colours = "FORCE_COLOR" in outside
    assert ("\x1b" in said) <= colours and not {"\x9b", "\u202e"} & set(said), ascii(said)
    assert "\x1b[2J" not in said
    return done.stdout.decode(encoding)


@WAYS
def test_people_s_titles_are_shown(up: Up, outside: dict[str, str]) -> None:
    listed = "".join(good(up, outside, "sale", "list").split())
    wanted = ("[red]x[/red][/close]:smile:", r"a\x1b[2Jb\x9b2J\u202eetalp", r"two\nlines")
    assert outside["COLUMNS"] == "20" or all(title in listed for title in wanted), listed


@WAYS
def test_json_is_for_programs(up: Up, outside: dict[str, str]) -> None:
    rows: list[dict[str, Any]] = json.loads(good(up, outside, "sale", "list", "--json"))
    assert [row["title"] for row in reversed(rows)] == list(TITLES)


@pytest.mark.parametrize(
    "words", ["sale show 2", "sale show 2 --json", "audit 1", "parked list", "doctor"]
)
def test_every_command_prints_what_it_can(up: Up, words: str) -> None:
    good(up, OUTSIDE["C"], *words.split())


@pytest.mark.parametrize("words", ["--help", "openapi"])
def test_so_do_those_that_reach_nothing(words: str) -> None:
    done = subprocess.run(
        [MIAOSHA, *words.split()], env=environ() | OUTSIDE["C"], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    if words == "openapi":
        assert json.loads(done.stdout)["openapi"].startswith("3.1")


def test_up_started_where_nothing_but_ascii_is_printed(up: Up) -> None:
    said = (up.data.parent / "out").read_bytes().decode("ascii")
    assert "starting on" in said and "ready http://" in said and "Traceback" not in said


def test_a_word_that_is_no_text_is_said(tmp_path: Path) -> None:
    words = [MIAOSHA.encode(), b"sale", b"list", b"--data-dir", bytes(tmp_path) + b"/\xff"]
    done = subprocess.run(words, env=environ(), capture_output=True, check=False)
    assert done.returncode == 2 and b"Traceback" not in done.stderr
    assert rb"\udcff: expected text in utf-8" in done.stderr


def test_a_password_that_is_no_text_is_said(up: Up) -> None:
    account = ("--email", "bob@example.org", "--name", "Bob", "--password-stdin")
    for outside in ({}, OUTSIDE["C"]):
        done = subprocess.run(
            [MIAOSHA, "user", "create", *account, "--data-dir", str(up.data)],
            env=environ() | outside,
            input=b"a long \xff walk before noon\n",
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"standard input: expected text in" in done.stderr
        assert b"walk" not in done.stderr and b"Traceback" not in done.stderr


def test_bad_usage_is_shown_not_obeyed() -> None:
    done = miaosha("sale", "show", "7", "--[/close]\x1b[2J\u202e")
    assert done.returncode == 2 and done.stderr.startswith("miaosha: No such option")
    assert r"--[/close]\x1b[2J\u202e" in done.stderr


def test_a_reader_that_left_is_no_error_of_ours(up: Up) -> None:
    listing = f"{MIAOSHA} sale list --json --data-dir {up.data} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", listing], env=environ(), capture_output=True, text=True, check=False
    )
    assert done.stderr == "" and done.stdout.strip() in ("0", "1")


def test_a_terminal_of_its_own(up: Up) -> None:
    """Colours on a terminal; nothing of a title reaches it but what can be seen."""
    leader, follower = pty.openpty()
    with os.fdopen(follower, "wb") as terminal:
        done = subprocess.run(
            [MIAOSHA, "sale", "list", "--data-dir", str(up.data)],
            env=environ() | {"TERM": "xterm-256color", "COLUMNS": "200"},
            stdout=terminal,
            check=False,
        )
    shown = os.read(leader, 65_536).decode()
    os.close(leader)
    assert done.returncode == 0
    assert "\x1b[2J" not in shown and "\x9b" not in shown and "\u202e" not in shown
    assert "[red]x[/red] [/close] :smile:" in shown
