"""Style as a test: sizes, names, clocks, prints and headers that a linter does not look at."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.tree import ROOT, SOURCE, functions, name, python_files, tree_of

FUNCTION_LINES_MAX = 50
FILE_LINES_MAX = 300
TEST_FILE_LINES_MAX = 500
LUA_LINES_MAX = 60
NOUN = re.compile(r"(?:[A-Z]|nginx)\S*(?: [^\s:]+){0,2}: (?=\S)")
VAGUE = {"utils", "util", "helpers", "helper", "manager", "managers", "base", "common", "misc"}
WALL_CLOCKS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
LUA_HEADER = ("KEYS", "ARGV", "returns")
CLOCK = SOURCE / "adapters" / "clock.py"
SCREEN = SOURCE / "serving" / "screen.py"
PROTOCOL = {  # what these write is read by a program of ours, or was made visible before
    SOURCE / "trials" / "crowd" / "__main__.py",
    SOURCE / "trials" / "rehearsal" / "__main__.py",
    SOURCE / "serving" / "process.py",
    SOURCE / "serving" / "logs.py",
    SOURCE / "serving" / "outlet.py",
    SOURCE / "supervisor" / "account.py",
    SOURCE / "supervisor" / "child_output.py",
    SOURCE / "workers" / "__main__.py",
    SOURCE / "adapters" / "picture_worker.py",
}


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    return {p: tree_of(p) for p in python_files("src", "tests")}


SIGNALLING = ("killing.py", "sitecustomize.py")  # the one kills only itself


def test_files_are_short() -> None:
    long = []
    for path in python_files("src", "tests"):
        most = TEST_FILE_LINES_MAX if path.is_relative_to(ROOT / "tests") else FILE_LINES_MAX
        lines = len(path.read_text().splitlines())
        if lines > most:
            long.append(f"{name(path)}: {lines} lines, at most {most}")
    assert not long, "\n".join(long)


def test_functions_are_short(trees: dict[Path, ast.Module]) -> None:
    long = [
        f"{name(path)}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for path, tree in trees.items()
        for node in functions(tree)
        if node.end_lineno and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert not long, "\n".join(long)


@pytest.mark.parametrize(
    "line", ["Reads the log.", "`miaosha up`: all of it.", "A note on a rebuild: how it goes"]
)
def test_a_module_that_names_no_noun_is_found(line: str) -> None:
    assert not NOUN.match(line)


def test_modules_say_what_they_own(trees: dict[Path, ast.Module]) -> None:
    """Their docstring begins "<Noun>: ", a noun of one to three words."""
    silent = {
        name(path)
        for path, tree in trees.items()
        if path.is_relative_to(SOURCE) and not NOUN.match(ast.get_docstring(tree) or "")
    }
    assert not silent, "\n".join(sorted(silent))


def test_no_vague_names(trees: dict[Path, ast.Module]) -> None:
    vague = [name(p) for p in trees if p.stem in VAGUE or p.parent.name in VAGUE]
    assert not vague, "\n".join(vague)


def test_only_the_clock_reads_the_wall_clock(trees: dict[Path, ast.Module]) -> None:
    found = [
        f"{name(path)}:{node.lineno} {node.value.id}.{node.attr}"
        for path, tree in trees.items()
        if path.is_relative_to(SOURCE) and path != CLOCK
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in WALL_CLOCKS
    ]
    assert not found, "\n".join(found)


def test_only_the_cli_prints(trees: dict[Path, ast.Module]) -> None:
    found = [
        f"{name(path)}:{node.lineno}"
        for path, tree in trees.items()
        if path.is_relative_to(SOURCE) and not path.is_relative_to(SOURCE / "cli")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not found, "\n".join(found)


MARKUP = {"from_markup", "from_ansi", "echo", "secho", "print_json", "rule", "out", "log_locals"}


def test_exceptions_speak_of_files_that_exist() -> None:
    gone = [name(path) for path in (CLOCK, SCREEN, *PROTOCOL) if not path.is_file()]
    assert not gone, "\n".join(gone)


def other_ways_to_print(path: Path, tree: ast.Module) -> Iterator[str]:
    """Text must leave by serving/screen.py: anything else reads markup in it, or obeys it."""
    for node in ast.walk(tree):
        where = f"{name(path)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ImportFrom) and node.module == "rich.markup":
            yield f"{where} rich.markup"
        if isinstance(node, ast.ImportFrom) and node.module == "rich.console":
            yield from (f"{where} {a.name}" for a in node.names if a.name == "Console")
        if isinstance(node, ast.keyword) and node.arg in ("markup", "emoji", "highlight"):
            yield f"{where} {node.arg}="
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = node.func.attr
            if called in MARKUP or called == "print":
                yield f"{where} .{called}()"
        if isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr"):
            ours = isinstance(node.value, ast.Name) and node.value.id == "sys"
            if ours and path not in PROTOCOL:
                yield f"{where} sys.{node.attr}"


def test_text_leaves_a_command_by_the_screen_alone(trees: dict[Path, ast.Module]) -> None:
    found = [
        way
        for path, tree in trees.items()
        if path.is_relative_to(SOURCE) and path != SCREEN
        for way in other_ways_to_print(path, tree)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "from rich.console import Console",
        "from rich.markup import escape",
        "screen.print(title)",
        "Text.from_markup(title)",
        "typer.echo(title)",
        "table.add_column('x', markup=True)",
        "sys.stdout.write(title)",
    ],
)
def test_another_way_to_print_is_found(line: str) -> None:
    assert list(other_ways_to_print(SOURCE / "cli" / "sale.py", ast.parse(line)))


def test_texts_of_files_name_their_encoding(trees: dict[Path, ast.Module]) -> None:
    """Else it is the locale's, and a file of ours cannot be read where that is not UTF-8."""
    bare = [
        f"{name(path)}:{node.lineno} {node.func.attr}"
        for path, tree in trees.items()
        if path.is_relative_to(SOURCE)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("read_text", "write_text")
        and "encoding" not in [word.arg for word in node.keywords]
        and len(node.args) <= (node.func.attr == "write_text")
    ]
    assert not bare, "\n".join(bare)


def test_lua_files_are_one_decision_with_a_header() -> None:
    wrong = []
    for path in sorted(SOURCE.rglob("*.lua")):
        if path.name == "prelude.lua":  # what every script starts with; it decides nothing
            continue
        text = path.read_text()
        header = "\n".join(line for line in text.splitlines()[:25] if line.startswith("--"))
        missing = [w for w in LUA_HEADER if not re.search(rf"\b{w}\b", header, re.IGNORECASE)]
        if missing:
            wrong.append(f"{name(path)}: header lacks {', '.join(missing)}")
        if len(text.splitlines()) > LUA_LINES_MAX:
            wrong.append(f"{name(path)}: more than {LUA_LINES_MAX} lines")
    assert not wrong, "\n".join(wrong)


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Everything below `node` but what is inside nested functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from own_nodes(child)


def test_tests_signal_single_processes(trees: dict[Path, ast.Module]) -> None:
    """A pid of 0, as a child has that is being started, is the sender's whole group: the suite."""
    found = [
        f"{name(path)}:{node.lineno}"
        for path, tree in trees.items()
        if path.is_relative_to(ROOT / "tests") and path.name not in SIGNALLING
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "os.kill"
    ]
    assert not found, "\n".join(found)


def test_tests_do_not_sleep_to_synchronise(trees: dict[Path, ast.Module]) -> None:
    """Half a second or more in a test's own body is a guess about somebody's speed. A stand-in
    inside it may be slow on purpose."""
    found = [
        f"{name(path)}:{node.lineno}"
        for path, tree in trees.items()
        if path.is_relative_to(ROOT / "tests")
        for function in functions(tree)
        if function.name.startswith("test_")
        for node in own_nodes(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "sleep"
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, int | float)
        and node.args[0].value >= 0.5
    ]
    assert not found, "\n".join(found)


def test_nothing_of_this_workplace_is_left_in_the_files() -> None:
    wrong = [
        name(path)
        for path in [*python_files("src", "tests"), *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
        if path != Path(__file__) and re.search(r"/(home|root|work)/\w", path.read_text())
    ]
    assert not wrong, "\n".join(wrong)
