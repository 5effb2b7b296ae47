"""Sentences: those of the pages that everybody reads first are short."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
WORDS_MAX = 25
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/benchmarks.md",
    "docs/glossary.md",
    "docs/runbook.md",
    "docs/sockets.md",
    "docs/tutorial.md",
)
NO_PROSE = re.compile(r"^ *```.*?^ *```$|<!--.*?-->", re.MULTILINE | re.DOTALL)
ITEM = re.compile(r"[-*] |\d+\. ")
PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
END = re.compile(r"(?<=[.!?])[*_)\"”]*\s+(?=[\w*`(\[“\"…])")
WORD = re.compile(r"\S*\w\S*")


def paragraphs(page: str) -> Iterator[str]:
    """Each with its lines joined; an item of a list is one. Tables and headings are none."""
    lines: list[str] = []
    for line in (*NO_PROSE.sub("\n", page).splitlines(), ""):
        text = line.strip()
        begins = ITEM.match(text)
        if not text or text[0] in "#|" or begins:
            if lines:
                yield " ".join(lines)
            lines = [text[begins.end() :]] if begins else []
        else:
            lines.append(text)


def sentences(page: str) -> Iterator[str]:
    """What is in backticks counts as one word, a link as its text."""
    for paragraph in paragraphs(page):
        plain = LINK.sub(r"\1", PICTURE.sub("", paragraph))
        yield from END.split(re.sub(r"`[^`]*`", "code", plain))


def long_ones(page: str) -> list[str]:
    return [s for s in sentences(page) if len(WORD.findall(s)) > WORDS_MAX]


@pytest.mark.parametrize("page", PAGES)
def test_sentences_are_short(page: str) -> None:
    found = long_ones((ROOT / page).read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


def test_a_long_sentence_is_found() -> None:
    long = "word " * WORDS_MAX + "more."
    assert long_ones(f"Short one. {long}\n\n- {long}\n\n| {long} |\n\n```\n{long}\n```\n") == [
        long,
        long,
    ]
