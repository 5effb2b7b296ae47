"""Tree: the files that tidiness is asked of, and what is written in them."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "miaosha"
WRITTEN = ("src", "tests", "bench", "examples", "docs", "deploy")
NOT_TEXT = {".png", ".jpg", ".svg", ".woff2", ".gz", ".sqlite"}


def python_files(*folders: str) -> list[Path]:
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def classes() -> Iterator[tuple[str, Path]]:
    """Every class of the source, and where it is defined."""
    for path in python_files("src"):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                yield node.name, path


def texts() -> Iterator[tuple[Path, str]]:
    """What people write: every text of ours, but what was built or is a lock."""
    built = SOURCE / "web"
    found = [p for folder in WRITTEN for p in (ROOT / folder).rglob("*")]
    for path in sorted([*found, *ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"]):
        ours = path.is_file() and path.suffix not in NOT_TEXT and not path.is_relative_to(built)
        if ours and "__pycache__" not in path.parts and "results" not in path.parts:
            yield path, path.read_text(errors="ignore")


def git(*arguments: str) -> str:
    """What git says here; nothing where this is no checkout of ours."""
    if not (ROOT / ".git").exists():
        return ""
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout
