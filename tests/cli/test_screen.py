"""What people wrote, on its way to a terminal, a table or a program: shown, never obeyed."""

import io
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from miaosha.cli import doctor, sale
from miaosha.cli.command import guarded, screen
from miaosha.cli.parked import table_of
from miaosha.domain.errors import MiaoshaError, Problem, SettingsError
from miaosha.domain.findings import Examined, Fitness
from miaosha.domain.sale import Choice, Question
from miaosha.domain.visible import plain_json, visible, visible_lines
from miaosha.ports.broker import Parked
from miaosha.serving.screen import SUBSTITUTE, Screen, cell, prepare_streams, write_json
from miaosha.trials import demo, report
from miaosha.trials.rehearsal import outcome
from miaosha.trials.rehearsal.client_protocol import Said
from miaosha.trials.rehearsal.outcome import RehearsalOutcome
from miaosha.trials.rehearsal.private_gateways import sample
from miaosha.trials.sample_sale import Login
from miaosha.trials.snapshot import SaleFigures, Snapshot
from miaosha.trials.terminal import Terminal
from miaosha.usecases.parked import Item, ParkedKind

CLEAR = "\x1b[2J"
NASTY = (
    "[red]x[/red]",
    "[/close]",
    "[link=https://evil.example]here[/link]",
    ":smile: :warning:",
    f"a{CLEAR}b",
    "\x9b2Jb",
    "\u202eetalp",
    "two\nlines\r",
    "bell\a\b\x7f",
    "\u2028\u2066\U000e0041\ufeff",
    "\ud800",
    "back\\slash {braces} %s {0}",
)
PEOPLE = pytest.mark.parametrize("text", NASTY, ids=ascii)
ENCODINGS = ("utf-8", "ascii", "latin-1", "big5")


def obeyed(shown: str) -> list[str]:
    """The characters that a terminal would act on, but for line ends."""
    return [c for c in shown if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")]


class Out(io.TextIOWrapper):
    """What was printed, in an encoding; a terminal if `tty`."""

    def __init__(self, encoding: str = "utf-8", *, tty: bool = False) -> None:
        prepare_streams()
        self._tty = tty
        self._raw = io.BytesIO()
        super().__init__(self._raw, encoding=encoding, errors=SUBSTITUTE)

    def isatty(self) -> bool:
        return self._tty

    @property
    def shown(self) -> str:
        self.flush()
        return self._raw.getvalue().decode(self.encoding)


@PEOPLE
def test_a_line_shows_what_people_wrote(text: str) -> None:
    out = Out()
    to = Screen(file=out, width=200)
    to.say(cell(text))
    to.say(text)
    to.say(Text(text, style="bold"))
    to.show(Panel(text), Text(text))
    assert obeyed(out.shown) == []
    assert out.shown.splitlines()[0] == visible(text)


def test_a_long_line_is_not_wrapped() -> None:
    out = Out()
    Screen(file=out, width=40).say("word " * 100)
    assert out.shown.count("\n") == 1


@PEOPLE
def test_a_table_shows_it_in_one_row_and_stays_straight(text: str) -> None:
    out = Out()
    table = Table("title", "stock", box=None)
    table.add_row(cell(text), "1")
    table.add_row("plain", "2")
    Screen(file=out, width=200).show(table)
    _, first, second = out.shown.splitlines()
    assert obeyed(out.shown) == []
    assert first.strip().startswith(visible(text).strip())
    assert len(first.rstrip()) == len(second.rstrip())


def tables(text: str) -> dict[str, Callable[[Screen], object]]:
    """Every table and report of a command, with `text` wherever people or servers may put it."""
    of_sale = msgspec.structs.replace(
        sample(0),
        title=text,
        frozen=text,
        product=msgspec.structs.replace(sample(0).product, name=text),
        questions=[Question(1, text, [Choice("a", text), Choice("b", text)], "b")],
    )
    sick = RehearsalOutcome(
        connections=1, gateways=1, client_processes=1, notes=[text], unfinished=[text]
    )
    sick.clients = Said(failed={text: 1}, lost={text: 2})
    finding = Examined("sql", text, text, Fitness.WARNING, text)
    message = Parked("1-1", text, text, 1, text.encode())
    parked = Item("1-1", ParkedKind.MESSAGE, text, text, 1, message=message)
    logins = (Login(text, text), Login(text, text))
    return {
        "sale show": lambda to: to.show(sale.table_of(of_sale, None, None, 0)),
        "sale list": lambda to: to.show(sale.list_of([of_sale], 0)),
        "parked list": lambda to: to.show(table_of([parked])),
        "doctor": lambda to: to.show(doctor.table_of([finding])),
        "rehearse": lambda to: to.show(outcome.table(sick)),
        "demo": lambda to: to.show(demo.head(text, *logins)),
        "report": lambda to: report.verdict(to, [text]),
    }


@pytest.mark.parametrize("text", [t for t in NASTY if t != "\ud800"], ids=ascii)
@pytest.mark.parametrize("name", tables(""))
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_table_shows_it(text: str, name: str, encoding: str) -> None:
    out = Out(encoding)
    tables(text)[name](Screen(file=out, width=300))
    assert obeyed(out.shown) == []
    if text.isascii():
        assert visible(text) in out.shown.replace("\\\\", "\\")


def snapshot(text: str) -> Snapshot:
    return Snapshot(
        phase="frozen",
        now_ms=5_000,
        opens_at_ms=1_000,
        title=text,
        reading=None,
        books=SaleFigures(phase="open", frozen=text, stock=3),
        parts=[],
        counters={},
        watching=0,
        crowd=None,
    )


@PEOPLE
@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_live_view_shows_it(
    monkeypatch: pytest.MonkeyPatch, text: str, encoding: str, term: str
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", term)
    out = Out(encoding, tty=True)
    live = Terminal(Screen(file=out, width=100), demo.head(text, Login("a", "b"), Login("c", "d")))
    live.open()
    live.note(f"!! {text}")
    live.show(snapshot(text))
    seen = out.shown
    live.close()
    assert "frozen" in seen.lower(), "while it runs, also where nothing can be drawn twice"
    assert CLEAR not in out.shown and not set("\x9b\u202e\u2066\ufeff\a") & set(out.shown)
    assert (":smile:" in out.shown) == (":smile:" in text)
    assert ("\x1b" in out.shown) == (term != "dumb")


@PEOPLE
@pytest.mark.parametrize(
    "error",
    [SettingsError, lambda text: Problem("bad_request", text, field=text)],
    ids=["SettingsError", "Problem"],
)
def test_an_error_shows_it(
    capsys: pytest.CaptureFixture[str], text: str, error: Callable[[str], MiaoshaError]
) -> None:
    def work() -> None:
        raise error(f"no such sale: {text}")

    assert guarded(work) == 2
    said = capsys.readouterr().err
    assert said.startswith("miaosha: ") and obeyed(said) == []
    assert (visible if isinstance(error("x"), Problem) else visible_lines)(text) in said


@PEOPLE
@pytest.mark.parametrize("columns", ["20", "300"])
def test_json_is_the_value_at_every_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")
    if text == "\ud800":
        text = "\U0001f600"
    value = {"title": text * 9, "stock": [1, None, True]}
    write_json(value)
    said = capsys.readouterr().out
    assert json.loads(said) == value
    assert obeyed(said) == []
    assert said == plain_json(json.dumps(value, indent=2, ensure_ascii=False)) + "\n"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_is_json_in_every_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    out = Out(encoding)
    monkeypatch.setattr("sys.stdout", out)
    value = {"title": "秒殺 é 😀 \x9b"}
    write_json(value)
    assert json.loads(out.shown) == value
    assert ("秒殺" in out.shown) == (encoding == "utf-8")


def test_what_is_escaped_is_what_unicode_calls_invisible() -> None:
    seen_signs = {0x600, 0x601, 0x602, 0x603, 0x604, 0x605, 0x6DD, 0x70F, 0x890, 0x891, 0x8E2}
    seen_signs |= {0x110BD, 0x110CD, 0x200C, 0x200D}
    for code in range(0x110000):
        char = chr(code)
        hidden = unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        if hidden and code not in seen_signs:
            assert visible(char).isascii() and len(visible(char)) > 1, hex(code)
        elif unicodedata.category(char) != "Cn":
            assert visible(char) == char, hex(code)
    assert visible_lines("a\tb\nc") == "a\tb\nc" and visible("a\tb\nc\r") == "a\\tb\\nc\\r"


def test_a_substitute_takes_as_many_columns() -> None:
    prepare_streams()
    assert "秒殺 … █░ é→".encode("ascii", SUBSTITUTE) == b"???? . #. ?>"
    assert "秒殺 é".encode("big5", SUBSTITUTE).decode("big5") == "秒殺 ?"


def test_a_file_that_cannot_be_had_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        Path("/nowhere/a\x1bb").read_bytes()

    assert guarded(work) == 1
    assert capsys.readouterr().err == "miaosha: /nowhere/a\\x1bb: No such file or directory\n"


def test_the_command_line_prints_as_the_tests_do() -> None:
    assert isinstance(screen, Screen)
