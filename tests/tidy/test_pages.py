"""Pages: links lead somewhere, and what the glossary and the architecture name exists."""

import ast
import re
from functools import cache
from pathlib import Path

import msgspec
import pytest

from miaosha.adapters.sql.tables import metadata
from miaosha.cli.main import app
from miaosha.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src" / "miaosha"
FOLDERS = ("docs/**", "deploy", "examples")
PAGES = sorted([*ROOT.glob("*.md"), *(p for place in FOLDERS for p in ROOT.glob(f"{place}/*.md"))])
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
QUOTED = re.compile(r"`([^`]+)`")
DECISION = re.compile(r"[0-9]{4}-.*\.md")
PATH = re.compile(r"(?<![\w/.-])(?:tests|src|docs|web|bench|examples|deploy)/[\w./*-]*\w")
MADE_BY_A_RUN = {"tests/web/shots"}
WORDS_MIN = 50


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def plain(page: Path) -> str:
    """Its text without blocks of code."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


@cache
def anchors(page: Path) -> set[str]:
    """The headings as GitHub writes them in an address."""
    found = re.findall(r"^#+ (.+)$", plain(page), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in found)
    return {heading.replace(" ", "-") for heading in words}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in LINK.findall(plain(page)):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert not dead, "\n".join(dead)


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=name)
def test_files_that_are_named_exist(page: Path) -> None:
    named = set(PATH.findall(LINK.sub("", plain(page)))) - MADE_BY_A_RUN
    gone = [path for path in named if not any([*ROOT.glob(path), *ROOT.glob(f"{path}.py")])]
    assert not gone, "\n".join(sorted(gone))


def names_of(tree: ast.Module) -> set[str]:
    """Its classes with their members, and its constants."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
            found |= {f"{node.name}.{member}" for member in members(node)}
        else:
            found |= set(members(ast.Module([node], [])))
    return found


def members(owner: ast.ClassDef | ast.Module) -> list[str]:
    found = []
    for node in owner.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.append(node.target.id)
        elif isinstance(node, ast.Assign):
            found += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return found


@cache
def known() -> set[str]:
    """What a page may name: tables, columns, settings, commands, Lua files and their fields, and
    what Python modules define."""
    found = {table.name for table in metadata.tables.values()}
    found |= {f"{c.table.name}.{c.name}" for t in metadata.tables.values() for c in t.columns}
    found |= {PREFIX + field.name.upper() for field in msgspec.structs.fields(Settings)}
    found |= {f"miaosha {command.name}" for command in app.registered_commands}
    for script in SOURCE.rglob("*.lua"):
        found |= {script.name, *re.findall(r"'(\w+)'", script.read_text(encoding="utf-8"))}
    for module in SOURCE.rglob("*.py"):
        found |= names_of(ast.parse(module.read_text(encoding="utf-8")))
    return found


def exists(named: str) -> bool:
    """`named` is known, or is a file or folder of the project or of the package."""
    if named in known():
        return True
    return any((top / named).exists() or any(top.glob(named)) for top in (ROOT, SOURCE))


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table below that heading, without its head."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").partition(heading)[2]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table, heading
    return [line.strip("|").split(" | ") for line in table.group().splitlines()[2:]]


def test_the_words_of_the_glossary_exist() -> None:
    table = rows("glossary.md", "# Glossary")
    words = [row[0].strip() for row in table]
    assert len(words) >= WORDS_MIN
    assert words == sorted(words)
    assert len(words) == len(set(words))
    missing = [
        f"{word}: {named}"
        for word, _, where in table
        for named in QUOTED.findall(where) or ["nothing named"]
        if not exists(named)
    ]
    assert not missing, "\n".join(missing)


def test_what_is_to_be_opened_exists() -> None:
    missing = [
        named
        for _, to_open, then in rows("architecture.md", "## To change something, open")
        for named in QUOTED.findall(to_open + then)
        if "/" in named and " " not in named and not exists(named)
    ]
    assert not missing, "\n".join(missing)


def test_the_floors_are_those_that_are_enforced() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    layers = re.search(r"^layers = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert layers
    floors = [line.strip().strip('",') for line in layers.group(1).splitlines()]
    drawn = "\n".join(floor.replace("miaosha.", "") for floor in floors)
    assert f"```text\n{drawn}\n```" in page


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    decisions = {path.name for path in folder.iterdir() if DECISION.fullmatch(path.name)}
    assert decisions == set(LINK.findall(index)) & decisions
    assert len(LINK.findall(index)) == len(decisions)


@pytest.mark.parametrize(
    "wrong", ["NoSuchClass", "holds.nothing", "sockets" + "/nothing.py", "Place.x"]
)
def test_what_does_not_exist_is_found(wrong: str) -> None:
    assert not exists(wrong)


MODULES_MAX = 3  # of a package that says no order to read it in
ORDER = re.compile(r"^Reading order: (.*?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("package", sorted(SOURCE.rglob("__init__.py")), ids=name)
def test_a_reading_order_names_what_is_there(package: Path) -> None:
    found = ORDER.search(ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or "")
    modules = [path for path in package.parent.glob("*.py") if not path.stem.startswith("__")]
    assert found or len(modules) <= MODULES_MAX or package.parent == SOURCE
    named = QUOTED.findall(found.group(1)) if found else []
    nouns = [word for word in named if word.islower() and word != "duties"]
    there = {path.stem for path in package.parent.iterdir()}
    assert set(nouns) <= there, sorted(set(nouns) - there)


def test_every_folder_of_tests_is_told_of() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`tests/.*?) \|", page, re.MULTILINE)
    told = {path for row in rows for path in QUOTED.findall(row)}
    folders = {f"tests/{path.parent.name}" for path in ROOT.glob("tests/*/__init__.py")}
    assert told == folders


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_a_shop_in_the_projects_folder_stays_out_of_git(page: str) -> None:
    """It has keys in it. An absolute path is elsewhere."""
    told = re.findall(r"--data-dir ([^\s`]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert told
    kept_out = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    folders = {path for path in [*told, Settings().data_dir] if not path.startswith("/")}
    assert {f"/{folder}/" for folder in folders} <= set(kept_out)


def test_the_change_that_is_walked_through_can_be_made() -> None:
    """What it takes away, and what it shows around that, stands in the file."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    [diff] = re.findall(r"^   ```diff\n(.*?)^   ```", page, re.MULTILINE | re.DOTALL)
    looked_for = 0
    lines: list[str] = []
    for line in diff.splitlines():
        sign, text = line[3:4], line[4:]
        if text.startswith("-- a/"):
            lines = (ROOT / text.removeprefix("-- a/")).read_text(encoding="utf-8").splitlines()
        elif sign in ("-", " "):
            assert text in lines, line
            looked_for += 1
    assert looked_for == 4
